from __future__ import annotations

import asyncio
import threading
import time

import pytest

from audiocur.engine.gather import Gatherer
from audiocur.records import Source, Span


def span(number: int) -> Span:
    return Span(source=Source(source_id=f"{number:016x}", uri="x", path=b""))


def test_what_comes_together_is_measured_together_and_no_call_is_larger_than_allowed():
    calls: list[int] = []

    async def main() -> None:
        gatherer = Gatherer(lambda spans: calls.append(len(spans)), most=4, calls=1)
        await asyncio.gather(*(gatherer.measured(span(i)) for i in range(10)))

    asyncio.run(main())
    assert calls == [4, 4, 2]


def test_replicas_share_what_waits():
    calls: list[int] = []

    async def main() -> None:
        gatherer = Gatherer(lambda spans: calls.append(len(spans)), most=16, calls=4, replicas=2)
        await asyncio.gather(*(gatherer.measured(span(i)) for i in range(10)))

    asyncio.run(main())
    assert calls == [5, 5]


def test_one_alone_is_measured_within_a_blink():
    async def main() -> float:
        gatherer = Gatherer(lambda spans: None, most=16, calls=1)
        began = time.monotonic()
        await gatherer.measured(span(0))
        return time.monotonic() - began

    assert 0.01 < asyncio.run(main()) < 0.5


def test_never_more_calls_at_once_than_there_is_room_for():
    lock, at_once, most = threading.Lock(), 0, 0

    def measure(spans: list[Span]) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1

    async def main() -> None:
        gatherer = Gatherer(measure, most=1, calls=2)
        await asyncio.gather(*(gatherer.measured(span(i)) for i in range(8)))

    asyncio.run(main())
    assert most == 2


def test_an_error_reaches_all_of_its_call_and_no_other():
    def measure(spans: list[Span]) -> None:
        if any(one.source.source_id.endswith("1") for one in spans):
            raise MemoryError("too much")

    async def main() -> list[object]:
        gatherer = Gatherer(measure, most=2, calls=1)
        return await asyncio.gather(*(gatherer.measured(span(i)) for i in range(4)), return_exceptions=True)

    assert [type(result) for result in asyncio.run(main())] == [MemoryError, MemoryError, type(None), type(None)]


def test_who_has_gone_is_not_measured():
    measured: list[str] = []

    async def main() -> None:
        gatherer = Gatherer(lambda spans: measured.extend(s.source.source_id[-1] for s in spans), most=2, calls=1)
        first = asyncio.create_task(gatherer.measured(span(1)))
        await asyncio.sleep(0)
        first.cancel()
        await gatherer.measured(span(2))
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
    assert measured == ["2"]
