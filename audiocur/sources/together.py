"""One call for each of many recordings: for those at URLs many calls at once, since each waits for an answer."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

from audiocur.storage import is_url
from audiocur.storage.protocols import AT_ONCE, require_protocol

#: Calls ahead of the one whose answer is wanted: enough for a slow one not to hold up the others.
_AHEAD = 8 * AT_ONCE


class Placed(Protocol):
    """What has a path or URL, as bytes."""

    @property
    def path(self) -> bytes: ...


P = TypeVar("P", bound=Placed)
R = TypeVar("R")


def in_order(call: Callable[[P], R], items: Iterable[P], told: Callable[[P], bool] = lambda item: False) -> Iterator[R]:
    """What a call gives for each item, in their order.

    Args:
        call: asks for what is at the item's path.
        items: what to call it with.
        told: whether all is known of an item already, so that nothing will be asked for.
    """
    pool = ThreadPoolExecutor(AT_ONCE)  # which starts no thread before it is given a call
    try:
        begun = ((item, None if told(item) else _begun(pool, call, item)) for item in items)
        ahead = deque(islice(begun, _AHEAD))
        while ahead:
            item, answer = ahead.popleft()
            yield call(item) if answer is None else answer.result()
            ahead.extend(islice(begun, 1))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begun(pool: ThreadPoolExecutor, call: Callable[[P], R], item: P) -> Future[R] | None:
    # Only what is made for it may be asked from several threads.
    many = is_url(item.path) and require_protocol(os.fsdecode(item.path)).async_impl
    return pool.submit(call, item) if many else None
