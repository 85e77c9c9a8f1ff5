"""The recipes that ship, run whole: the demo library always, real recordings where there are some."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

import datasets
import duckdb
import pandas as pd
import pyarrow.dataset
import pytest
import soundfile
import yaml

from audiocur.config import job
from audiocur.errors import OutputError
from audiocur.library import Library
from audiocur.run import run
from audiocur.sources.demo import Demo
from audiocur.store.ledger import read_ledger


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """music_gen over the demo library."""
    output = tmp_path_factory.mktemp("runs") / "demo"
    summary = run(job(["recipe=music_gen", "source=demo", "engine=local", f"output.path={output}"]))
    assert not summary.unexpected, summary.examples
    return output


@pytest.fixture(scope="module")
def real(tmp_path_factory, real_audio) -> Path:
    """music_gen over the real recordings."""
    output = tmp_path_factory.mktemp("runs") / "real"
    summary = run(job(["recipe=music_gen", f"source.path={real_audio}", "engine=local", f"output.path={output}"]))
    assert not summary.unexpected, summary.examples
    return output


@pytest.fixture(params=["demo", "real"])
def finished(request) -> Path:
    return request.getfixturevalue(request.param)


def ledger(output):
    return read_ledger(output).to_pylist()


def by_uri(rows):
    found = defaultdict(list)
    for row in rows:
        found[row["uri"]].append(row)
    return found


def clips_dataset(output):
    return pyarrow.dataset.dataset(output / "clips", format="parquet", partitioning=["split"])


@pytest.mark.parametrize("recipe", Library().recipes)
def test_a_recipe_composes(recipe):
    made = job([f"recipe={recipe}"], to_run=False)
    assert made.stages()
    assert made.pipeline.active_rules().keys() == made.pipeline.rules.keys()


def test_the_debug_recipe_runs(tmp_path):
    summary = run(job(["recipe=debug", f"output.path={tmp_path / 'run'}"]))
    assert summary.sources == 3
    assert summary.funnel.sources == 3


def test_the_demos_truth_is_found(demo):
    """Each recording meets the fate that the library's own truth says it should."""
    rows = by_uri(ledger(demo))
    truth = Demo().truth()
    rules = job(["recipe=music_gen"], to_run=False).pipeline.rules
    assert rows.keys() == {told["uri"] for told in truth}
    for told in truth:
        expected, mine = told["expected"], rows[told["uri"]]
        assert expected["verdict"] in {row["verdict"] for row in mine}, told["uri"]
        if expected["verdict"] == "rejected":
            broken = {rules[rule].column for row in mine for rule in row["rules"]}
            assert set(expected["why"]) <= broken, f"{told['uri']}: {broken}, expected {expected['why']}"


def test_every_second_is_accounted_for(finished):
    for uri, rows in by_uri(ledger(finished)).items():
        spans = [row for row in rows if row["clip_id"] is None]
        clips = [row for row in rows if row["clip_id"] is not None]
        assert spans, uri
        assert all(row["verdict"] in ("kept", "rejected", "failed") for row in clips)
        cut_s = sum(row["duration_s"] for row in clips)
        assert cut_s + sum(row["uncut_s"] for row in spans) == pytest.approx(sum(row["duration_s"] for row in spans))


def test_rejected_clips_have_every_cheap_measure_and_no_audio(finished):
    rejected = [row for row in ledger(finished) if row["verdict"] == "rejected"]
    assert rejected
    for row in rejected:
        assert row["rules"][0] == row["rule"]
        assert row["reason"]
        assert row["silence_ratio"] is not None
        assert row["voiced"] is not None
        assert row["sample_rate_hz"] is None
        assert row["tags"] is None


def test_shards_and_ledger_name_the_same_clips(finished):
    kept = sorted(row["clip_id"] for row in ledger(finished) if row["verdict"] == "kept")
    stored = clips_dataset(finished).to_table(columns=["clip_id"])["clip_id"].to_pylist()
    assert sorted(stored) == kept
    assert len(set(kept)) == len(kept) > 10


def test_no_group_is_in_two_splits(finished):
    splits = defaultdict(set)
    for row in ledger(finished):
        splits[row["group"]].add(row["split"])
    assert all(len(each) == 1 for each in splits.values())


def test_stored_audio_is_as_long_as_it_says_and_keeps_rate_and_channels(finished):
    for row in clips_dataset(finished).to_table().to_pylist():
        samples, rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]), always_2d=True)
        assert len(samples) / rate_hz == pytest.approx(row["duration_s"], abs=1e-9)
        assert (rate_hz, samples.shape[1]) == (row["sample_rate_hz"], row["channels"])
        assert (rate_hz, samples.shape[1]) == (row["source_rate_hz"], row["source_channels"])


def test_tags_and_captions_are_filled(finished):
    rows = clips_dataset(finished).to_table(columns=["tags", "caption"]).to_pylist()
    assert sum(row["caption"] is not None for row in rows) > 0.9 * len(rows)
    assert all(isinstance(row["tags"], list) for row in rows)


def test_duckdb_and_pandas_read_it(finished):
    glob = f"{finished}/clips/*/*.parquet"
    count, hours = duckdb.sql(f"select count(*), sum(duration_s) / 3600 from '{glob}'").fetchall()[0]
    frame = pd.concat(pd.read_parquet(path) for path in finished.glob("clips/*/*.parquet"))
    assert (len(frame), frame["duration_s"].sum() / 3600) == (count, pytest.approx(hours))
    (rejected,) = duckdb.sql(
        f"select count(*) from '{finished}/ledger/*.parquet' where verdict = 'rejected'"
    ).fetchall()[0]
    assert rejected > 0


def test_datasets_opens_it_as_audio(finished, tmp_path):
    loaded = datasets.load_dataset("parquet", data_dir=str(finished / "clips"), cache_dir=str(tmp_path))
    assert set(loaded) <= {"train", "validation", "test"}
    split = next(iter(loaded.values()))
    assert isinstance(split.features["audio"], datasets.Audio)
    raw = split.cast_column("audio", datasets.Audio(decode=False))[0]
    samples, rate_hz = soundfile.read(io.BytesIO(raw["audio"]["bytes"]))
    assert len(samples) / rate_hz == pytest.approx(raw["duration_s"])
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"the feature decodes through torchcodec, which does not load here: {str(error).splitlines()[0]}")
    decoded = split[0]["audio"].get_all_samples()
    assert decoded.data.shape[1] / decoded.sample_rate == pytest.approx(raw["duration_s"])


def test_the_card_has_the_funnel_and_metadata(finished):
    _, front, text = (finished / "README.md").read_text().split("---\n", 2)
    assert {entry["split"] for entry in yaml.safe_load(front)["configs"][0]["data_files"]} <= {
        "train",
        "validation",
        "test",
    }
    assert "| kept |" in text
    assert "| rejected by" in text


def test_voice_and_music_are_told_apart(real):
    rows = [row for row in ledger(real) if row["clip_id"] is not None]
    for uri in ("198-209-0000.ogg", "3436-172162-0000.ogg", "5703-47212-0000.ogg"):
        ratios = [row["voiced_ratio"] for row in rows if row["uri"] == uri]
        assert ratios
        assert all(ratio > 0.8 for ratio in ratios)
    orchestra = [row for row in rows if "string_orchestra" in row["uri"]]
    assert orchestra
    assert all(row["voiced_ratio"] < 0.1 for row in orchestra)


def test_a_second_run_into_another_directory_gives_the_same_bytes(demo, tmp_path):
    words = ["recipe=music_gen", "source=demo", "engine=ray", f"output.path={tmp_path / 'again'}"]
    run(job(words))
    columns = [name for name in clips_dataset(demo).schema.names if name != "split"]

    def sorted_rows(output):
        return sorted(clips_dataset(output).to_table(columns=columns).to_pylist(), key=lambda row: row["clip_id"])

    assert sorted_rows(demo) == sorted_rows(tmp_path / "again")
    key = ["span_id", "clip_id"]
    assert read_ledger(demo).sort_by([(k, "ascending") for k in key]) == read_ledger(tmp_path / "again").sort_by(
        [(k, "ascending") for k in key]
    )


def test_manifest_columns_come_along_and_stay_what_they_are(demo, tmp_path):
    """A column that changes its type between two runs would make a dataset that no reader opens."""
    root = Demo().library()
    first, second = sorted(path for path in root.rglob("*.flac"))[:2]
    manifest = tmp_path / "library.csv"
    manifest.write_text(f"path,artist,energy\n{first},Ada,3\n")
    words = [
        "recipe=debug",
        "source=manifest",
        "source.limit=",
        f"source.path={manifest}",
        f"output.path={tmp_path / 'run'}",
    ]
    run(job([*words, "keep.energy.column=meta_energy", "keep.energy.min=3"]))
    rows = clips_dataset(tmp_path / "run").to_table().to_pylist()
    assert {(row["artist"], row["meta_energy"]) for row in rows} == {("Ada", 3)}
    manifest.write_text(f"path,artist,energy\n{first},Ada,3\n{second},Ada,high\n")
    with pytest.raises(OutputError, match=r"meta\.energy: int64 there, string here"):
        run(job([*words, "keep.energy.column=meta_energy", "keep.energy.allow=high"]))
