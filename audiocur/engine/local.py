"""The engine in this process: no start-up, one core, and the oracle that the Ray engine is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audiocur.block import work_through
from audiocur.engine.base import Engine
from audiocur.errors import ConfigError
from audiocur.isolation import Death
from audiocur.pipeline import Stage
from audiocur.records import Span
from audiocur.setup import run_command
from audiocur.store.commit import Committed, Committer


@dataclass(frozen=True)
class LocalEngine(Engine):
    """Runs everything in this process, one block after another."""

    caveat = (
        "engine=local works in one process: a recording that crashes or hangs a decoder ends the run "
        "(engine=ray outlives it)"
    )

    @contextmanager
    def started(self, stages: Sequence[Stage]) -> Iterator[None]:
        """Run the setup commands; other worlds than this process there are none."""
        for stage in stages:
            name, where = stage.steps[0].name, stage.placement
            if where.world or where.app:
                what = "runtime_env" if where.runtime_env else "env" if where.env else "app"
                raise ConfigError(f"placement.{name}.{what}: engine=local is one process; expected engine=ray")
            for command in where.setup:
                run_command(command)
        yield

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
