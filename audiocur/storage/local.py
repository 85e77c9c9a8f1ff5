"""A local folder, whose files outlast a power cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar
from uuid import uuid4

import pyarrow.fs as pafs

from audiocur.storage.base import Store


@dataclass(frozen=True)
class LocalStore(Store):
    """A local folder, made when the first file is written.

    >>> import tempfile
    >>> store = LocalStore(tempfile.mkdtemp())
    >>> store.write("ledger/part.parquet", b"rows")
    >>> store.files(), store.read("ledger/part.parquet")
    ({'ledger/part.parquet': 4}, b'rows')
    """

    url: str
    append_every_s: ClassVar[float] = 0.0

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.url)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.resolve().name

    def files(self, folder: str = "") -> dict[str, int]:
        """Sizes of all files below a folder."""
        found: dict[str, int] = {}
        self._scan(os.path.join(self.url, folder), f"{folder}/" if folder else "", found)  # noqa: PTH118 - in a loop
        return found

    def _scan(self, path: str, prefix: str, found: dict[str, int]) -> None:
        try:
            entries = os.scandir(path)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self._scan(entry.path, f"{prefix}{entry.name}/", found)
                    continue
                try:
                    found[prefix + entry.name] = entry.stat().st_size
                except FileNotFoundError:  # an unfinished file of another process, which has just been renamed
                    continue

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        try:
            return (self.path / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self.path / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        """A file to read from."""
        return open(self.path / name, "rb")

    def write(self, name: str, data: bytes | memoryview, *, exclusive: bool = False) -> None:
        """Write under a name that begins with a dot, sync it, and only then give it its own name."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{uuid4().hex[:8]}"
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if exclusive:
                os.link(temporary, path)
            else:
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file."""
        with open(self.path / name, "ab") as file:
            file.write(data)

    def remove(self, names: Iterable[str]) -> None:
        """Take files away."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def discard(self, folder: str) -> None:
        """Take away a folder and all that is in it."""
        if (self.path / folder).exists():
            shutil.rmtree(self.path / folder)

    def arrow(self) -> tuple[pafs.FileSystem, str]:
        """The local file system."""
        return pafs.LocalFileSystem(), str(self.path.absolute())

    def free_bytes(self) -> int | None:
        """Room on its disk."""
        return shutil.disk_usage(self.path).free


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
