"""Looking on at a run from elsewhere: real drivers in processes of their own, and one of them killed."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from audiocur import watch as watching
from audiocur.config import job
from audiocur.decide import decide
from audiocur.errors import OutputError
from audiocur.progress import SilentProgress
from audiocur.run import run
from audiocur.status import Amount, State, Status
from audiocur.storage import open_store
from audiocur.store.lease import taken
from audiocur.watch import Look, looks, watch

#: A driver whose op waits, from the third recording on, until a file is there.
DRIVER = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from audiocur import ClipOp, Decode, Encode, Job, LocalEngine, Loudness, Window
from audiocur import reporting
from audiocur.run import run

library, output, gate = sys.argv[1:]
reporting.WRITE_EVERY_S = 0.0

@dataclass(frozen=True, kw_only=True)
class Waits(ClipOp):
    name = "waits"

    def measure(self, clip):
        while clip.duration_s < 3 and not Path(gate).exists():
            time.sleep(0.01)
        return {}

pipeline = Decode() >> Window(length_s=4, min_s=1) >> Loudness() >> Waits() >> Encode()
run(Job.of(pipeline, library, output, engine=LocalEngine()))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A long recording, which makes a block of its own, and a short one, at which the driver waits."""
    folder = tmp_path_factory.mktemp("library")
    noise = np.random.default_rng(1).normal(0, 0.1, (44_100 * 40, 2))
    for number, seconds in enumerate((40, 2)):
        soundfile.write(folder / f"{number}.wav", noise[: 44_100 * seconds], 44_100)
    return folder


@pytest.fixture
def driver(library, tmp_path):
    """A driver that has done one of two recordings and waits; (the process, its run, the file that it waits for)."""
    output, gate = tmp_path / "run", tmp_path / "gate"
    command = [sys.executable, "-c", DRIVER, str(library), str(output), str(gate)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while (found := Status.read(open_store(output))) is None or found.sources_done != 1:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.02)
            yield process, output, gate
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watching, "LINE_EVERY_S", 0.0)


def watched(output, *, terminal=False, width=100) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, height=30, color_system=None)
    watch(open_store(output), console)
    return console.file.getvalue()


def test_it_follows_a_run_to_its_end(driver):
    process, output, gate = driver
    threading.Timer(0.5, gate.touch).start()
    lines = watched(output).splitlines()
    assert process.wait() == 0
    assert lines[0].startswith("1 of 2 recordings, 40.0 s · 10 kept, 0 rejected, 0 failed · ")
    assert lines[-2].startswith("2 of 2 recordings, 42.0 s · 11 kept, 0 rejected, 0 failed · ")
    assert lines[-1] == "Done."


def test_a_driver_that_was_killed_is_told_of(driver):
    process, output, _ = driver
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Status.read(open_store(output)).state is State.running
    lines = watched(output).splitlines()
    assert lines[0].startswith("1 of 2 recordings, ")
    assert lines[1:] == [
        "Its driver is gone without a word: killed, or its machine was. The same command goes on from there."
    ]


def test_one_that_is_killed_while_it_is_watched(driver, monkeypatch):
    monkeypatch.setattr(watching, "BEAT_S", 0.1)
    process, output, _ = driver
    threading.Timer(0.5, process.kill).start()
    text = watched(output, terminal=True)
    assert "1 of 2 recordings" in text
    assert "Its driver is gone" in text.splitlines()[-1]


def test_ctrl_c_ends_the_watching_quietly_and_not_the_run(driver):
    process, output, gate = driver
    command = [sys.executable, "-m", "audiocur", "watch", str(output)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs this in the background hands down SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as watcher:
        assert watcher.stdout.readline().startswith("1 of 2 recordings")
        watcher.send_signal(signal.SIGINT)
        rest, errors = watcher.communicate(timeout=30)
    assert (rest, errors, watcher.returncode) == ("", "", 0)
    gate.touch()
    assert process.wait() == 0


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "report.html").touch()
    with pytest.raises(OutputError, match="expected a run of audiocur, which is a directory"):
        watched(tmp_path / "report.html")


def test_a_run_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(OutputError, match="nosuch: expected a run of audiocur"):
        watched(tmp_path / "nosuch")
    done = subprocess.run(
        [sys.executable, "-m", "audiocur", "watch", "nosuch"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "audiocur: nosuch: expected a run of audiocur\n")


def test_what_has_only_begun_is_waited_for(tmp_path):
    store = open_store(tmp_path)
    found = looks(store, 0.0)
    with taken(store, {}, lambda text: None) as lease:
        assert next(found) == Look(None, "begun; nothing is counted yet")
        status = Status(epoch=lease.epoch, sources=3)
        status.outcome.kept = Amount(1, 5.0)
        status.write(store)
        look = next(found)
        assert (look.status.outcome, look.text, look.ended) == (status.outcome, "", False)
        status.state = State.interrupted
        status.write(store)
        assert next(found).text == "Interrupted; the same command goes on from there."
    with taken(store, {}, lambda text: None):  # the same command
        look = next(looks(store, 0.0))
        assert (look.status.sources, look.text, look.ended) == (3, "begun; nothing is counted yet", False)


@pytest.mark.parametrize(
    ("state", "text"), [(State.done, "Done."), (State.stopped, "Stopped by an error, which is the last line of")]
)
def test_a_run_that_has_ended_is_shown_as_it_is(tmp_path, state, text):
    store = open_store(tmp_path)
    with taken(store, {}, lambda text: None) as lease:
        status = Status(state, epoch=lease.epoch, sources=3, sources_done=2)
        status.write(store)
    lines = watched(tmp_path).splitlines()
    assert lines[0].startswith("2 of 3 recordings")
    assert lines[1].startswith(text)
    assert len(lines) == 2


def test_after_a_decision_it_says_what_the_ledger_says_now(library, tmp_path):
    run(job(["recipe=debug", "source=folder", f"source.path={library}", f"output.path={tmp_path / 'run'}"]))
    assert "4 kept, 0 rejected, 0 failed" in watched(tmp_path / "run")
    done = decide(open_store(tmp_path / "run"), ["keep.late.column=start_s", "keep.late.max=0"], SilentProgress())
    kept = done.after.count
    assert 0 < kept < 4
    assert f"{kept} kept, {4 - kept} rejected ({4 - kept} by late), 0 failed" in watched(tmp_path / "run")


def test_a_driver_on_another_machine_is_known_by_its_heartbeat(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    monkeypatch.setattr(watching, "BEAT_S", 0.01)
    monkeypatch.setattr(watching, "STALE_S", 0.5)
    with taken(store, {}, lambda text: None) as lease:
        (epoch,) = (tmp_path / "ledger").glob("epoch-*.json")
        said = json.loads(epoch.read_text())
        epoch.write_text(json.dumps(said | {"owner": said["owner"] | {"machine": "elsewhere"}}))
        Status(epoch=lease.epoch, sources=3).write(store)
        found = looks(store, 0.01)
        for beats in range(60):  # 0.6 s, longer than it may be silent
            store.write("lease.json", json.dumps({"epoch": lease.epoch, "beats": beats, "released": False}).encode())
            assert not next(found).ended
        began = time.monotonic()
        *_, last = found
        assert time.monotonic() - began == pytest.approx(0.5, abs=0.3)
        assert last.ended
        assert last.text.startswith("Its driver is gone without a word")


def test_a_run_of_before_there_was_anything_to_watch(tmp_path):
    store = open_store(tmp_path)
    with taken(store, {}, lambda text: None):
        store.write("recipe.yaml", b"{}")
    assert watched(tmp_path) == "Nothing is at work there, and nobody wrote down how far it came.\n"


def test_that_there_is_no_news_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "_QUIET_S", 0.1)
    store = open_store(tmp_path)
    with taken(store, {}, lambda text: None) as lease:
        Status(epoch=lease.epoch, sources=3).write(store)
        texts = [look.text for look, _ in zip(looks(store, 0.05), range(5), strict=False)]
    assert texts[0] == ""
    assert texts[-1].startswith("nothing new for 0 s")
