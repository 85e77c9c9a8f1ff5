"""RUN/log.txt: what ran when, for whoever wonders later. Nothing that is stored depends on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from audiocur.storage.base import Store

LOG = "log.txt"


@contextmanager
def run_log(store: Store) -> Iterator[logging.Logger]:
    """A logger that appends to the run's log, in UTC; an error that ends the run is its last line."""
    logger = logging.getLogger(f"audiocur.run.{id(store)}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = _StoreHandler(store)
    formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    try:
        yield logger
    except BaseException as error:
        with suppress(OSError):  # a full disk takes no last line, and the error itself is what counts
            logger.info("ended by %s: %s", type(error).__name__, error)
            handler.flush()
        raise
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):
            handler.close()


class _StoreHandler(logging.Handler):
    """Gathers lines as long as the store wants, and appends them; an error in that is the caller's."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._lines: list[str] = []
        self._appended = -store.append_every_s

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record) + "\n")
        if time.monotonic() - self._appended >= self._store.append_every_s:
            self.flush()

    def flush(self) -> None:
        """Append what was gathered."""
        if self._lines:
            self._store.append(LOG, "".join(self._lines).encode(errors="backslashreplace"))
            self._lines, self._appended = [], time.monotonic()

    def close(self) -> None:
        """Append the rest."""
        try:
            self.flush()
        finally:
            super().close()
