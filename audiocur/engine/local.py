"""The engine in this process: no start-up, one core, and the oracle that the Ray engine is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audiocur.block import work_through
from audiocur.engine.base import Engine
from audiocur.isolation import Death
from audiocur.pipeline import Stage
from audiocur.records import Span
from audiocur.store.commit import Committed, Committer


@dataclass(frozen=True)
class LocalEngine(Engine):
    """Runs everything in this process, one block after another."""

    caveat = (
        "engine=local works in one process: a recording that crashes or hangs a decoder ends the run "
        "(engine=ray outlives it)"
    )

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def run(
        self,
        stages: Sequence[Stage],
        blocks: Sequence[Sequence[Span]],
        committer: Committer,
        *,
        careful: bool = False,
        watch: Callable[[], None] = lambda: None,
    ) -> Iterator[Committed | Death]:
        """Take each block through all stages, then commit it; what dies here, dies with the run."""
        for block in blocks:
            rows: Sequence[Any] = block
            for stage in stages:
                last = committer if stage.final else None
                rows = work_through(rows, stage, last, careful=careful, watchdog=False)
            yield from rows
            watch()
