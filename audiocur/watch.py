"""`audiocur watch RUN`: how far a run is, from another terminal or another machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from audiocur.errors import OutputError
from audiocur.reporting import ledger_outcome
from audiocur.show_status import StatusView, at_work, status_line
from audiocur.status import State, Status
from audiocur.storage.base import Store
from audiocur.store.lease import BEAT_S, LEASE, STALE_S, is_live
from audiocur.store.ledger import Ledger, epoch_file
from audiocur.words import duration

#: Seconds between two looks; at an object store, where each is a few requests, so many times as many.
LOOK_EVERY_S = 1.0
_REMOTE_TIMES = 5
#: Seconds between the plain lines that a log or a pipe gets.
LINE_EVERY_S = 10.0
#: Seconds without news before that is said.
_QUIET_S = 30.0
_ENDED = {
    State.done: "Done.",
    State.interrupted: "Interrupted; the same command goes on from there.",
    State.stopped: "Stopped by an error, which is the last line of {}/log.txt.",
}


@dataclass(frozen=True)
class Look:
    """What one look at a run finds.

    Attributes:
        status: as its driver has left it, null before there is any.
        text: what there is to say besides.
        ended: nothing more will come.
    """

    status: Status | None
    text: str
    ended: bool = False


def watch(store: Store, console: Console) -> None:
    """Show how far a run is until it ends, or until Ctrl-C does.

    Args:
        store: the run directory.
        console: gets a picture that changes if it is a terminal, else a line now and then.

    Raises:
        OutputError: there is no run.
    """
    every_s = LOOK_EVERY_S * (_REMOTE_TIMES if store.append_every_s else 1)
    shown = _watch_live if console.is_terminal else _watch_lines
    with suppress(KeyboardInterrupt):
        try:
            shown(looks(store, every_s), console)
        except NotADirectoryError:
            raise OutputError(f"{store}: expected a run of audiocur, which is a directory") from None


def looks(store: Store, every_s: float) -> Iterator[Look]:
    """Look at a run every so many seconds, until it has ended.

    Raises:
        OutputError: there is no run.
    """
    driver = _Driver(store)
    said, since = "", time.monotonic()
    while True:
        look = _look(store, driver)
        if look.status and look.status.updated != said:
            said, since = look.status.updated, time.monotonic()
        quiet_s = time.monotonic() - since
        if not look.text and quiet_s > _QUIET_S:
            look = Look(look.status, f"nothing new for {duration(quiet_s)}; a block of work takes its time")
        yield look
        if look.ended:
            return
        time.sleep(every_s)


def _look(store: Store, driver: _Driver) -> Look:
    status, lives = Status.read(store), driver.lives()
    if not lives:
        return _last_look(store)
    if status is None or _is_older(store, status):
        return Look(status, "begun; nothing is counted yet")
    if status.state is State.running:
        return Look(status, "")
    return Look(status, _ENDED[status.state].format(store), ended=True)


def _last_look(store: Store) -> Look:
    """At a run that no driver works on."""
    status = Status.read(store)
    if status is None and store.size("recipe.yaml") is None:
        raise OutputError(f"{store}: expected a run of audiocur")
    if status is None:
        return Look(None, "Nothing is at work there, and nobody wrote down how far it came.", ended=True)
    if _is_older(store, status):  # a decision, say, which runs nothing
        status.outcome = ledger_outcome(Ledger.read(store))
    if status.state is State.running:
        text = "Its driver is gone without a word: killed, or its machine was. The same command goes on from there."
        return Look(status, text, ended=True)
    return Look(status, _ENDED[status.state].format(store), ended=True)


def _is_older(store: Store, status: Status) -> bool:
    """Whether a driver has come since who wrote it."""
    return store.size(epoch_file(status.epoch + 1)) is not None


class _Driver:
    """Whether the driver of a run lives.

    What tells most, who began the last epoch, takes a listing of the ledger: it is asked for at first, and when the
    heartbeat stays away.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lease: bytes | None = None
        self._beaten = time.monotonic()

    def lives(self) -> bool:
        """As far as one can tell: of one on another machine, by its heartbeat alone."""
        try:
            lease = self._store.read(LEASE)
        except FileNotFoundError:
            lease = b""
        if lease != self._lease:
            beats = self._lease is not None and not _released(lease)
            self._lease, self._beaten = lease, time.monotonic()
            return beats or is_live(self._store)
        silent_s = time.monotonic() - self._beaten
        if silent_s < 2 * BEAT_S and not _released(lease):
            return True
        return silent_s < STALE_S and is_live(self._store)


def _released(lease: bytes) -> bool:
    try:
        return bool(json.loads(lease)["released"])
    except (ValueError, LookupError, TypeError):  # none, or a damaged one: whoever asks further will see
        return True


def _watch_live(found: Iterator[Look], console: Console) -> None:
    spinner, look, view = Spinner("dots"), Look(None, ""), None
    try:
        with Live(console=console, transient=True, refresh_per_second=4) as live:
            for look in found:
                view = StatusView(look.status) if look.status else None
                live.update(at_work(view, spinner, look.text))
    finally:
        if view:
            console.print(view)  # what was seen last stays on the screen
    console.print(look.text, highlight=False)


def _watch_lines(found: Iterator[Look], console: Console) -> None:
    said, last = "", float("-inf")
    for look in found:
        if look.status and (look.ended or time.monotonic() - last >= LINE_EVERY_S):
            console.print(status_line(look.status), highlight=False, soft_wrap=True)
            last = time.monotonic()
        if look.text and look.text != said:
            console.print(look.text, highlight=False, soft_wrap=True)
        said = look.text
