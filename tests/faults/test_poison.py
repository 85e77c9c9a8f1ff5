"""Recordings that crash, hang or take down whatever works on them, and a disk that is full."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.config import job
from audiocur.store.ledger import read_ledger

pytestmark = pytest.mark.faults

OP = '''
import os, re, signal
from dataclasses import dataclass
from pathlib import Path
from audiocur.op import SpanOp

@dataclass(frozen=True, kw_only=True)
class Poison(SpanOp):
    """Takes its process down on some recordings, and notes each time."""
    name = "poison"
    uri: str
    calls: str
    how: str

    def apply(self, span):
        if re.fullmatch(self.uri, span.source.uri):
            with open(self.calls, "a") as file:
                file.write(span.source.uri + "\\n")
            if self.how == "abort":
                os.abort()
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hang":
                re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter for ever
'''


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Thirty recordings of 12 s."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    for number in range(30):
        soundfile.write(folder / f"{number:02}.wav", rng.normal(0, 0.05, (22_050 * 12, 2)), 22_050)
    return folder


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of the user's own, with the op and its YAML."""
    folder = tmp_path / "own"
    (folder / "measure").mkdir(parents=True)
    (folder / "poison_op.py").write_text(OP)
    (folder / "measure/poison.yaml").write_text("_target_: poison_op.Poison\nuri: ???\ncalls: ???\nhow: ???\n")
    return folder


PIPELINE = "pipeline=[decode,poison,segment,loudness,encode]"
#: Noise is no music; what is tried here is not the rules.
RULES = [f"keep.{name}=" for name in job(["recipe=music_gen"], to_run=False).pipeline.rules if name != "loudness"]


def words(library, output, own, how, uri="07.wav"):
    calls = output.parent / "calls"
    return [
        *("--config-dir", str(own), f"source.path={library}", f"output.path={output}", PIPELINE, "segment=window"),
        *(
            "segment.length_s=5",
            "report=false",
            *RULES,
            f"poison.uri={uri}",
            f"poison.calls={calls}",
            f"poison.how={how}",
        ),
    ]


_started: list[subprocess.Popen[str]] = []


def start(arguments, **options) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "audiocur", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def _ended():
    """No process of a test that failed outlives it."""
    yield
    for process in _started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    _started.clear()


def audiocur(arguments, status=0, **options) -> str:
    process = start(arguments, **options)
    printed, _ = process.communicate(timeout=250)
    assert process.returncode == status, printed
    return printed


def rows(output):
    order = [("span_id", "ascending"), ("clip_id", "ascending")]
    return read_ledger(output).sort_by(order).to_pylist()


@pytest.fixture(scope="module")
def undisturbed(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "own/measure").mkdir(parents=True)
    (folder / "own/poison_op.py").write_text(OP)
    (folder / "own/measure/poison.yaml").write_text("_target_: poison_op.Poison\nuri: ???\ncalls: ???\nhow: ???\n")
    audiocur([*words(library, folder / "run", folder / "own", "nothing"), "engine=local"])
    return rows(folder / "run")


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("how", "reason", "calls"),
    [
        ("abort", "crashed (SIGABRT), 3 times", 4),
        ("killed", "crashed (SIGKILL, as when memory runs out), 3 times", 4),
        ("hang", "timed out: still at work after decode.timeout_s=15", 2),
    ],
)
def test_what_takes_its_process_down_is_found_and_costs_nobody_else(
    library, undisturbed, tmp_path, own, how, reason, calls
):
    """Once with its neighbours, then alone as often as it may; one that hangs has had its time."""
    output = tmp_path / "run"
    printed = audiocur([*words(library, output, own, how), "decode.timeout_s=15"])
    assert "unreadable" in printed
    assert "Traceback" not in printed
    found = rows(output)
    failed = [row for row in found if row["verdict"] == "failed"]
    assert [(row["uri"], row["reason"], row["op"], row["clip_id"]) for row in failed] == [
        ("07.wav", reason, None, None)
    ]
    assert [row for row in found if row["uri"] != "07.wav"] == [row for row in undisturbed if row["uri"] != "07.wav"]
    assert (tmp_path / "calls").read_text().splitlines() == ["07.wav"] * calls
    assert json.loads((output / "attempts.json").read_text()) == {}
    log = (output / "log.txt").read_text()
    assert "07.wav crashed (SIG" in log or "07.wav timed out" in log
    assert "poison_op.py" in log or how == "killed"  # where it was, but for the kill that nobody hears of


@pytest.mark.timeout(280)
def test_a_restarted_driver_does_not_begin_to_count_again(library, tmp_path, own):
    """Killed after the first death alone: two more are enough."""
    output = tmp_path / "run"
    attempts = output / "attempts.json"
    process = start(words(library, output, own, "abort"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if attempts.exists() and any(json.loads(attempts.read_text()).values()):
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = len((tmp_path / "calls").read_text().splitlines())
    deaths = sum(map(len, json.loads(attempts.read_text()).values()))
    assert deaths >= 1
    audiocur(words(library, output, own, "abort"))
    after = len((tmp_path / "calls").read_text().splitlines())
    assert after - before <= 3 - deaths
    assert [row["reason"] for row in rows(output) if row["verdict"] == "failed"] == ["crashed (SIGABRT), 3 times"]


@pytest.mark.timeout(280)
def test_where_everything_crashes_it_is_no_fault_of_the_recordings(library, tmp_path, own):
    printed = audiocur([*words(library, tmp_path / "run", own, "abort", uri=".*"), "limits.max_attempts=1"], status=1)
    assert "so it is no fault of theirs: the last crashed (SIGABRT)" in printed
    assert "Traceback" not in printed


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few clips."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.timeout(280)
def test_a_full_disk_stops_the_run_in_one_line_and_room_lets_it_go_on(library, undisturbed, small_disk, own):
    output = small_disk / "run"
    # The estimate beforehand would refuse it: this is a disk that others fill meanwhile.
    ballast = small_disk / "ballast"
    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    process = start(words(library, output, own, "nothing"))
    deadline = time.monotonic() + 120
    while not list(output.glob("ledger/part-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 1, printed
    (line,) = [line for line in printed.splitlines() if line.startswith("audiocur:")]
    assert "No space left on device" in line
    assert "Traceback" not in printed
    ballast.unlink()
    audiocur(words(library, output, own, "nothing"))
    assert rows(output) == undisturbed


@pytest.mark.timeout(280)
def test_a_file_that_may_not_grow_stops_the_run_in_one_line(library, undisturbed, tmp_path, own):
    """The same without a file system of its own: no file may be longer than 300 kB."""
    output = tmp_path / "run"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    arguments = [*words(library, output, own, "nothing"), "engine=local"]
    printed = audiocur(arguments, status=1, preexec_fn=limit)
    assert "cannot be written: File too large" in printed
    assert "Traceback" not in printed
    audiocur(arguments)
    assert rows(output) == undisturbed
