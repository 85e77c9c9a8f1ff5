"""What runs in an instance of one's own."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.whole import Whole
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Stage
from audiocur.placement import Placement


def stages(**placement) -> list[Stage]:
    pipeline = Decode() >> Whole() >> Loudness() >> Encode()
    placements = {step.name: Placement(**placement) for step in pipeline.steps} if placement else {}
    return list(replace(pipeline, placements=placements).plan())


def children(pid: int) -> list[int]:
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(number) for number in path.read_text().split()]
    return found


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all processes below one."""
    below = {}
    for child in children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            below[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            below |= descendants(child)
    return below


def in_workers(function, count: int = 2) -> list:
    """What a function gives in so many workers at once."""
    import ray

    @ray.remote  # tried again where it is sent to a worker that has just ended
    def here(folder: Path):
        (folder / str(os.getpid())).touch()
        give_up = time.monotonic() + 60
        while len(list(folder.iterdir())) < count:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        return function()

    with tempfile.TemporaryDirectory() as folder:
        return ray.get([here.remote(Path(folder)) for _ in range(count)])


def drawn() -> list:
    """What is unique to a process, or ought to be."""
    import random
    import secrets
    import uuid

    import numpy as np
    import ray

    ids = [ray.WorkerID.from_random().hex(), ray.ObjectRef.from_random().hex()]
    return [*ids, random.random(), np.random.rand(), secrets.token_hex(), uuid.uuid4().hex]
