"""Looking at something else while Ray Data keeps one waiting, which it gives no way to interrupt."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

EVERY_S = 1.0


class _Stop(BaseException):
    """Ends the wait, passing every handler of mere exceptions on its way."""


def watched(items: Iterator[T], watch: Callable[[], None]) -> Iterator[T]:
    """The items, while `watch` is called about once a second; what it raises ends the iteration.

    Waiting for an item must be a loop of Python, as Ray Data's is, and not one long call of C.

    >>> import time
    >>> def endless():
    ...     yield "first"
    ...     while True:
    ...         time.sleep(0.01)
    >>> def watch():
    ...     raise TimeoutError("enough")
    >>> for item in watched(endless(), watch):
    ...     item
    Traceback (most recent call last):
    TimeoutError: enough
    """
    state = _State()
    looker = threading.Thread(target=_look, args=(state, watch), name="audiocur-watch", daemon=True)
    looker.start()
    try:
        while state.error is None:
            try:
                with state.waiting():
                    item = next(items)
            except StopIteration:
                break
            yield item
    except _Stop:
        pass
    finally:
        state.ended.set()
    if state.error is not None:
        raise state.error


class _State:
    """What the consumer and the thread that looks tell each other."""

    def __init__(self) -> None:
        self.consumer = threading.get_ident()
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._guard = threading.Lock()
        self._waits = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The consumer waits, and may be interrupted: here and nowhere else."""
        with self._guard:
            self._waits = True
        try:
            yield
        finally:
            with self._guard:
                self._waits = False
                _pause()

    def interrupt(self) -> bool:
        """Interrupt the consumer, if it waits."""
        with self._guard:
            if self._waits:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.consumer), ctypes.py_object(_Stop))
            return self._waits


def _pause() -> None:
    """A call, at which the interpreter delivers an interruption that is on its way."""


def _look(state: _State, watch: Callable[[], None]) -> None:
    while not state.ended.wait(EVERY_S):
        try:
            watch()
        except BaseException as error:  # whatever it is, the consumer gets it
            state.error = error
            while not state.interrupt() and not state.ended.wait(0.01):
                pass
            return
