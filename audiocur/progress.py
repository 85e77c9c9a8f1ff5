"""What a run shows while it works."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from audiocur.store.commit import Committed
from audiocur.words import count, duration, hours

#: Seconds between the plain lines that a log gets.
LINE_EVERY_S = 10.0


class Progress(Protocol):
    """What a run tells of itself."""

    def say(self, text: str) -> None:
        """What it is doing before there is anything to count."""

    def expect(self, sources: int, estimated_s: float) -> None:
        """Work begins, on that many recordings of about that much audio."""

    def advance(self, committed: Committed, estimated_s: float, finished: int) -> None:
        """A block was committed: its share of what was expected, and how many recordings it finished."""


class SilentProgress:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def expect(self, sources: int, estimated_s: float) -> None:
        """Nothing."""

    def advance(self, committed: Committed, estimated_s: float, finished: int) -> None:
        """Nothing."""


class ConsoleProgress:
    """A live line on a terminal, plain lines elsewhere: recordings and hours done, verdicts, × real time, ETA."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._clips: Counter[str] = Counter()
        self._sources = self._sources_expected = 0
        self._seconds = self._done_s = self._expected_s = 0.0
        self._began = self._last_line = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[ConsoleProgress]:
        """The context in which it is on the screen."""
        if not self._console.is_terminal:
            yield self
            return
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
        with RichProgress(*columns, console=self._console, transient=True) as bar:
            self._bar = bar
            self._task = bar.add_task("", total=None)
            yield self
        self._bar = None

    def say(self, text: str) -> None:
        """What it is doing before there is anything to count."""
        if self._bar:
            self._bar.update(self._task, description=text)
        else:
            self._console.print(text, highlight=False)

    def tell(self, text: str) -> None:
        """How far something is that is counted elsewhere; in a log, a line now and then."""
        if self._bar:
            self._bar.update(self._task, description=text)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(text, highlight=False)

    def expect(self, sources: int, estimated_s: float) -> None:
        """Work begins; the clock of the estimate starts."""
        self._began = self._last_line = time.monotonic()
        self._sources_expected, self._expected_s = sources, estimated_s
        self.say(f"{count(sources, 'recording')} to do")

    def advance(self, committed: Committed, estimated_s: float, finished: int) -> None:
        """A block was committed."""
        self._sources += finished
        self._seconds += sum(outcome.duration_s for outcome in committed.spans)
        self._done_s += estimated_s
        self._clips += committed.clips
        if self._bar:
            self._bar.update(self._task, total=self._expected_s, completed=self._done_s)
        self.tell(self._text())

    def _text(self) -> str:
        elapsed = max(time.monotonic() - self._began, 1e-3)
        clips = self._clips
        parts = [
            f"{self._sources:,} of {self._sources_expected:,} recordings, {hours(self._seconds)}",
            f"{clips['kept']:,} kept, {clips['rejected']:,} rejected, {clips['failed']:,} failed",
            f"{self._seconds / elapsed:,.0f}× real time",
        ]
        if 0 < self._done_s < self._expected_s:
            parts.append(f"{duration(elapsed * (self._expected_s / self._done_s - 1))} left")
        return " · ".join(parts)
