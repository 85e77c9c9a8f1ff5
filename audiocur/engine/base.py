"""The contract of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from audiocur.isolation import Death
from audiocur.pipeline import Pipeline, Stage
from audiocur.records import Span
from audiocur.store.commit import Committed, Committer


class Engine(ABC):
    """Takes blocks of spans through stages and commits each."""

    #: What the user should know before a long run, if anything.
    caveat: str | None = None

    def load(self, stages: Sequence[Stage]) -> None:
        """Load the modules that it takes, which may be a second; else that is done as it starts.

        Only for a process of our own: a copy of it may stay, to make workers of.
        """
        return

    @contextmanager
    def started(self, stages: Sequence[Stage]) -> Iterator[None]:
        """A context that starts what the engine needs for the stages, services included, and ends it.

        Raises:
            ConfigError: there is no room for one of them anywhere.
        """
        yield

    def sized(self, pipeline: Pipeline, sources: int) -> Engine:
        """The engine with as many workers as there is memory for, if that is fewer.

        Raises:
            ConfigError: there is not enough for one.
        """
        return self

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many spans it works on at once."""

    def metered(self) -> Callable[[Committed], None]:
        """What is to be told of each commit, for figures that others gather; by default nobody does."""
        return lambda committed: None

    @abstractmethod
    def run(
        self,
        stages: Sequence[Stage],
        blocks: Sequence[Sequence[Span]],
        committer: Committer,
        *,
        careful: bool = False,
        watch: Callable[[], None] = lambda: None,
    ) -> Iterator[Committed | Death]:
        """Yield what was committed, block by block, in any order.

        A block whose worker dies yields nothing: the caller sees which spans are missing. To stop early, cease to
        iterate.

        Args:
            stages: what to do.
            blocks: to what, each block of one split.
            committer: commits each block.
            careful: work in processes apart, so that of a block that kills its worker all is done but the span to
                blame, which yields a `Death`.
            watch: called about once a second; what it raises ends the iteration.
        """
