"""A worker of Ray's, forked from a process that has loaded what all of them need (see `lean`).

Ray starts each worker as a new Python, which takes a CPU-second before it can do anything, nearly all of it to load
modules. Here it asks a twin to fork a worker in its place, which shares what is loaded with the others, in memory too.
The twin is that of the command (see `engine.twin`), or, where it has none, of the first worker: that one loads, splits
in two, and goes on as a worker. Where the twin is gone (somebody killed it), a worker loads for itself.
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
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

#: What every worker takes.
LIBRARIES = ("pandas", "scipy.fft", "scipy.linalg", "audiocur.block")
_OF_RAY = ("ray._private.workers.default_worker", "ray._common.pydantic_compat", "ray.data")
#: Where, of Ray's socket folder, the twin is asked.
ASKED = "forks"
_RAYS_OWN = "_private/workers/default_worker.py"
_FORKED = b"1"
#: Much longer than the twin takes to load Ray.
_PATIENCE_S = 60


def main() -> None:
    """Become a worker, or have one forked."""
    del sys.path[0]  # the folder of this script
    arguments = sys.argv[1:]
    name = next(each for each in arguments if each.startswith("--raylet-name="))
    address = str(Path(name.partition("=")[2]).with_name(ASKED))
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if _forked(sock, address, arguments):
                return
            if os.getppid() != int(os.environ["RAY_RAYLET_PID"]):
                return  # Ray is gone too, which a worker would wait for
        else:
            sock.listen()
            load(LIBRARIES)
            _load_ray()
            if os.fork() == 0:
                os.setpgid(0, 0)  # Ray ends what a worker leaves behind, by its group
                with open(os.pidfd_open(int(os.environ["RAY_RAYLET_PID"])), "rb") as raylet:
                    arguments = fork_workers(sock, raylet)
    work(arguments)


def _forked(sock: socket.socket, address: str, arguments: list[str]) -> bool:
    """Whether the twin has forked a worker with these arguments and this environment."""
    sock.settimeout(_PATIENCE_S)
    with suppress(ConnectionError, TimeoutError):
        sock.connect(address)
        sock.sendall(json.dumps([arguments, dict(os.environ)]).encode())
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(1) == _FORKED
    return False


def load(modules: Iterable[str]) -> None:
    """Load what every worker takes."""
    from audiocur.loading import loading

    with loading():
        for name in modules:
            importlib.import_module(name)


def _load_ray() -> None:
    """Load Ray without a number drawn from its generator, which cannot be seeded.

    Once that has begun, what forked workers take for unique is the same in all of them. As modules are loaded, only
    ids of classes of actors are drawn.
    """
    import ray.actor

    actor: Any = ray.actor
    as_it_comes = actor.ActorClassID
    actor.ActorClassID = SimpleNamespace(from_random=lambda: as_it_comes(os.urandom(as_it_comes.size())))
    try:
        load(_OF_RAY)
    finally:
        actor.ActorClassID = as_it_comes


def fork_workers(sock: socket.socket, until: IO[Any] | socket.socket) -> list[str]:
    """Fork a worker for each that asks; returns in each of them, with its arguments.

    Args:
        sock: at which they ask.
        until: the process exits as this can be read.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended, but Ray whether they have
    while until not in select.select([sock, until], [], [])[0]:
        with sock.accept()[0] as asks:
            arguments, environment = _asked(asks)
            if not arguments:
                continue
            os.environ.update(environment)  # what modules put there as they were loaded stays
            if "ray" not in sys.modules:
                _load_ray()  # which reads that, once: for which job it works, and for which of Ray's servers
            if os.fork() == 0:
                until.close()
                asks.sendall(_FORKED)  # the worker says so itself, lest there be two; it ends where nobody hears it
                _be_born()
                return arguments
    sys.exit()


def _asked(asks: socket.socket) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment of a worker that is asked for; none if who asks was ended meanwhile."""
    with suppress(ConnectionError):
        asked = b"".join(iter(lambda: asks.recv(1 << 16), b""))
        if asked.endswith(b"}]"):
            arguments, environment = json.loads(asked)
            return arguments, environment
    return [], {}


def _be_born() -> None:
    """What of the twin must not be the worker's too."""
    import numpy as np
    import pyarrow as pa

    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    np.random.seed()  # which Python's own generator does by itself
    pa.set_cpu_count(1)  # the command may have had more


def work(arguments: list[str]) -> None:
    """Be the worker that Ray asked for, to its end."""
    import ray

    sys.argv[1:] = arguments
    runpy.run_path(str(Path(ray.__file__).parent / _RAYS_OWN), run_name="__main__")


if __name__ == "__main__":
    main()
