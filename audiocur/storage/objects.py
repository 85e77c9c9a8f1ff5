"""Objects at URLs: what is known of them, a part of one, or all of it."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import IO, Any, BinaryIO, NamedTuple, cast

from audiocur.storage.faults import LASTING, os_errors, patiently
from audiocur.storage.protocols import file_system, is_web

#: What is asked for at once of an object that is fetched as a whole.
PIECE_BYTES = 8 << 20

_ETAGS = ("ETag", "etag", "md5", "md5Hash", "generation")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "Last-Modified")
_BLOCK_BYTES, _BLOCKS_AT_ONCE, _BLOCKS_KEPT = 1 << 16, 16, 64


class Facts(NamedTuple):
    """What tells one version of a file from another.

    Attributes:
        size: bytes, null where it cannot be told.
        mtime_ns: time of last change in ns since 1970, null where it cannot be told or `etag` says more.
        etag: what an object store gives each version of an object.
    """

    size: int | None
    mtime_ns: int | None = None
    etag: str | None = None


def facts_of(info: Mapping[str, Any]) -> Facts:
    """What a file system says of an object, whatever its words for it.

    >>> facts_of({"size": 5, "ETag": '"9a0364b9"', "LastModified": datetime(2024, 1, 1, tzinfo=UTC)})
    Facts(size=5, mtime_ns=None, etag='9a0364b9')
    >>> facts_of({"size": 5, "mtime": 1.5})
    Facts(size=5, mtime_ns=1500000000, etag=None)
    """
    etag = next((str(info[name]).strip('"') for name in _ETAGS if info.get(name)), None)
    time = next((info[name] for name in _TIMES if info.get(name)), None)
    return Facts(info.get("size"), None if etag else _as_ns(time), etag)


def ask(url: str) -> Facts:
    """What is known of an object, from one request.

    Raises:
        OSError: it is not there, is a folder, or cannot be asked for.
    """
    system, path = file_system(url)
    with os_errors():
        system.invalidate_cache()
        info = system.info(path)
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return facts_of(info)


def listing(url: str) -> dict[str, Facts]:
    """Every object below a URL by its name relative to it, ``""`` where the URL itself is one.

    A thousand objects or so cost one request.

    Raises:
        OSError: there is no such place, or it cannot be listed.
    """
    if is_web(url):
        return {"": ask(url)}
    system, root = file_system(url)
    with os_errors():
        system.invalidate_cache()
        found = dict(_walked(system, root)) if _walks(system) else system.find(root, detail=True)
        if not found:
            system.info(root)  # an error where there is no such place
        system.invalidate_cache()
    below = f"{root}/"
    return {
        "" if path == root else path.removeprefix(below): facts_of(info)
        for path, info in found.items()
        if info.get("type") != "directory" and not path.endswith("/")
    }


def read_head(url: str, num_bytes: int) -> bytes:
    """The first bytes of an object, as many as there are, from one request.

    Raises:
        OSError: it is not there or cannot be read.
    """
    system, path = file_system(url)
    try:
        with os_errors():
            return cast(bytes, system.cat_file(path, start=0, end=num_bytes))[:num_bytes]
    except OSError as error:
        if error.errno == errno.ERANGE:  # how a server says that an object is empty
            return b""
        raise


def fetch(url: str) -> tuple[BinaryIO, Facts]:
    """All of an object, in a temporary file that has no name and is gone with the process, and what it was.

    Raises:
        OSError: it cannot be read, it changed meanwhile, or there is no room for it.
    """
    with _here():
        temporary = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's
    try:
        facts = _copied(url, temporary)
        if facts.etag is None:
            facts = ask(url)
        if facts.size not in (None, temporary.tell()):
            raise OSError(errno.EIO, f"{temporary.tell():,} of {facts.size:,} bytes came")
    except BaseException:
        temporary.close()
        raise
    return cast(BinaryIO, temporary), facts


def _copied(url: str, temporary: IO[bytes]) -> Facts:
    """What an object was that has been copied into a file."""
    system, path = file_system(url)
    # On the web, one request for all of it: not every server knows how to send a part.
    with os_errors(), system.open(path, "rb", block_size=0 if is_web(url) else PIECE_BYTES) as remote:
        # Of the version that is being read: requests for its parts hold on to it.
        facts = facts_of(getattr(remote, "details", None) or {})
        while piece := remote.read(PIECE_BYTES):
            with _here():
                temporary.write(piece)
    with _here():
        temporary.flush()
    return facts


@contextmanager
def _here() -> Iterator[None]:
    """A context in which errors are those of this machine, and nothing is said by them of the object."""
    try:
        yield
    except OSError as error:
        number = errno.EIO if error.errno in LASTING else error.errno or errno.EIO
        raise OSError(number, f"temporary folder {tempfile.gettempdir()}: {error.strerror or error}") from error


def open_whole(url: str) -> BinaryIO:
    """All of an object, fetched, to read from its beginning."""
    temporary, _ = patiently(partial(fetch, url))
    temporary.seek(0)
    return temporary


class RemoteFile(io.RawIOBase):
    """An object to read from anywhere; what lies together comes in one request, and short pieces are kept.

    Attributes:
        name: its URL.
        error: what went wrong when it was last read, for callers of libraries that take that for the end of a file.
    """

    def __init__(self, url: str, size: int) -> None:
        self.name = url
        self.error: OSError | None = None
        self._system, self._path = file_system(url)
        self._size = size
        self._at = 0
        self._blocks: dict[int, bytes] = {}
        self._whole: bytes | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        try:
            data = self._between(self._at, end)
        except OSError as error:
            self.error = error
            raise
        self._at = end
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _between(self, start: int, end: int) -> bytes:
        if self._whole is not None:
            return self._whole[start:end]
        first, last = start // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        if last - first >= _BLOCKS_AT_ONCE:  # read on and not come back to
            return self._requested(start, end)
        missing = [index for index in range(first, last + 1) if index not in self._blocks]
        if missing:
            at = missing[0] * _BLOCK_BYTES
            data = self._requested(at, min((missing[-1] + 1) * _BLOCK_BYTES, self._size))
            for index in range(missing[0], missing[-1] + 1):
                self._blocks[index] = data[index * _BLOCK_BYTES - at :][:_BLOCK_BYTES]
        found = b"".join(self._blocks[index] for index in range(first, last + 1))
        for index in list(self._blocks)[:-_BLOCKS_KEPT]:
            del self._blocks[index]
        return found[start - first * _BLOCK_BYTES :][: end - start]

    def _requested(self, start: int, end: int) -> bytes:
        data = patiently(partial(self._request, start, end))
        if len(data) > end - start:  # a server that cannot send a part sends all
            self._whole = data
            data = data[start:end]
        if len(data) < end - start:
            raise OSError(errno.EIO, f"{len(data):,} of {end - start:,} bytes came")
        return data

    def _request(self, start: int, end: int) -> bytes:
        with os_errors():
            return cast(bytes, self._system.cat_file(self._path, start=start, end=end))


def _walks(system: Any) -> bool:
    """Whether a file system has no better way to find files than to go from folder to folder."""
    from fsspec.asyn import AsyncFileSystem  # only URLs need it
    from fsspec.spec import AbstractFileSystem

    kind = type(system)
    return kind.find is AbstractFileSystem.find or getattr(kind, "_find", None) is AsyncFileSystem._find


def _walked(system: Any, root: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every file below a folder; fsspec would pass over folders that cannot be read."""
    folders = [root]
    while folders:
        folder = folders.pop()
        for info in system.ls(folder, detail=True):
            if info["type"] != "directory":
                yield info["name"], info
            elif info["name"].rstrip("/") != folder:
                folders.append(info["name"].rstrip("/"))


def _as_ns(time: Any) -> int | None:
    if isinstance(time, str):  # as a header of HTTP writes it
        try:
            time = parsedate_to_datetime(time)
        except ValueError:
            return None
    if isinstance(time, datetime):
        elapsed = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
    return round(time * 1e9) if isinstance(time, int | float) else None
