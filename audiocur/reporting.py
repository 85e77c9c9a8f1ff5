"""What the driver of a run tells of it while it works: to a person, and to RUN/progress.json for those who look on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging import Logger

from audiocur.progress import Progress
from audiocur.status import Outcome, State, Status
from audiocur.storage.base import Store
from audiocur.store.commit import Committed
from audiocur.store.ledger import Ledger, epoch_file

#: Seconds between two versions of the file, where a store does not ask for more.
WRITE_EVERY_S = 2.0


class Reporter:
    """Keeps the status of a run and passes it on."""

    def __init__(self, store: Store, status: Status, progress: Progress, log: Logger) -> None:
        """Begin a session of a run; see `running`."""
        self.status = status
        self._store, self._progress, self._log = store, progress, log
        self._every_s = max(WRITE_EVERY_S, store.append_every_s)
        self._began = self._written = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The session: whatever ends it, its last status is written down."""
        self._began = time.monotonic()
        self._tell()
        self._write()
        try:
            yield
        except BaseException as error:
            self.status.state = State.interrupted if isinstance(error, KeyboardInterrupt) else State.stopped
            with suppress(OSError):  # a full disk takes no log line either, and the error itself is what counts
                self._write()
            raise
        self.status.state = State.done
        self._tell()
        self._write()

    def take(self, committed: Committed, estimated_s: float, finished: int) -> None:
        """A block was committed: its share of what was expected, and how many recordings it finished."""
        self.status.take(committed, estimated_s, finished)
        self._tell()
        if time.monotonic() - self._written >= self._every_s:
            self._write()

    def correct(self, ledger: Ledger, estimated_s: float, finished: int) -> None:
        """The ledger holds more than was heard of: parts whose worker died before it could tell."""
        self.status.outcome = ledger_outcome(ledger)
        self.status.done_s += estimated_s
        self.status.sources_done += finished
        self._tell()

    def _tell(self) -> None:
        self.status.now.elapsed_s = time.monotonic() - self._began
        self._progress.show(self.status)

    def _write(self) -> None:
        self.status.now.elapsed_s = time.monotonic() - self._began
        try:
            if self._store.size(epoch_file(self.status.epoch + 1)) is None:  # or another has the run, and tells of it
                self.status.write(self._store)
        except OSError as error:  # nothing that is stored depends on it; what does, meets the same error and says so
            self._log.info("how far it is could not be written down: %s", error.strerror or error)
        self._written = time.monotonic()


def ledger_outcome(ledger: Ledger) -> Outcome:
    """What all parts of a ledger together say."""
    found = Outcome()
    for part in ledger.parts:
        found.take(part.spans, part.clips)
    return found
