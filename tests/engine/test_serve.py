"""A model op on tasks, actors and Ray Serve gives the same rows, replicas that are killed included."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from audiocur.engine.ray import RayEngine
from audiocur.errors import ConfigError, RowError, RunError
from audiocur.job import Job
from audiocur.op import Column, Device, ModelOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline
from audiocur.placement import Placement, Via
from audiocur.records import Clip
from audiocur.run import run
from audiocur.store.ledger import read_ledger

pytest.importorskip("ray.serve")
pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Peaks(ModelOp):
    """A model with weights of its own that takes its time; each process that loads it leaves a note."""

    name = "peaks"
    reads = ("loudness_lufs",)
    writes = (
        Column("peak", pa.float32(), "", "of the clip, times a weight"),
        Column("louder", pa.bool_(), "", "than -30 LUFS"),
    )
    makes: ClassVar[tuple[str, ...]] = ("peak_samples",)
    notes: str = ""
    takes_s: float = 0.0

    def load(self, device: Device) -> float:
        if self.notes:
            Path(self.notes, str(os.getpid())).touch()
        return 3.0

    def measure_batch(self, clips: Sequence[Clip], model: float) -> list[dict[str, Any]]:
        time.sleep(self.takes_s)
        results = []
        for clip in clips:
            clip.features["peak_samples"] = np.abs(clip.audio.samples).argmax(axis=1)
            peak = float(np.abs(clip.audio.samples).max()) * model
            results.append({"peak": peak, "louder": clip.measures["loudness_lufs"] > -30})
        return results


@dataclass(frozen=True, kw_only=True)
class Places(ModelOp):
    """Takes what the other made."""

    name = "places"
    takes = ("peak_samples",)
    writes = (Column("peak_at", pa.int64(), "samples", "where the peak of the first channel is"),)

    def load(self, device: Device) -> None:
        return None

    def measure_batch(self, clips: Sequence[Clip], model: None) -> list[dict[str, Any]]:
        return [{"peak_at": int(clip.features["peak_samples"][0])} for clip in clips]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(2)
    for number in range(12):
        samples = rng.normal(0, 0.01 + 0.02 * number, ((4 + number) * 8000, 2)).clip(-1, 1)
        soundfile.write(folder / f"{number}.wav", samples, 8000)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _started():
    with RayEngine(cpus=2, object_store_mb=100).started(()):
        yield


def outcome(output):
    rows = {row["clip_id"]: row for row in read_ledger(output).to_pylist() if row["clip_id"]}
    audio = {
        row["clip_id"]: row["audio"]["bytes"]
        for path in output.glob("clips/*/*.parquet")
        for row in pq.ParquetFile(path).read().to_pylist()
    }
    return rows, audio


def done(library, output, op, **placement):
    steps = (Decode() >> Window(length_s=3, min_s=1) >> Loudness() >> Encode() >> op >> Places()).steps
    pipeline = Pipeline(steps, {}, {"peaks": Placement(**placement)} if placement else {})
    return run(Job.of(pipeline, library, output, engine=RayEngine(cpus=2)))


@pytest.fixture(scope="module")
def expected(library, tmp_path_factory):
    output = tmp_path_factory.mktemp("expected") / "run"
    done(library, output, Peaks())
    rows, audio = outcome(output)
    assert len(audio) > 20
    assert all(row["peak_at"] is not None for row in rows.values())
    return rows, audio


@pytest.mark.parametrize("via", [Via.actor, Via.serve])
@pytest.mark.parametrize("actors", [[1], [1, 2]])
def test_where_a_model_runs_changes_no_row(library, expected, tmp_path, via, actors):
    summary = done(library, tmp_path / "run", Peaks(), via=via, cpus=0.5, actors=actors, batch_clips=4)
    assert outcome(tmp_path / "run") == expected
    usage = summary.usage["peaks"]
    assert usage.clips == len(expected[1])
    assert usage.batches >= usage.clips / 4


def test_a_replica_that_is_killed_changes_nothing(library, expected, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    struck = []

    def strike():
        while len(list(notes.iterdir())) < 2:
            time.sleep(0.05)
        time.sleep(1)
        pid = min(int(path.name) for path in notes.iterdir())
        os.kill(pid, signal.SIGKILL)
        struck.append(pid)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    op = Peaks(notes=str(notes), takes_s=0.3)
    done(library, tmp_path / "run", op, via=Via.serve, cpus=0.5, actors=[2], batch_clips=2)
    thread.join(1)
    assert struck
    assert len(list(notes.iterdir())) >= 3, "another replica took its place"
    assert outcome(tmp_path / "run") == expected


@dataclass(frozen=True, kw_only=True)
class Picky(Peaks):
    """Refuses the clips that begin a recording."""

    def measure_batch(self, clips: Sequence[Clip], model: float) -> list[dict[str, Any]]:
        if any(clip.start_sample == 0 for clip in clips):
            raise RowError("begins a recording")
        return super().measure_batch(clips, model)


def test_an_error_has_the_same_words_wherever_it_was_raised(library, tmp_path):
    done(library, tmp_path / "task", Picky())
    done(library, tmp_path / "serve", Picky(), via=Via.serve, cpus=0.5)
    rows, audio = outcome(tmp_path / "task")
    assert {row["reason"] for row in rows.values() if row["verdict"] == "failed"} == {"begins a recording"}
    assert outcome(tmp_path / "serve") == (rows, audio)


def test_an_application_that_ends_meanwhile_stops_the_run_which_can_go_on(library, expected, tmp_path):
    from ray import serve

    from audiocur.engine.serve import deployment
    from audiocur.pipeline import Step

    serve.start(proxy_location="Disabled")
    op, where = Peaks(takes_s=0.5), Placement(via=Via.serve, cpus=0.5, batch_clips=1)
    serve.run(deployment(Step("peaks", op), where, "test"), name="mine", route_prefix=None)
    thread = threading.Timer(6, serve.delete, ["mine"])
    thread.start()
    with pytest.raises(RunError, match=r"peaks: the application mine has ended|peaks: its replicas do not answer"):
        done(library, tmp_path / "run", op, via=Via.serve, app="mine", batch_clips=1)
    thread.join()
    done(library, tmp_path / "run", op)
    assert outcome(tmp_path / "run") == expected, "no clip paid for it"


def test_what_was_served_for_a_run_ends_with_it(library, tmp_path):
    from ray import serve

    done(library, tmp_path / "run", Peaks(), via=Via.serve, cpus=0.5)
    assert not serve.status().applications


def test_an_application_that_is_not_there_is_refused(library, tmp_path):
    with pytest.raises(ConfigError, match=r"placement\.peaks\.app=nowhere: expected an application that runs \(none\)"):
        done(library, tmp_path / "run", Peaks(), via=Via.serve, app="nowhere")


@dataclass(frozen=True, kw_only=True)
class Unloadable(Peaks):
    """Its weights are broken."""

    def load(self, device: Device) -> float:
        raise ValueError("bad magic number")


def test_a_replica_that_cannot_load_its_model_stops_the_run_with_the_reason(library, tmp_path):
    with pytest.raises(RunError, match=r"peaks: its replicas cannot be started: .*bad magic number"):
        done(library, tmp_path / "run", Unloadable(), via=Via.serve, cpus=0.5)
