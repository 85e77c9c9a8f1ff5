"""How far a run is: what is written down of real runs equals their ledger, whatever ended them."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.engine.local import LocalEngine
from audiocur.errors import RunError
from audiocur.job import Job
from audiocur.op import ClipOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline
from audiocur.progress import SilentProgress
from audiocur.reporting import Reporter, ledger_outcome
from audiocur.rules import KeepRule
from audiocur.run import run
from audiocur.status import Amount, Effort, Spent, StageOps, State, Status
from audiocur.storage import open_store
from audiocur.storage.local import LocalStore
from audiocur.store.ledger import Ledger

RULES = {"loud": KeepRule(column="loudness_lufs", min=-30)}


@dataclass(frozen=True, kw_only=True)
class Raises(ClipOp):
    """Fails on the clips that are longer than that, with an error of that name."""

    name = "raises"
    error: str
    over_s: float = 0.0

    def measure(self, clip):
        if clip.duration_s > self.over_s:
            raise {"KeyboardInterrupt": KeyboardInterrupt, "KeyError": KeyError}[self.error]("a bug")
        return {}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Five recordings of 3 to 12 s, the louder the longer; one of them broken."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(1)
    for number in range(4):
        noise = rng.normal(0, 0.005 + 0.03 * number, (number + 1) * 3 * 8000)
        soundfile.write(folder / f"song {number}.wav", noise.clip(-1, 1), 8000)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def job(library, output, *ops, **settings) -> Job:
    pipeline = Pipeline.of(Decode(span_s=10), Window(length_s=4, min_s=1), Loudness(), *ops, Encode())
    return Job.of(pipeline, library, output, keep=RULES, engine=LocalEngine(), **settings)


def status_of(output) -> Status:
    found = Status.read(open_store(output))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def done(library, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "done"
    run(job(library, output))
    return output


def test_it_says_what_the_ledger_says(done):
    status, ledger = status_of(done), Ledger.read(done)
    assert status.state is State.done
    assert (status.sources, status.sources_done, status.done_ratio, status.left_s) == (5, 5, 1.0, None)
    assert status.outcome == ledger_outcome(ledger)
    spans = list(ledger.spans())
    assert status.outcome.spans == Amount(len(spans), sum(span.duration_s for span in spans))
    assert status.outcome.unreadable.keys() == {span.why for span in spans if span.failed}
    rows = [row for row in ledger.table().to_pylist() if row["clip_id"]]
    for verdict, amount in status.outcome.verdicts.items():
        its = [row["duration_s"] for row in rows if row["verdict"] == verdict]
        assert (amount.count, amount.seconds) == (len(its), pytest.approx(sum(its)))
    assert status.outcome.rejected["loud"].count == sum(row["rule"] == "loud" for row in rows) > 0


def test_it_says_what_that_took(done):
    status = status_of(done)
    clips = sum(amount.count for amount in status.outcome.verdicts.values())
    assert (status.now.sessions, status.before) == (1, Effort())
    assert status.now.audio_s == pytest.approx(30.0)
    assert status.now.speed == pytest.approx(30.0 / status.now.elapsed_s)
    assert status.now.ops["loudness"].calls == clips
    assert status.now.ops["encode"].calls == status.outcome.kept.count
    (stage,) = status.work(status.now)
    assert stage.stage == StageOps(("decode", "segment", "loudness", "encode"), "tasks of 1 CPU")
    assert 0 < stage.busy_s < status.now.elapsed_s
    assert stage.share == pytest.approx(1.0)
    assert stage.speed == pytest.approx(30.0 / stage.busy_s)
    assert sum(share for _, share in stage.most) == pytest.approx(1.0)
    assert [share for _, share in stage.most] == sorted((share for _, share in stage.most), reverse=True)


def test_what_is_written_is_what_is_read(done):
    store = open_store(done)
    status = status_of(done)
    copy = replace(status)
    copy.write(store)
    assert replace(status_of(done), updated="") == replace(status, updated="")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"state": "done"}', b'{"state": "asleep"}', b"\xff"])
def test_what_is_damaged_says_nothing(tmp_path, data):
    (tmp_path / "progress.json").write_bytes(data)
    assert Status.read(open_store(tmp_path)) is None


def test_a_run_that_goes_on_adds_up(library, tmp_path):
    some = tmp_path / "library"
    some.mkdir()
    for name in ("song 0.wav", "song 1.wav"):
        shutil.copy(library / name, some)
    run(job(some, tmp_path / "run"))
    first = status_of(tmp_path / "run")
    shutil.copytree(library, some, dirs_exist_ok=True)
    run(job(some, tmp_path / "run"))
    both = status_of(tmp_path / "run")
    assert (both.sources, both.sources_done, both.began) == (5, 5, first.began)
    assert both.before == first.now
    assert both.now.audio_s == pytest.approx(30.0 - first.now.audio_s)
    assert both.effort.sessions == 2
    assert both.effort.audio_s == pytest.approx(30.0)
    assert both.effort.elapsed_s == pytest.approx(first.now.elapsed_s + both.now.elapsed_s)
    assert both.outcome == ledger_outcome(Ledger.read(tmp_path / "run"))
    assert 0 < both.begun_s < both.expected_s


@pytest.mark.parametrize(("raises", "state"), [("KeyboardInterrupt", State.interrupted), ("KeyError", State.stopped)])
def test_its_last_word_is_what_ended_it(library, tmp_path, monkeypatch, raises, state):
    monkeypatch.setattr("audiocur.passes.LEAST_EVIDENCE", 1)
    with pytest.raises((KeyboardInterrupt, RunError)):
        run(job(library, tmp_path / "run", Raises(error=raises)))
    assert status_of(tmp_path / "run").state is state


def test_where_it_cannot_be_written_the_run_goes_on_and_says_so(library, tmp_path, monkeypatch):
    real = LocalStore.write

    def write(self, name, *arguments, **more):
        if name == "progress.json":
            raise OSError(13, "Permission denied")
        real(self, name, *arguments, **more)

    monkeypatch.setattr(LocalStore, "write", write)
    summary = run(job(library, tmp_path / "run"))
    assert summary.spans == 6
    assert Status.read(summary.output) is None
    log = (tmp_path / "run/log.txt").read_text()
    assert log.count("how far it is could not be written down: Permission denied") == 2


def test_it_is_written_now_and_then(library, tmp_path, monkeypatch):
    real, states = LocalStore.write, []

    def write(self, name, data, **more):
        if name == "progress.json":
            said = json.loads(data)
            states.append((said["state"], said["sources_done"]))
        real(self, name, data, **more)

    monkeypatch.setattr(LocalStore, "write", write)
    run(job(library, tmp_path / "quick"))
    assert states == [("running", 0), ("done", 5)]
    states.clear()
    monkeypatch.setattr("audiocur.reporting.WRITE_EVERY_S", 0.0)
    run(job(library, tmp_path / "each"))
    assert states[0] == ("running", 0)
    assert states[-2:] == [("running", 5), ("done", 5)]
    assert len(states) > 2


def test_what_is_left_follows_from_this_session():
    status = Status(sources=10, sources_done=5, expected_s=1000.0, done_s=500.0, begun_s=400.0)
    status.now.elapsed_s = 20.0
    assert (status.done_ratio, status.left_s) == (0.5, 100.0)
    assert Status(sources=10, expected_s=1000.0).left_s is None
    assert replace(status, state=State.stopped).left_s is None
    assert Status().done_ratio == 1.0


def test_a_stage_is_as_slow_as_its_ops():
    stages = (StageOps(("decode", "encode"), "tasks of 1 CPU"), StageOps(("asr",), "2 actors of 1 GPU"))
    effort = Effort(1, 10.0, 400.0, {"decode": Spent(1, 3.0), "encode": Spent(1, 1.0), "asr": Spent(1, 12.0)})
    cpu, gpu = Status(stages=stages).work(effort)
    assert (cpu.busy_s, cpu.share, cpu.speed, cpu.most) == (4.0, 0.25, 100.0, (("decode", 3 / 16), ("encode", 1 / 16)))
    assert (gpu.share, gpu.speed) == (0.75, pytest.approx(400 / 12))
    assert [each.speed for each in Status(stages=stages).work(Effort())] == [None, None]


@dataclass(frozen=True)
class Forgetful(LocalEngine):
    """Commits everything, and tells of nothing."""

    def run(self, stages, blocks, committer, **more):
        yield from list(super().run(stages, blocks, committer, **more))[:0]


def test_what_was_committed_without_a_word_counts_all_the_same(library, done, tmp_path):
    run(replace(job(library, tmp_path / "run"), engine=Forgetful()))
    status = status_of(tmp_path / "run")
    assert (status.state, status.sources, status.sources_done) == (State.done, 5, 5)
    assert status.done_s == pytest.approx(status.expected_s)
    assert status.outcome == status_of(done).outcome
    assert status.now.audio_s == 0.0


def test_a_driver_that_lost_the_run_does_not_tell_of_it(library, done, tmp_path):
    output = shutil.copytree(done, tmp_path / "run")
    store, status = open_store(output), status_of(output)
    log = logging.getLogger("lost")
    with Reporter(store, replace(status, sources=99), SilentProgress(), log).running():
        assert status_of(output).sources == 99
    Ledger.read(store).begin_epoch({})
    with Reporter(store, replace(status, sources=98), SilentProgress(), log).running():
        pass
    assert status_of(output).sources == 99


def test_a_kill_after_the_last_commit_is_mended_by_the_next_start(library, done, tmp_path):
    output = Path(shutil.copytree(done, tmp_path / "run"))
    said = json.loads((output / "progress.json").read_text())
    (output / "progress.json").write_text(json.dumps({**said, "state": "running"}))
    run(job(library, output))
    assert status_of(output).state is State.done
