"""What a command and all its descendants take, read from /proc (so Linux only), for the other benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SESSION, _USER, _SYSTEM = 3, 11, 12  # of /proc/PID/stat, counted behind the name


@dataclass(frozen=True)
class Took:
    """Wall time, and user and system time of all processes."""

    wall_s: float
    cpu_s: float


def run(commands: Sequence[Sequence[str]], look: Callable[[int], None] | None = None, interval_s: float = 0.1) -> Took:
    """Run commands side by side until the last has ended; exit with what was printed if one of them fails.

    Modules are compiled once, as where audiocur is installed, whatever PYTHONDONTWRITEBYTECODE says of this checkout.
    Processes that end between two looks are counted as they were last seen: a tenth of a second may be missing.

    Args:
        commands: each begins a session of its own, and its descendants stay in it.
        look: called with the session's number, every so often.
        interval_s: how often.
    """
    began, cpu_s = time.monotonic(), dict[int, float]()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as printed:
        options: dict[str, Any] = {"stdout": printed, "stderr": printed, "start_new_session": True, "env": environment}
        started = [subprocess.Popen(each, **options) for each in commands]
        try:
            while any(process.poll() is None for process in started):
                for process in started:
                    cpu_s |= dict(cpu_of(process.pid))
                    if look:
                        look(process.pid)
                time.sleep(interval_s)
        finally:
            for process in started:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.wait()
        for command, process in zip(commands, started, strict=True):
            if process.returncode:
                printed.seek(0)
                sys.exit(f"{' '.join(command)} ended with {process.returncode}: {printed.read().decode()}")
    return Took(time.monotonic() - began, sum(cpu_s.values()))


def cpu_of(session: int) -> Iterator[tuple[int, float]]:
    """User and system time so far of each process of a session, by process id."""
    for pid, fields in _stats():
        if int(fields[_SESSION]) == session:
            yield pid, (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_A_SECOND


def pids(session: int) -> Iterator[int]:
    """Every process of a session: Ray gives its own a process group, and none a session."""
    return (pid for pid, fields in _stats() if int(fields[_SESSION]) == session)


def _stats() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(path.parent.name), path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
