"""Recipes with models, whole: small checkpoints under their paths, through the command line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from audiocur.op import ModelOp
from audiocur.store.ledger import read_ledger
from tests.checkpoints import save_clap, save_whisper

pytest.importorskip("transformers")
pytest.importorskip("whisper")


def audiocur(*words, cwd):
    return subprocess.run([sys.executable, "-m", "audiocur", *words], cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    whisper, clap = save_whisper(folder / "tiny.pt"), save_clap(folder / "clap")
    return ["models=base", f"asr.model={whisper}", f"tag.model={clap}", "asr.when.min=0", "asr.max_tokens=20"]


RUN = (
    "recipe=music_gen",
    "source=demo",
    "source.limit=9",
    "engine.cpus=2",
    "asr.min_logprob=",
    "tag.prompt=loud music",
)


def clips(run):
    return {row["clip_id"]: row for row in read_ledger(run).to_pylist() if row["clip_id"]}


@pytest.fixture(scope="module")
def actors(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    done = audiocur(*RUN, *models, "output.path=run", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "run", done.stdout


@pytest.mark.slow
def test_models_base_runs_whole_from_checkpoints_of_ones_own(actors):
    run, said = actors
    rows = clips(run)
    kept = [row for row in rows.values() if row["verdict"] == "kept"]
    assert len(kept) >= 4
    for row in kept:
        assert np.linalg.norm(row["clap_embedding"]) == pytest.approx(1, abs=1e-3)
        assert row["clap_similarity"] is not None
        assert row["caption"] == (", ".join(row["tags"]) or None)
        assert row["asr_no_speech_prob"] is not None
        assert row["lyrics"] or row["lyrics_gated"]
    rejected = [row for row in rows.values() if row["verdict"] == "rejected"]
    assert all(row["tags"] is None and row["asr_no_speech_prob"] is None for row in rejected)
    for op in ("asr", "tag"):
        assert re.search(rf"{op}: {len(kept)} clips in \d+ batch.*\d+% full, \d+% padding", said), said
    table = pq.read_table(run / "clips")
    assert str(table.schema.field("clap_embedding").type) == "fixed_size_list<element: float>[512]"


@pytest.mark.slow
@pytest.mark.parametrize("via", ["task", "serve"])
def test_where_whisper_runs_changes_no_row(actors, models, tmp_path, via):
    done = audiocur(*RUN, *models, f"placement.asr.via={via}", "output.path=run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    expected, found = clips(actors[0]), clips(tmp_path / "run")
    assert found.keys() == expected.keys()
    for clip_id, row in found.items():
        for column, value in row.items():
            theirs = expected[clip_id][column]
            if isinstance(value, float) or (column == "clap_embedding" and value):
                assert value == pytest.approx(theirs, rel=ModelOp.rtol, abs=1e-4), column
            elif column not in ("lyrics_segments", "clap_tags"):
                assert value == theirs, column


def test_weights_that_are_missing_are_listed_and_refused_before_any_work(tmp_path):
    words = ["recipe=music_gen", "models=base", "asr.model=nowhere.pt", "tag.model=./nowhere", "source=demo"]
    listed = audiocur("models", *words, cwd=tmp_path)
    assert listed.returncode == 1
    assert "2 checkpoints missing" in listed.stdout
    refused = audiocur(*words, "output.path=run", cwd=tmp_path)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "nowhere.pt" in line
    assert "./nowhere" in line
    assert not (tmp_path / "run").exists()
    fetched = audiocur("models", *words, "--fetch", cwd=tmp_path)
    assert fetched.returncode == 2


def test_a_recipe_without_weights_says_so(tmp_path):
    done = audiocur("models", "recipe=music_gen", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "This recipe needs no weights beyond what its packages bring.")


def test_weights_are_in_the_fingerprint(models):
    from audiocur.config import job

    words = ["recipe=music_gen", *models, "source=demo", "output.path=x"]
    recipe = job(words).recipe()
    assert set(recipe["checkpoints"]) == {"asr", "tag"}
    for hashes in recipe["checkpoints"].values():
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes.values())


def test_weights_that_lie_elsewhere_are_the_same_weights_and_others_are_others(models, tmp_path):
    from audiocur.config import job

    def recipe_of(weights):
        return job(
            ["recipe=music_gen", *models[:1], f"asr.model={weights}", models[2], "source=demo", "output.path=x"]
        ).recipe()

    here = Path(models[1].partition("=")[2])
    elsewhere, other = tmp_path / "moved.pt", save_whisper(tmp_path / "other.pt", seed=1)
    shutil.copy(here, elsewhere)
    assert recipe_of(here)["fingerprint"] == recipe_of(elsewhere)["fingerprint"] != recipe_of(other)["fingerprint"]
    assert recipe_of(elsewhere)["asr"]["model"] == str(elsewhere)


def test_speech_has_lyrics_without_any_download(real_audio, tmp_path):
    pytest.importorskip("pocketsphinx")
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/jfk.flac").symlink_to(real_audio / "jfk.flac")
    rules = ["keep.music=", "keep.bandwidth="]  # it is no music, and an old recording
    words = ["recipe=music_gen", "asr=pocketsphinx", "source.path=speech", "output.path=run", "engine=local", *rules]
    done = audiocur(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    heard = " ".join(row["lyrics"] or "" for row in clips(tmp_path / "run").values()).split()
    assert {"your", "country", "can", "do", "for"} <= set(heard)


@pytest.mark.slow
def test_one_core_without_gpu_finishes_with_more_pools_than_cores(models, tmp_path):
    pools = ["placement.asr.actors=[2,4]", "placement.tag.cpus=0.5", "engine.cpus=1"]
    done = audiocur(
        "recipe=music_gen", "source=demo", "source.limit=9", *models, *pools, "output.path=run", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert any(row["clap_embedding"] for row in clips(tmp_path / "run").values())


def test_a_gpu_that_nobody_has_is_one_line(models, tmp_path):
    words = [*models, "placement.asr.gpus=64", "source=demo", "source.limit=3", "output.path=run"]
    done = audiocur("recipe=music_gen", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "audiocur: placement.asr: 1 actors of 1 CPU and 64 GPU: no node has that much\n"
