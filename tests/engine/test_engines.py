"""Both engines give the same rows and the same bytes; runs resume; what a run leaves behind is exact."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
import soundfile

from audiocur.engine.local import LocalEngine
from audiocur.engine.ray import RayEngine
from audiocur.errors import ConfigError, OutputError, RunError
from audiocur.job import Job, Limits
from audiocur.op import ClipOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.placement import Placement, Via
from audiocur.planning import Split
from audiocur.rules import KeepRule
from audiocur.run import run
from audiocur.store.commit import Committer
from audiocur.store.ledger import read_ledger


@dataclass(frozen=True, kw_only=True)
class Broken(ClipOp):
    name = "broken"

    def measure(self, clip):
        return {}["missing"]


@dataclass(frozen=True, kw_only=True)
class Sabotage(ClipOp):
    """Puts a file where the run's ledger is, so that committing fails."""

    name = "sabotage"
    ledger: str

    def measure(self, clip):
        shutil.rmtree(self.ledger)
        Path(self.ledger).touch()
        return {}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Eight recordings of 3 to 24 s, one of them broken."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(1)
    for number in range(7):
        samples = rng.normal(0, 0.02 + 0.02 * number, ((number + 1) * 3 * 8000, 1 + number % 2))
        soundfile.write(folder / f"song {number}.wav", samples.clip(-1, 1), 8000)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def started():
    """One Ray instance for all tests of this module; the engine uses the one that is there."""
    with RayEngine(object_store_mb=100).started(()):
        yield


PIPELINE = Decode(span_s=10) >> Window(length_s=4, min_s=1) >> Loudness() >> Encode()
RULES = {"loud": KeepRule(column="loudness_lufs", min=-30)}


def job(library, output, engine, **settings):
    return Job.of(PIPELINE, library, output, keep=RULES, engine=engine, split=Split(validation=0.3, test=0), **settings)


def shards(output):
    rows = [row for path in sorted(output.glob("clips/*/*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]
    return {row["clip_id"]: row for row in rows}


def ledger(output):
    return sorted(
        read_ledger(output).to_pylist(), key=lambda row: (row["span_id"], row["start_sample"], row["clip_id"] or "")
    )


@pytest.fixture(scope="module")
def oracle(library, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "local"
    run(job(library, output, LocalEngine()))
    return output


def test_the_ledger_accounts_for_every_second(oracle):
    rows = ledger(oracle)
    spans = [row for row in rows if row["clip_id"] is None]
    clips = [row for row in rows if row["clip_id"] is not None]
    assert sum(row["duration_s"] for row in spans) == pytest.approx(sum(range(1, 8)) * 3)
    assert {row["verdict"] for row in clips} == {"kept", "rejected"}
    kept = {row["clip_id"] for row in clips if row["verdict"] == "kept"}
    assert kept == shards(oracle).keys()
    (broken,) = [row for row in spans if row["verdict"] == "failed"]
    assert broken["uri"] == "broken.wav"
    for span in spans:
        cut = sum(row["duration_s"] for row in clips if row["span_id"] == span["span_id"])
        assert cut + span["uncut_s"] == pytest.approx(span["duration_s"])


def test_spans_chain_to_the_true_end(oracle):
    spans = [row for row in ledger(oracle) if row["clip_id"] is None and row["uri"] == "song 6.wav"]
    assert [(row["start_s"], row["duration_s"], row["last"]) for row in spans] == [
        (0.0, 10.0, False),
        (10.0, 10.0, False),
        (20.0, 1.0, True),
    ]
    assert [row["content_sha256"] is None for row in spans] == [False, True, True]


def test_ray_gives_the_same_rows_and_bytes(library, oracle, tmp_path, started):
    run(job(library, tmp_path / "ray", RayEngine(cpus=2)))
    assert shards(tmp_path / "ray") == shards(oracle)
    assert ledger(tmp_path / "ray") == ledger(oracle)


def test_placement_never_changes_a_row(library, oracle, tmp_path, started, ops):
    placed = Job.of(
        PIPELINE >> ops.Counting(),
        library,
        tmp_path / "placed",
        keep=RULES,
        split=Split(validation=0.3, test=0),
        engine=RayEngine(cpus=2),
    )
    placements = {"counting": Placement(via=Via.actor, cpus=0.5, actors=[1, 2], batch_clips=1)}
    pipeline = type(placed.pipeline)(placed.pipeline.steps, placed.pipeline.rules, placements)
    run(Job.of(pipeline, library, tmp_path / "placed", split=placed.split, engine=placed.engine))
    rows = shards(tmp_path / "placed")
    assert {(row["batch"], row["model"]) for row in rows.values()} == {(1, "loaded")}
    assert {key: {k: v for k, v in row.items() if k not in ("batch", "model")} for key, row in rows.items()} == shards(
        oracle
    )


def test_a_second_run_into_the_same_directory_does_nothing(library, oracle):
    before = {path: path.stat().st_mtime_ns for path in oracle.rglob("*.parquet")}
    summary = run(job(library, oracle, LocalEngine()))
    assert (summary.spans, summary.resumed) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in oracle.rglob("*.parquet")} == before


def test_a_part_that_is_lost_is_done_again(library, oracle, tmp_path):
    output = tmp_path / "run"
    run(job(library, output, LocalEngine()))
    next(iter(sorted(output.glob("clips/*/*.parquet")))).unlink()
    sorted(output.glob("ledger/part-*.parquet"))[-1].unlink()
    summary = run(job(library, output, LocalEngine()))
    assert summary.spans > 0
    assert shards(output) == shards(oracle)
    assert ledger(output) == ledger(oracle)


def test_new_recordings_are_picked_up(library, tmp_path):
    mine = tmp_path / "library"
    mine.mkdir()
    for path in sorted(library.iterdir())[:4]:
        (mine / path.name).write_bytes(path.read_bytes())
    run(job(mine, tmp_path / "run", LocalEngine()))
    (mine / "song 6.wav").write_bytes((library / "song 6.wav").read_bytes())
    summary = run(job(mine, tmp_path / "run", LocalEngine()))
    assert (summary.sources, summary.spans) == (5, 3)


def test_another_library_under_the_same_names_is_refused(library, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    run(job(library, tmp_path / "run", LocalEngine()))
    for path in library.iterdir():
        (other / path.name).write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(OutputError, match="8 of the 8 recordings it knows have another size"):
        run(job(other, tmp_path / "run", LocalEngine()))


def test_artists_are_never_torn(library, oracle):
    splits = {}
    for row in ledger(oracle):
        splits.setdefault(row["group"], set()).add(row["split"])
    assert all(len(each) == 1 for each in splits.values())
    assert set().union(*splits.values()) == {"train", "validation"}


def test_a_bug_in_an_op_stops_the_run_and_shows_itself(tmp_path, library):
    pipeline = Decode() >> Window(length_s=4, min_s=1) >> Broken()
    with pytest.raises(RunError, match=r"broken fails on (\d+) of \1 calls, so it is a bug: KeyError"):
        run(Job.of(pipeline, library, tmp_path / "run", engine=LocalEngine()))


def test_what_no_node_has_is_refused(library, tmp_path, started):
    pipeline = type(PIPELINE)(PIPELINE.steps, {}, {step.name: Placement(gpus=64) for step in PIPELINE.steps})
    with pytest.raises(ConfigError, match=r"placement.decode: tasks of 1 CPU and 64 GPU: no node has that much"):
        run(Job.of(pipeline, library, tmp_path / "run", engine=RayEngine()))


@pytest.mark.parametrize("engine", [LocalEngine(), RayEngine(cpus=1)], ids=["local", "ray"])
def test_a_commit_that_fails_stops_the_run_with_its_reason(library, tmp_path, started, engine):
    pipeline = Decode() >> Window(length_s=60, min_s=1) >> Sabotage(ledger=str(tmp_path / "run/ledger"))
    with pytest.raises(RunError, match="run cannot be written: "):
        run(Job.of(pipeline, library / "song 6.wav", tmp_path / "run", engine=engine))


@dataclass(frozen=True, kw_only=True)
class Killer(ClipOp):
    """Ends its worker on every clip of one recording."""

    name = "killer"
    start_s: float

    def measure(self, clip):
        if clip.start_s == self.start_s:
            os._exit(1)
        return {}


def test_what_kills_its_worker_fails_alone(library, tmp_path, started):
    """Only the longest recording has a clip that begins at 16 s; its neighbours in the block are done all the same."""
    pipeline = Decode() >> Window(length_s=4, min_s=1) >> Killer(start_s=16)
    limits = Limits(max_attempts=1)
    run(Job.of(pipeline, library, tmp_path / "run", engine=RayEngine(cpus=1), limits=limits))
    failed = {row["uri"]: (row["reason"], row["op"]) for row in ledger(tmp_path / "run") if row["verdict"] == "failed"}
    crashed = ("crashed (exit status 1), 1 time", None)
    assert failed == {"broken.wav": failed["broken.wav"], "song 5.wav": crashed, "song 6.wav": crashed}


@dataclass(frozen=True)
class DyingCommitter(Committer):
    """Its worker dies right after the commit, so that the driver never hears of it."""

    def commit(self, spans):
        committed = super().commit(spans)
        if len(spans) > 2:
            os._exit(1)
        return committed


def test_what_was_committed_by_a_worker_that_died_is_not_done_again(library, tmp_path, started, monkeypatch):
    monkeypatch.setattr("audiocur.run.Committer", DyingCommitter)
    run(job(library, tmp_path / "run", RayEngine(cpus=1)))
    monkeypatch.undo()
    rows = ledger(tmp_path / "run")
    spans = [row["span_id"] for row in rows if row["clip_id"] is None]
    assert len(spans) == len(set(spans))
    again = run(job(library, tmp_path / "run", RayEngine(cpus=1)))
    assert again.spans == 0


def test_a_recording_that_changed_is_left_as_it_was(library, tmp_path):
    mine = tmp_path / "library"
    shutil.copytree(library, mine)
    run(job(mine, tmp_path / "run", LocalEngine()))
    (mine / "song 6.wav").write_bytes((mine / "song 6.wav").read_bytes() + b"\0")
    summary = run(job(mine, tmp_path / "run", LocalEngine()))
    assert (summary.changed, summary.spans) == (1, 0)


def test_a_failure_in_several_spans_is_one_recording(tmp_path):
    samples = np.full((30 * 8000, 1), np.nan, np.float32)
    (tmp_path / "library").mkdir()
    soundfile.write(tmp_path / "library/nan.wav", samples, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "library/good.wav", np.zeros((8000, 1)), 8000)
    summary = run(job(tmp_path / "library", tmp_path / "run", LocalEngine()))
    assert [(line.what, line.number) for line in summary.funnel.unreadable] == [
        ("unreadable: contains NaN or infinite samples (decode)", "1 recording")
    ]


def _ray_processes(driver: int) -> list[str]:
    """Command lines that name the session folder of a driver."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = path.read_text(errors="replace")
            if f"/tmp/audiocur-{driver}-" in words:
                found.append(words)
    return found


def test_ray_ends_with_the_run_and_leaves_nothing(library, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from audiocur.ops.transform.decode import Decode\n"
        "from audiocur.ops.segment.window import Window\n"
        "from audiocur.ops.measure.loudness import Loudness\n"
        f"summary = (Decode() >> Window(length_s=4) >> Loudness()).run({str(library)!r}, 'run')\n"
        "import os; print(os.getpid(), summary.funnel.kept.count)\n"
    )
    # What a driver leaves that is killed, the next one removes.
    abandoned = Path("/tmp/audiocur-1-abandoned")
    abandoned.mkdir(exist_ok=True)
    (abandoned / "driver.lock").touch()
    # A deep TMPDIR, as clusters have them, is too long a path for a socket.
    deep = tmp_path / "deep"
    deep.mkdir()
    environment = {**os.environ, "TMPDIR": str(deep)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    driver, kept = map(int, line.split())
    assert kept > 10
    assert not list(Path("/tmp").glob(f"audiocur-{driver}-*"))
    assert not abandoned.exists()
    deadline = time.monotonic() + 10
    while (left := _ray_processes(driver)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    assert list(deep.iterdir()) == []
    assert not (tmp_path / "run/clips").exists()


def test_the_engine_uses_a_ray_that_is_there_and_leaves_it(started):
    with RayEngine().started(()):
        assert ray.is_initialized()
    assert ray.is_initialized()
