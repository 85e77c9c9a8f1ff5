"""The engine in this process: no start-up, one core, and the oracle that the Ray engine is held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audiocur.engine.base import Engine
from audiocur.pipeline import Stage
from audiocur.records import Span
from audiocur.stage import run_stage
from audiocur.store.commit import Committed, Committer


@dataclass(frozen=True)
class LocalEngine(Engine):
    """Runs everything in this process, one block after another."""

    caveat = (
        "engine=local works in one process: a recording that crashes a decoder ends the run (engine=ray outlives it)"
    )

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def run(
        self, stages: Sequence[Stage], blocks: Sequence[Sequence[Span]], committer: Committer, *, retries: int = 2
    ) -> Iterator[Committed]:
        """Take each block through all stages, then commit it; what dies here, dies with the run."""
        for block in blocks:
            for stage in stages:
                run_stage(stage, block)
            yield committer.commit(block)
