"""What a run shows while it works."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from audiocur.show_status import StatusView, at_work, status_line
from audiocur.status import State, Status
from audiocur.words import count

#: Seconds between the plain lines that a log gets.
LINE_EVERY_S = 10.0
#: Seconds between two pictures of a terminal; drawing one takes 10 ms.
LOOK_EVERY_S = 0.5
_HINT = "Ctrl-C ends it; what is done is kept, and the same command goes on"


class Progress(Protocol):
    """What a run tells of itself."""

    def say(self, text: str) -> None:
        """What it is doing that nobody counts."""

    def show(self, status: Status) -> None:
        """How far it is; the status is the caller's, and changes."""


class SilentProgress:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def show(self, status: Status) -> None:
        """Nothing."""


class ConsoleProgress:
    """A picture that changes on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._view: StatusView | None = None
        self._said = ""
        self._counts = False
        self._last = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[ConsoleProgress]:
        """The context in which it is on the screen."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(console=self._console, transient=True, refresh_per_second=4) as self._live:
            yield self
        self._live = None

    def say(self, text: str) -> None:
        """What it is doing that nobody counts."""
        if self._live:
            self._say_below(text)
        else:
            self._console.print(text, highlight=False)

    def tell(self, text: str) -> None:
        """How far something is that is counted elsewhere; in a log, a line now and then."""
        if self._live:
            self._say_below(text)
        elif self._is_time(LINE_EVERY_S):
            self._console.print(text, highlight=False)

    def show(self, status: Status) -> None:
        """How far it is."""
        ended = status.state is not State.running
        if self._live and (self._is_time(LOOK_EVERY_S) or not self._view or ended):
            # A thread of the terminal's draws it, while the run counts on.
            said = self._said if self._view else _HINT
            self._view = StatusView(deepcopy(status))
            self._say_below(said)
        elif not self._live and not self._counts:
            self._counts, self._last = True, time.monotonic()
            if left := status.sources - status.sources_done:
                self._console.print(f"{count(left, 'recording')} to do", highlight=False)
        elif not self._live and self._is_time(LINE_EVERY_S):
            self._console.print(status_line(status), highlight=False)

    def _is_time(self, every_s: float) -> bool:
        is_time = time.monotonic() - self._last >= every_s
        self._last = time.monotonic() if is_time else self._last
        return is_time

    def _say_below(self, text: str) -> None:
        self._said = text
        if self._live:
            self._live.update(at_work(self._view, self._spinner, text))
