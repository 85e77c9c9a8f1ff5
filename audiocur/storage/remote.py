"""A folder of an object store or any other file system that fsspec knows.

An object is there when its upload is complete and not before, so a commit needs no rename; a name is taken by whoever
puts it there first, with a conditional request.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, ClassVar, cast

import pyarrow.fs as pafs

from audiocur.errors import ConfigError
from audiocur.storage.base import Store
from audiocur.storage.faults import os_errors
from audiocur.storage.objects import RemoteFile, ask, listing
from audiocur.storage.protocols import AT_ONCE, file_system


@dataclass(frozen=True)
class RemoteStore(Store):
    """A folder at a URL; credentials and endpoint are those that the protocol's own package finds."""

    url: str
    append_every_s: ClassVar[float] = 30.0

    def __post_init__(self) -> None:
        try:
            file_system(self.url)  # a protocol that nobody knows is told before any work
        except OSError as error:
            raise ConfigError(f"{self.url}: {error.strerror}") from error

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rstrip("/").rpartition("/")[2]

    def _url(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}".rstrip("/")

    def _place(self, name: str) -> tuple[Any, str]:
        return file_system(self._url(name))

    def files(self, folder: str = "") -> dict[str, int]:
        """Sizes of all objects below a folder."""
        try:
            found = listing(self._url(folder))
        except FileNotFoundError:
            return {}
        prefix = f"{folder}/" if folder else ""
        return {prefix + name: facts.size or 0 for name, facts in found.items() if name}

    def size(self, name: str) -> int | None:
        """Bytes of an object."""
        try:
            return ask(self._url(name)).size
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """A whole object."""
        system, path = self._place(name)
        with os_errors():
            return cast(bytes, system.cat_file(path))

    def open(self, name: str) -> BinaryIO:
        """An object to read from."""
        url = self._url(name)
        return cast(BinaryIO, RemoteFile(url, ask(url).size or 0))

    def write(self, name: str, data: bytes | memoryview, *, exclusive: bool = False) -> None:
        """Upload a whole object."""
        system, path = self._place(name)
        put = partial(system.pipe_file, path, bytes(data), mode="create" if exclusive else "overwrite")
        with os_errors():
            try:
                put()
            except FileNotFoundError:
                if system.async_impl:  # an object store, of which a bucket is missing
                    raise
                system.makedirs(path.rpartition("/")[0], exist_ok=True)
                put()

    def append(self, name: str, data: bytes) -> None:
        """Upload the object anew, with more at its end."""
        before = self.read(name) if self.size(name) is not None else b""
        self.write(name, before + data)

    def remove(self, names: Iterable[str]) -> None:
        """Take objects away, many at once."""
        # One by one: a request for many would take brackets in a name for a pattern, and keep its failures to itself.
        many = self._place("")[0].async_impl
        with ThreadPoolExecutor(AT_ONCE if many else 1) as pool:
            for _ in pool.map(self._remove, names):
                pass

    def _remove(self, name: str) -> None:
        system, path = self._place(name)
        with suppress(FileNotFoundError), os_errors():
            system.rm_file(path)

    def arrow(self) -> tuple[pafs.FileSystem, str]:
        """What fsspec opens, in Arrow's terms."""
        system, path = self._place("")
        return pafs.PyFileSystem(pafs.FSSpecHandler(system)), path.rstrip("/")

    def free_bytes(self) -> int | None:
        """There is no end to it."""
        return None
