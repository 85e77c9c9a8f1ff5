"""What a worker of Ray's does with a block, and how blocks travel: workers load this and no more of the engine."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from audiocur.block import work_through
from audiocur.errors import RunError
from audiocur.loading import loading
from audiocur.models import Served
from audiocur.pipeline import Stage
from audiocur.setup import set_up
from audiocur.store.commit import Committer


@dataclass(frozen=True)
class Work:
    """What a worker does with a block; see `work_through`.

    Attributes:
        scope: of which driver it is the work.
    """

    stage: Stage
    committer: Committer | None
    careful: bool
    scope: str
    served: Served


def work_through_block(batch: pa.Table, work: Work) -> pa.Table:
    """One block through one stage, in a worker.

    What ops raise is settled within `run_stage`; whatever still gets out (a full disk, a bug of ours) must stop the
    run, and goes to the driver as a row, because Ray would drop the block and go on.
    """
    rows = rows_of(batch)
    failure = next((row for row in rows if isinstance(row, RunError)), None)
    if failure is not None:
        return one_row([failure])
    try:
        if not work.served:
            set_up(work.stage.placement.setup, work.scope)
        done = work_through(rows, work.stage, work.committer, careful=work.careful, watchdog=True, served=work.served)
        rows.clear()
        pa.default_memory_pool().release_unused()  # or it stays with the worker, and the next block takes more
        return one_row(done)
    except Exception as error:
        return one_row([error if isinstance(error, RunError) else RunError(f"{type(error).__name__}: {error}")])


#: What a worker of tasks takes, and loads on its first use else.
_SOON = ("ray.data", "scipy.fft", "scipy.linalg")


def loaded(stages: bytes) -> None:
    """Load what a worker of tasks needs before there is work: the ops of the stages, pickled, and what they take."""
    with loading():
        pickle.loads(stages)
        for name in _SOON:
            importlib.import_module(name)


class Actor:
    """The same, in a process that stays."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, batch: pa.Table) -> pa.Table:
        return work_through_block(batch, self.work)


def one_row(rows: Sequence[object]) -> pa.Table:
    """A block as one value that Ray never looks into: no span and no block can be torn, and none are put together."""
    return pa.table({"block": pa.array([pickle.dumps(list(rows), protocol=5)], pa.binary())})


def rows_of(batch: pa.Table) -> list[Any]:
    """What `one_row` was given."""
    return [row for block in batch.column("block").to_pylist() for row in pickle.loads(block)]
