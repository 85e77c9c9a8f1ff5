"""Workers are forked from a twin of the command, which is no part of the command any more, and ends with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.loading import OF_A_PROCESS
from tests.engine.instances import children, descendants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")

#: A command: it loads, starts an instance, tells what it sees in its workers, and waits for a line.
COMMAND = """\
import fcntl, gc, json, os, signal, sys, time
import numpy, pyarrow
from audiocur.engine import twin
from audiocur.engine.ray import RayEngine
from tests.engine.instances import children, drawn, in_workers, stages

engine = RayEngine(cpus=3)
{before}
engine.load(stages())
{between}

def seen():
    return dict(
        pid=os.getpid(),
        parent=os.getppid(),
        drawn=drawn(),
        signals=[signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, os.getpgid(0) == os.getpid()],
        frozen=gc.get_freeze_count() > 10_000 and gc.isenabled(),
        cpus=pyarrow.cpu_count(),
        pool=pyarrow.default_memory_pool().backend_name,
    )

with engine.started(stages()):
    print(json.dumps(in_workers(seen, 3)), flush=True)
    {then}
    sys.stdin.readline()
print(json.dumps(children(os.getpid())), flush=True)
"""


class Command:
    """One such command, as a context."""

    def __init__(self, before: str = "", between: str = "", then: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND.format(before=before, between=between, then=then)],
            cwd=Path(__file__).parents[2],
            env=os.environ | OF_A_PROCESS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    def says(self):
        """What it tells next; fails where it ends instead."""
        while (line := self.process.stdout.readline()).startswith("\x1b"):  # Ray has something to say too
            pass
        return json.loads(line)

    def goes_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def open_files(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(path.readlink()))
    return found


def assert_gone(pids) -> None:
    give_up = time.monotonic() + 20
    while left := [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < give_up, left
        time.sleep(0.1)


def test_workers_are_forked_from_the_command_s_twin_and_hold_nothing_of_the_command_s(tmp_path):
    lock = tmp_path / "lock"
    before = f"held = open({str(lock)!r}, 'w'); fcntl.flock(held, fcntl.LOCK_EX)"
    with Command(before, between="print(children(os.getpid()))") as command:
        (twin,) = command.says()
        workers = command.says()
        stdout = str(Path(f"/proc/{command.process.pid}/fd/1").readlink())
        assert {worker["parent"] for worker in workers} == {twin}
        for pid in [twin, *(worker["pid"] for worker in workers)]:
            assert not {str(lock), stdout} & open_files(pid)
        for worker in workers:
            assert all([*worker["signals"], worker["frozen"]])
            assert (worker["cpus"], worker["pool"]) == (1, "system")
        assert all(len({*one}) == 3 for one in zip(*(worker["drawn"] for worker in workers), strict=True))
        command.goes_on()
        assert command.says() == []
        assert_gone([twin, *(worker["pid"] for worker in workers)])


@pytest.mark.parametrize("when", ["before Ray is started", "at work"])
def test_nothing_outlives_a_command_that_is_killed_and_nothing_is_done_in_its_place(when, tmp_path):
    before = f"import atexit; atexit.register(os.rmdir, {str(tmp_path)!r})"
    between = "print(json.dumps(children(os.getpid())), flush=True); time.sleep(60)"
    with Command(before, between=between if when != "at work" else "") as command:
        command.says()
        processes = descendants(command.process.pid)
        assert processes
        command.process.kill()
        assert_gone(processes)
        assert tmp_path.exists()


def test_workers_load_for_themselves_where_the_twin_is_killed():
    kill = "os.kill(children(os.getpid())[0], signal.SIGKILL); time.sleep(0.2)"
    with Command(between=kill) as command:
        assert len({worker["pid"] for worker in command.says()}) == 3
        command.goes_on()
        assert command.says() == []


def test_a_worker_that_dies_is_forked_anew():
    again = "[os.kill(pid, signal.SIGKILL) for pid in in_workers(os.getpid, 3)]; "
    with Command(then=again + "print(json.dumps(in_workers(seen, 3)), flush=True)") as command:
        before, after = command.says(), command.says()
        assert {worker["parent"] for worker in before} == {worker["parent"] for worker in after}
        assert not {worker["pid"] for worker in before} & {worker["pid"] for worker in after}


@pytest.mark.parametrize(
    "loaded", ["import ray", "import torch", "import threading; threading.Thread(target=time.sleep, args=[60]).start()"]
)
def test_a_command_that_cannot_be_copied_is_not(loaded):
    code = f"import os, time; from audiocur.engine import twin; print(twin.can_split(), flush=True)\n{loaded}\n"
    said = subprocess.run(
        [sys.executable, "-c", code + "print(twin.can_split(), flush=True); os._exit(0)"],
        env=os.environ | OF_A_PROCESS,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["True", "False"]


def test_where_the_command_is_not_copied_the_first_worker_is():
    with Command(before="import ray", between="print(children(os.getpid()))") as command:
        assert command.says() == []
        workers = command.says()
        assert len({worker["parent"] for worker in workers}) == 2  # the first is started by Ray
        command.goes_on()
        assert command.says() == []


@pytest.fixture
def command_line(tmp_path):
    """Starts the command on three short recordings, in a process group of its own."""
    noise = np.random.default_rng(0).normal(0, 0.1, (20 * 44_100, 2))
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", noise, 44_100)
    words = ["recipe=music_gen", f"source.path={tmp_path}", f"output.path={tmp_path / 'run'}", "report=false"]
    with subprocess.Popen(
        [sys.executable, "-m", "audiocur", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        yield process
        process.kill()


def test_the_command_line_has_a_twin(command_line):
    pid, parents = command_line.pid, set()
    while command_line.poll() is None:
        for child in children(pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # one of them has ended meanwhile
                titles = [Path(f"/proc/{each}/cmdline").read_bytes() for each in children(child)]
                if any(title.startswith(b"ray::") for title in titles):
                    parents.add(Path(f"/proc/{child}/cmdline").read_bytes())
        time.sleep(0.01)
    said = command_line.stdout.read()
    assert command_line.returncode == 0, said
    assert said.count("listing recordings") == 1
    assert len(parents) == 1
    assert b"audiocur" in parents.pop()


@pytest.mark.parametrize(
    ("server", "number", "to_group"),
    [
        ("gcs_server", signal.SIGINT, False),
        ("gcs_server", signal.SIGTERM, True),
        ("raylet", signal.SIGTERM, False),
        ("raylet", signal.SIGINT, True),
    ],
)
def test_a_signal_while_ray_starts_ends_the_command_as_ever(command_line, server, number, to_group):
    give_up, below = time.monotonic() + 60, {}
    while not any(server in command for command in below.values()):
        assert time.monotonic() < give_up
        with suppress(FileNotFoundError, ProcessLookupError):
            below = descendants(command_line.pid)
    if to_group:
        os.killpg(command_line.pid, number)
    else:
        command_line.send_signal(number)
    said, _ = command_line.communicate(timeout=60)
    assert command_line.returncode == 130, said
    assert said.splitlines()[-1].startswith("audiocur: interrupted")
    assert len(said.splitlines()) <= 3
    assert_gone(below)
