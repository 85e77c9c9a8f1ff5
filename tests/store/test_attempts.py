"""What is known of spans that were lost outlives the driver that lost them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.engine.local import LocalEngine
from audiocur.job import Job, Limits
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.records import source_id
from audiocur.redo import Redo
from audiocur.run import run
from audiocur.storage import open_store
from audiocur.store.attempts import ATTEMPTS, Attempts
from audiocur.store.ledger import read_ledger

#: Ends its process on recordings of one channel as long as a file is there; written to a module of its own, for the
#: process that it ends has to import it.
ABORT = """
import os
from dataclasses import dataclass
from pathlib import Path
from audiocur.op import ClipOp

@dataclass(frozen=True, kw_only=True)
class Abort(ClipOp):
    name = "abort"
    if_there: str

    def measure(self, clip):
        if clip.audio.channels == 1 and Path(self.if_there).exists():
            os.abort()
        return {}
"""


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path)


def test_there_are_none_at_first(store):
    assert Attempts.read(store).deaths == {}
    assert store.files() == {}


def test_they_are_kept(store):
    attempts = Attempts.read(store)
    attempts.suspect(["a-0", "b-0"])
    attempts.add("a-0", "crashed (SIGSEGV)")
    assert Attempts.read(store).deaths == {"a-0": ["crashed (SIGSEGV)"], "b-0": []}
    again = Attempts.read(store)
    again.add("a-0", "crashed (SIGABRT)")
    again.add("c-3", "crashed (SIGABRT)")
    again.suspect(["a-0"])
    assert Attempts.read(store).deaths == {
        "a-0": ["crashed (SIGSEGV)", "crashed (SIGABRT)"],
        "b-0": [],
        "c-3": ["crashed (SIGABRT)"],
    }


def test_what_is_settled_is_forgotten(store):
    attempts = Attempts.read(store)
    attempts.forget(["a-0"])
    assert store.files() == {}
    attempts.suspect(["a-0", "b-0", "c-0"])
    attempts.forget(["a-0", "c-0", "x-0"])
    assert Attempts.read(store).deaths == {"b-0": []}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job in which recordings of one channel take their process down as long as `poison` is there."""
    (tmp_path / "attempts_abort.py").write_text(ABORT)
    monkeypatch.syspath_prepend(tmp_path)
    from attempts_abort import Abort

    (tmp_path / "library").mkdir()

    def made(**settings) -> Job:
        pipeline = Decode() >> Window(length_s=4, min_s=1) >> Abort(if_there=str(tmp_path / "poison"))
        limits = Limits(max_attempts=2)
        return Job.of(pipeline, tmp_path / "library", tmp_path / "run", engine=LocalEngine(), limits=limits, **settings)

    return made


def record(path, channels):
    soundfile.write(path, np.zeros((16_000, channels)), 8000)


def spans(output: Path) -> dict[str, tuple[str, str | None]]:
    rows = read_ledger(output).to_pylist()
    return {row["uri"]: (row["verdict"], row["reason"]) for row in rows if row["clip_id"] is None}


def test_a_later_driver_goes_on_counting_and_a_redo_begins_again(job, tmp_path):
    """As if a driver had lost two spans with a worker, and one of them once more alone, before it was killed."""
    record(tmp_path / "library/first.wav", 2)
    run(job())
    record(tmp_path / "library/mono.wav", 1)
    record(tmp_path / "library/stereo.wav", 2)
    (tmp_path / "poison").touch()
    mono, stereo = (f"{source_id(name)}-0" for name in (b"mono.wav", b"stereo.wav"))
    attempts = tmp_path / "run" / ATTEMPTS
    attempts.write_text(json.dumps({mono: ["crashed (SIGABRT)"], stereo: []}))

    assert run(job()).spans == 2
    others = {"first.wav": ("done", None), "stereo.wav": ("done", None)}
    assert spans(tmp_path / "run") == {"mono.wav": ("failed", "crashed (SIGABRT), 2 times"), **others}
    assert json.loads(attempts.read_text()) == {}

    (tmp_path / "poison").unlink()
    attempts.write_text(json.dumps({mono: ["crashed (SIGABRT)"] * 5}))
    assert run(job(redo=Redo.FAILED)).spans == 1
    assert spans(tmp_path / "run") == {"mono.wav": ("done", None), **others}
    assert json.loads(attempts.read_text()) == {}
