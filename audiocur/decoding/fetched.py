"""Recordings at URLs, fetched once a worker: every reader wants a file that it can seek in.

The object fetched last is kept until another is asked for, in a temporary file without a name, so that the spans of a
long recording fetch it once, and nothing is left behind however the process ends.
"""

from __future__ import annotations

import os
from io import BufferedReader, FileIO
from threading import Lock
from typing import BinaryIO, NamedTuple

from audiocur.storage.objects import Facts, ask, fetch


class FetchedFile(BufferedReader):
    """A fetched object, open from its beginning.

    Attributes:
        facts: of the version that was fetched.
    """

    def __init__(self, temporary: BinaryIO, facts: Facts) -> None:
        # Opened anew, for descriptors that were merely copied would share one place in the file, and the reader of an
        # earlier span may still have its own. A file without a name has this one on Linux.
        fd = os.open(f"/proc/self/fd/{temporary.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        super().__init__(FileIO(fd))
        self.facts = facts


class _Kept(NamedTuple):
    url: str
    temporary: BinaryIO
    facts: Facts


_kept: list[_Kept] = []  # the one object fetched last
_lock = Lock()


def open_kept(url: str) -> FetchedFile | None:
    """The object that was fetched last, if it is this one and has not changed since; null otherwise.

    Raises:
        OSError: it is gone, or cannot be asked for.
    """
    with _lock:
        if not (_kept and _kept[0].url == url):
            return None
    facts = ask(url)
    with _lock:
        if not (_kept and (_kept[0].url, _kept[0].facts) == (url, facts)):
            return None
        return FetchedFile(_kept[0].temporary, facts)


def open_fetched(url: str) -> FetchedFile:
    """Fetch an object, and keep it in place of the last.

    Raises:
        OSError: it cannot be read, or there is no room for it.
    """
    temporary, facts = fetch(url)
    with _lock:
        for last in _kept:
            last.temporary.close()
        _kept[:] = [_Kept(url, temporary, facts)]
        return FetchedFile(temporary, facts)
