"""redo=failed and redo=changed: exactly the spans concerned are done again, and all else stays as it was."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from audiocur.config import job as composed
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError, RowError
from audiocur.job import Job
from audiocur.op import ClipOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.planning import Split
from audiocur.redo import Redo
from audiocur.run import run
from audiocur.sources.folder import Folder
from audiocur.store.ledger import Ledger, read_ledger

RATE_HZ = 8000
PIPELINE = Decode(span_s=10) >> Window(length_s=4, min_s=1) >> Loudness() >> Encode()
SPLIT = Split(validation=0.3, test=0)


@dataclass(frozen=True, kw_only=True)
class Moody(ClipOp):
    """Fails on clips that start at 4 s as long as a file is there; notes each clip it is given in another."""

    name = "moody"
    if_there: str
    calls: str

    def measure(self, clip):
        with Path(self.calls).open("a") as file:
            print(clip.clip_id, file=file)
        if clip.start_s == 4 and Path(self.if_there).exists():
            raise RowError("in a bad mood")
        return {}


def record(path: Path, seconds: float, *, seed: int = 0, level: float = 0.1) -> None:
    samples = np.random.default_rng(seed).normal(0, level, int(seconds * RATE_HZ))
    soundfile.write(path, samples.clip(-1, 1), RATE_HZ)


@pytest.fixture
def library(tmp_path) -> Path:
    """Five recordings: one of three spans, one broken."""
    folder = tmp_path / "library"
    folder.mkdir()
    for number, seconds in enumerate((24, 6, 5, 3)):
        record(folder / f"song {number}.wav", seconds, seed=number)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture
def do(library, tmp_path):
    """Runs the pipeline over the library, by default into the same directory."""

    def done(output="run", pipeline=PIPELINE, source=None, **settings):
        job = Job.of(pipeline, source or library, tmp_path / output, engine=LocalEngine(), split=SPLIT, **settings)
        return run(job)

    return done


def rows(output):
    return sorted(read_ledger(output).to_pylist(), key=lambda row: (row["span_id"], row["clip_id"] or ""))


def clips(output):
    shards = (part.shard.name for part in Ledger.read(output).parts if part.shard)
    return sorted(
        (row for name in shards for row in pq.read_table(output / name, partitioning=None).to_pylist()),
        key=lambda row: row["clip_id"],
    )


def of(rows, uri):
    return [row for row in rows if row["uri"] == uri]


def times(output):
    return {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}


def mtimes(rows):
    return {row["uri"]: row["mtime_ns"] for row in rows}


def touch(path):
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def test_a_recording_that_was_mended_is_done_again_and_no_other(library, do, tmp_path):
    output = tmp_path / "run"
    do()
    before, shards = rows(output), times(output / "clips")
    record(library / "broken.wav", 15, seed=9)
    plain = do()
    assert (plain.spans, plain.changed) == (0, 1)
    assert rows(output) == before
    summary = do(redo=Redo.FAILED)
    assert (summary.spans, summary.changed) == (2, 0)
    do("fresh")
    assert rows(output) == rows(tmp_path / "fresh")
    assert clips(output) == clips(tmp_path / "fresh")
    assert times(output / "clips").items() >= shards.items()


def test_what_still_fails_fails_again(do, tmp_path):
    do()
    before = rows(tmp_path / "run")
    assert do(redo=Redo.FAILED).spans == 1
    assert rows(tmp_path / "run") == before


def test_in_a_new_directory_there_is_nothing_to_do_again(do):
    assert do(redo=Redo.FAILED).spans == 7


def test_where_nothing_failed_nothing_is_rewritten(library, do, tmp_path):
    (library / "broken.wav").unlink()
    do()
    before = times(tmp_path / "run")
    assert do(redo=Redo.FAILED).spans == 0
    assert times(tmp_path / "run") == before


def test_a_clip_that_failed_is_done_again_with_its_span(library, do, tmp_path):
    """Every recording but the shortest has a clip at 4 s, in its first span."""
    bad, calls = tmp_path / "bad", tmp_path / "calls"
    bad.touch()
    pipeline = PIPELINE >> Moody(if_there=str(bad), calls=str(calls))
    do(pipeline=pipeline)
    failed = {row["uri"] for row in rows(tmp_path / "run") if row["clip_id"] and row["verdict"] == "failed"}
    assert failed == {"song 0.wav", "song 1.wav", "song 2.wav"}
    bad.unlink()
    calls.unlink()
    assert do(pipeline=pipeline, redo=Redo.FAILED).spans == 4  # and the broken one
    again = set(calls.read_text().split())
    do("fresh", pipeline)
    assert rows(tmp_path / "run") == rows(tmp_path / "fresh")
    assert clips(tmp_path / "run") == clips(tmp_path / "fresh")
    spans = {row["span_id"] for row in rows(tmp_path / "run") if row["clip_id"] in again}
    assert {span.rpartition("-")[2] for span in spans} == {"0"}
    assert len(again) == sum(row["span_id"] in spans and row["clip_id"] is not None for row in rows(tmp_path / "run"))


def test_of_a_failed_recording_that_changed_since_no_span_is_kept(library, do, tmp_path):
    """Its second span held NaN; none must be made of two versions of a file."""
    samples = np.random.default_rng(5).normal(0, 0.1, 24 * RATE_HZ).astype(np.float32)
    spoilt = samples.copy()
    spoilt[12 * RATE_HZ] = np.nan
    soundfile.write(library / "song 0.wav", spoilt, RATE_HZ, subtype="FLOAT")
    do()
    failed = [row["span_id"][-2:] for row in of(rows(tmp_path / "run"), "song 0.wav") if row["verdict"] == "failed"]
    assert failed == ["-1"]
    soundfile.write(library / "song 0.wav", samples, RATE_HZ, subtype="FLOAT")
    touch(library / "song 0.wav")
    assert do(redo=Redo.FAILED).spans == 4
    do("fresh")
    assert rows(tmp_path / "run") == rows(tmp_path / "fresh")
    assert clips(tmp_path / "run") == clips(tmp_path / "fresh")


def test_a_failed_recording_that_is_gone_keeps_its_rows(library, do, tmp_path):
    do()
    before = rows(tmp_path / "run")
    (library / "broken.wav").unlink()
    assert do(redo=Redo.FAILED).spans == 0
    assert rows(tmp_path / "run") == before


def test_other_content_is_done_again_and_another_time_alone_is_not(library, do, tmp_path):
    output = tmp_path / "run"
    do()
    before = rows(output)
    record(library / "song 1.wav", 6, seed=77)  # of the same size
    record(library / "song 2.wav", 13, seed=2)
    for number in (0, 1, 3):
        touch(library / f"song {number}.wav")
    touch(library / "broken.wav")
    plain = do()
    assert (plain.spans, plain.changed) == (0, 5)
    assert rows(output) == before
    summary = do(redo=Redo.CHANGED)
    assert (summary.spans, summary.changed) == (3, 0)
    after = rows(output)
    do("fresh")
    fresh = rows(tmp_path / "fresh")
    for uri in ("song 1.wav", "song 2.wav"):
        assert of(after, uri) == of(fresh, uri) != of(before, uri)
    for uri in ("song 0.wav", "song 3.wav", "broken.wav"):
        assert of(after, uri) == of(before, uri)
    assert [row["audio"] for row in clips(output)] == [row["audio"] for row in clips(tmp_path / "fresh")]


def test_a_recording_that_grew_or_shrank_has_its_new_spans_and_no_old_ones(library, do, tmp_path):
    do()
    record(library / "song 0.wav", 4, seed=10)
    record(library / "song 3.wav", 21, seed=13)
    assert do(redo=Redo.CHANGED).spans == 4
    do("fresh")
    assert rows(tmp_path / "run") == rows(tmp_path / "fresh")
    assert clips(tmp_path / "run") == clips(tmp_path / "fresh")


def test_what_has_vanished_or_cannot_be_opened_keeps_its_rows(library, do, tmp_path):
    output = tmp_path / "run"
    do()
    before = rows(output)
    (library / "song 0.wav").unlink()
    (library / "song 1.wav").unlink()
    os.mkfifo(library / "song 1.wav")
    (library / "song 2.wav").unlink()
    (library / "song 2.wav").symlink_to("nowhere.wav")
    record(library / "song 3.wav", 3, seed=33)
    for redo in Redo:
        summary = do(source=Folder(path=str(library), moved=True), redo=redo)
        assert summary.spans == 1
    after = rows(output)
    assert [row for row in after if row["uri"] != "song 3.wav"] == [r for r in before if r["uri"] != "song 3.wav"]
    assert of(after, "song 3.wav") != of(before, "song 3.wav")


def test_a_new_artist_moves_all_of_a_changed_recording_to_another_split(library, do, tmp_path):
    output = tmp_path / "run"
    artists = {SPLIT.of(name): name for name in ("Ada", "Bea", "Cy", "Di", "Eve", "Fay", "Gus")}
    sidecar = library / "song 0.json"
    sidecar.write_text(f'{{"artist": "{artists["train"]}"}}')
    do()
    assert {row["split"] for row in of(rows(output), "song 0.wav")} == {"train"}
    sidecar.write_text(f'{{"artist": "{artists["validation"]}"}}')
    record(library / "song 0.wav", 24, seed=55)
    assert do(redo=Redo.CHANGED).spans == 3
    assert {(row["split"], row["artist"]) for row in of(rows(output), "song 0.wav")} == {
        ("validation", artists["validation"])
    }
    folders = {
        path.parent.name
        for path in output.glob("clips/*/*.parquet")
        if "song 0.wav" in pq.read_table(path, partitioning=None)["uri"].to_pylist()
    }
    assert folders == {"validation"}


def test_another_library_is_refused_until_it_is_said_to_have_moved(library, do, tmp_path):
    output = tmp_path / "run"
    do()
    before = rows(output)
    for number in range(4):
        record(library / f"song {number}.wav", 7 + number, seed=number)
    for redo in (None, Redo.CHANGED):
        with pytest.raises(OutputError, match="4 of the 5 recordings it knows have another size"):
            do(redo=redo)
    assert rows(output) == before
    moved = Folder(path=str(library), moved=True)
    plain = do(source=moved)
    assert (plain.spans, plain.changed) == (0, 4)
    assert rows(output) == before
    assert do(source=moved, redo=Redo.CHANGED).changed == 0
    do("fresh")
    assert rows(output) == rows(tmp_path / "fresh")
    assert clips(output) == clips(tmp_path / "fresh")


@pytest.mark.parametrize("redo", [None, Redo.CHANGED])
def test_a_copied_library_goes_on_where_it_was(library, do, tmp_path, redo):
    """Copying gives every file a new time; what was missing is done, and what is there stays."""
    do()
    spans = {part.name: sorted(span.index for span in part.spans) for part in Ledger.read(tmp_path / "run").parts}
    (second,) = (name for name, indices in spans.items() if indices == [1, 2])
    (tmp_path / "run" / second).unlink()
    for path in library.glob("*.wav"):
        touch(path)
    assert do(redo=redo).spans == 2
    do("fresh")
    timeless = [[row | {"mtime_ns": 0} for row in rows(tmp_path / name)] for name in ("run", "fresh")]
    assert timeless[0] == timeless[1]
    assert clips(tmp_path / "run") == clips(tmp_path / "fresh")


def test_what_is_half_done_and_has_other_content_now_does_not_go_on(library, do, tmp_path):
    do()
    before = rows(tmp_path / "run")
    (gone,) = (part for part in Ledger.read(tmp_path / "run").parts if {span.index for span in part.spans} == {1, 2})
    (tmp_path / "run" / gone.name).unlink()
    record(library / "song 0.wav", 24, seed=100)
    touch(library / "song 0.wav")
    summary = do()
    assert (summary.spans, summary.changed) == (0, 1)
    ids = {span.span_id for span in gone.spans}
    assert rows(tmp_path / "run") == [row for row in before if row["span_id"] not in ids]
    assert do(redo=Redo.CHANGED).spans == 3


def test_the_key_is_one_of_two(library, tmp_path):
    words = [f"source.path={library}", f"output.path={tmp_path / 'run'}", "engine=local"]
    assert composed([*words, "redo=failed"]).redo is Redo.FAILED
    assert composed([*words, "redo=changed"]).redo is Redo.CHANGED
    assert composed(words).redo is None
    with pytest.raises(ConfigError, match="redo=often: expected failed or changed"):
        composed([*words, "redo=often"])


def test_it_is_no_part_of_the_recipe(library, tmp_path):
    job = Job.of(PIPELINE, library, tmp_path / "run")
    assert replace(job, redo=Redo.FAILED).recipe() == job.recipe()
