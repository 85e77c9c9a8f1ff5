"""Commands that an op's placement wants run once on each node, before its first clip there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from audiocur.errors import RunError

_done: set[str] = set()


def set_up(commands: Sequence[str], scope: str) -> None:
    """Run the commands in a shell, one after the other, unless another process of this node has done so.

    Whoever comes while they run waits for them. They are to leave things where all processes of the node find them:
    in files.

    Args:
        commands: each of the shell.
        scope: of which run they are; in another they are run again.

    Raises:
        RunError: a command failed; with the last that it said.
    """
    if not commands:
        return
    key = hashlib.sha256("\0".join([scope, *commands]).encode()).hexdigest()[:20]
    if key in _done:
        return
    marker = Path(tempfile.gettempdir()) / f"audiocur-setup-{os.getuid()}-{key}"
    with open(marker, "a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.fstat(lock.fileno()).st_size:
            for command in commands:
                run_command(command)
            lock.write(b"done\n")
    _done.add(key)


def run_command(command: str) -> None:
    """Run one of them.

    Raises:
        RunError: it failed.
    """
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        last = f": {said[-1]}" if said else ""
        raise RunError(f"placement: setup command `{command}` ended with status {done.returncode}{last}")
