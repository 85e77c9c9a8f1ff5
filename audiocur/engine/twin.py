"""A twin of the command's process, which forks the workers of its run from what both have loaded.

It is there before Ray is: see `processes/worker.py`.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from audiocur.engine.processes import worker

#: Threads that can be forked away from: what they belong to starts them anew.
_HARMLESS_THREADS = {"jemalloc_bg_thd"}


@dataclass(frozen=True)
class _Twin:
    """Of this process: `line` leads to it, and it ends with the line; `fd` stands for its process."""

    fd: int
    line: socket.socket


_twins: list[_Twin] = []


def can_split() -> bool:
    """Whether a copy of this process would work.

    What other threads hold is held in it for ever. A GPU that has been looked for is lost to it. Ray, if it is loaded,
    has read for which driver it works.
    """
    if sys.platform != "linux" or None in (sys.stdin, sys.stdout, sys.stderr):
        return False
    return not {"ray", "torch"} & sys.modules.keys() and _threads() <= _HARMLESS_THREADS


def _threads() -> set[str]:
    """The names of all threads but the main one, those of native code too."""
    names = set()
    for path in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            names |= {(path / "comm").read_text().strip()} if path.name != str(os.getpid()) else set()
    return names


def split() -> None:
    """Split this process, one of our own, in two, of which only one returns."""
    import pandas  # noqa: F401  # Ray Data loads it in both, which takes a fifth of a second

    ours, its = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        its.close()
        _twins.append(_Twin(os.pidfd_open(pid), ours))
        return
    try:
        _forget_all_but(its.fileno())
        _fork_workers(its)
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()  # of a worker, where Ray keeps what workers say
    finally:
        atexit._run_exitfuncs()
        os._exit(0)  # and nothing of what the command does as it ends


def _fork_workers(line: socket.socket) -> None:
    """Until the line is cut; a forked worker gets through here too, with its work done."""
    worker.load(worker.LIBRARIES)
    _, sockets, _, _ = socket.recv_fds(line, 1, 1)
    if sockets:
        with socket.socket(fileno=sockets[0]) as sock:
            arguments = worker.fork_workers(sock, line)
        worker.work(arguments)


def _forget_all_but(line: int) -> None:
    """What belongs to the command alone: the terminal, files and their locks, signals, what it does at its end."""
    atexit._clear()
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, line)
    os.closerange(line + 1, os.sysconf("SC_OPEN_MAX"))


@contextmanager
def forking() -> Iterator[None]:
    """Within it the twin, if there is one, forks workers for one instance of Ray's; at its end it is gone."""
    try:
        yield
    finally:
        while _twins:
            twin = _twins.pop()
            twin.line.close()
            with suppress(ChildProcessError, ProcessLookupError):  # where the command waits for no child, it is gone
                signal.pidfd_send_signal(twin.fd, signal.SIGKILL)
                os.waitid(os.P_PIDFD, twin.fd, os.WEXITED)
            os.close(twin.fd)


def ask_at(folder: Path) -> None:
    """Have the twin, if there is one, asked there for workers: Ray's socket folder."""
    for twin in _twins:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(folder / worker.ASKED))
            sock.listen()
            with suppress(BrokenPipeError):  # somebody killed it, and workers load for themselves
                socket.send_fds(twin.line, [b"."], [sock.fileno()])
