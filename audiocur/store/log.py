"""RUN/log.txt: what ran when, for whoever wonders later. Nothing that is stored depends on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def run_log(run: Path) -> Iterator[logging.Logger]:
    """A logger that appends to the run's log, in UTC; an error that ends the run is its last line."""
    logger = logging.getLogger(f"audiocur.run.{id(run)}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(run / "log.txt", encoding="utf-8", errors="backslashreplace")
    formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    try:
        yield logger
    except BaseException as error:
        logger.info("ended by %s: %s", type(error).__name__, error)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
