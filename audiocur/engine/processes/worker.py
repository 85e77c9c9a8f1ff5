"""A worker of Ray's, forked from a process that has loaded what all of them need (see `lean`).

Ray starts each worker as a new Python, which takes a CPU-second before it can do anything, nearly all of it to load
modules. Here the first to be started loads them, and splits in two: it goes on as a worker, and its twin waits for
those that Ray starts later. They ask the twin to fork a worker in their place, which shares what is loaded with the
others, in memory too. Where the twin is gone (somebody killed it), a worker loads for itself.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

#: What every worker takes. Nothing of Ray's that draws a random number as it is loaded may be among it, as `ray.data`
#: does: its generator cannot be seeded, and what workers take for unique would be the same in all of them.
_SHARED = (
    "ray._private.workers.default_worker",
    "ray._common.pydantic_compat",
    "pandas",
    "scipy.fft",
    "scipy.linalg",
    "audiocur.block",
)
_RAYS_OWN = "_private/workers/default_worker.py"
_FORKED = b"1"


def main() -> None:
    """Become a worker, or have one forked."""
    del sys.path[0]  # the folder of this script
    arguments = sys.argv[1:]
    raylet = next(each for each in arguments if each.startswith("--raylet-name="))
    address = str(Path(raylet.partition("=")[2]).with_name("forks"))
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if _forked(sock, address, arguments):
                return
        else:
            sock.listen(1024)
            _load()
            if os.fork() == 0:
                arguments = _twin(sock)
    _work(arguments)


def _forked(sock: socket.socket, address: str, arguments: list[str]) -> bool:
    """Whether the twin has forked a worker with these arguments and this environment."""
    with suppress(ConnectionError):
        sock.connect(address)
        sock.sendall(json.dumps([arguments, dict(os.environ)]).encode())
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(1) == _FORKED
    return False


def _load() -> None:
    from audiocur.loading import loading

    with loading():
        for name in _SHARED:
            importlib.import_module(name)


def _twin(sock: socket.socket) -> list[str]:
    """Fork workers until Ray has ended; returns in each of them, with its arguments."""
    os.setpgid(0, 0)  # Ray ends what a worker leaves behind, by its group
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended, but Ray whether they have
    with open(os.pidfd_open(int(os.environ["RAY_RAYLET_PID"])), "rb") as raylet:
        while raylet.fileno() not in select.select([sock.fileno(), raylet.fileno()], [], [])[0]:
            with sock.accept()[0] as asks:
                asked = _asked(asks)
                if asked and os.fork() == 0:
                    asks.sendall(_FORKED)  # the worker says so itself, lest there be two; it ends where nobody hears it
                    return _born(*json.loads(asked))
    sys.exit()


def _asked(asks: socket.socket) -> bytes:
    """What is asked for; nothing if who asks was ended meanwhile."""
    with suppress(ConnectionError):
        asked = b"".join(iter(lambda: asks.recv(1 << 16), b""))
        if asked.endswith(b"}]"):
            return asked
    return b""


def _born(arguments: list[str], environment: dict[str, str]) -> list[str]:
    import numpy as np

    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)  # what modules put there as they were loaded stays
    np.random.seed()  # which Python's own generator does by itself
    return arguments


def _work(arguments: list[str]) -> None:
    import ray

    sys.argv[1:] = arguments
    runpy.run_path(str(Path(ray.__file__).parent / _RAYS_OWN), run_name="__main__")


if __name__ == "__main__":
    main()
