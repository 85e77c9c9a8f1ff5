"""Clips of requests that come at about the same time, put together for one call of a model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from audiocur.records import Span

#: So long a clip waits for others where a replica is free; where none is, it waits for one anyway.
WAIT_S = 0.02


@dataclass(eq=False)
class _Waiting:
    span: Span
    measured: asyncio.Future[None]
    due: bool = False


class Gatherer:
    """In front of one model: gathers, calls in threads, and never more calls than the replicas can take.

    All of it is for one event loop.
    """

    def __init__(self, measure: Callable[[list[Span]], None], *, most: int, calls: int, replicas: int = 1) -> None:
        """Begin with nobody waiting.

        Args:
            measure: has the model measure the clips of the spans, in place; called in a thread.
            most: spans for one call.
            calls: at once.
            replicas: that share what waits, rather than have one do all and the others nothing.
        """
        self._measure = measure
        self._most, self._free, self._replicas = most, calls, replicas
        self._threads = ThreadPoolExecutor(calls, "model")
        self._waiting: list[_Waiting] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def measured(self, span: Span) -> None:
        """Return when the clips of the span have been measured, in place.

        Raises:
            Exception: whatever `measure` raises; what goes wrong with one clip stands in that clip.
        """
        loop = asyncio.get_running_loop()
        one = _Waiting(span, loop.create_future())
        self._waiting.append(one)
        timer = loop.call_later(WAIT_S, self._is_due, one)
        try:
            self._go()
            await one.measured
        finally:
            timer.cancel()

    def _is_due(self, one: _Waiting) -> None:
        one.due = True
        self._go()

    def _go(self) -> None:
        """Call for whom it is time, as far as calls are free."""
        self._waiting = [one for one in self._waiting if not one.measured.done()]  # a client may have gone
        if not (self._free and self._waiting and (self._waiting[0].due or len(self._waiting) >= self._most)):
            return
        share = min(self._most, math.ceil(len(self._waiting) / min(self._free, self._replicas)))
        while self._free and self._waiting:
            batch, self._waiting = self._waiting[:share], self._waiting[share:]
            self._free -= 1
            call = asyncio.get_running_loop().create_task(self._call(batch))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        error: Exception | None = None
        try:
            await loop.run_in_executor(self._threads, self._measure, [one.span for one in batch])
        except Exception as raised:
            error = raised
        for one in batch:
            if not one.measured.done():
                one.measured.set_result(None) if error is None else one.measured.set_exception(error)
        self._free += 1
        self._go()
