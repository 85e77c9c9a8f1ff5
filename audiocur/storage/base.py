"""What a run asks of the place that holds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import BinaryIO, ClassVar

import pyarrow.fs as pafs


class Store(ABC):
    """A folder of files that are wholly there or not there; plain data, so that it travels to workers.

    Names of files are relative to it, with forward slashes. What cannot be done is an OSError.

    Attributes:
        url: the folder as the user named it.
        append_every_s: how long lines for a log are gathered before they are appended: where files cannot grow, each
            time costs a whole upload.
    """

    url: str
    append_every_s: ClassVar[float]

    def __str__(self) -> str:
        return self.url

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of its path."""

    @abstractmethod
    def files(self, folder: str = "") -> dict[str, int]:
        """Size in bytes of each file in a folder and those below it, unfinished ones included; none if it is absent."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file, null if there is none."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            FileNotFoundError: there is none.
        """

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A file to read from anywhere."""

    @abstractmethod
    def write(self, name: str, data: bytes | memoryview, *, exclusive: bool = False) -> None:
        """Put a whole file there, in place of one of that name; it outlasts a power cut.

        Args:
            name: of the file.
            data: its whole content.
            exclusive: fail if the name is taken, whoever is faster.

        Raises:
            FileExistsError: exclusive, and the name is taken.
        """

    @abstractmethod
    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file that nobody else writes to."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Take files away; one that is gone already is no error."""

    def discard(self, folder: str) -> None:
        """Take away a folder and all that is in it."""
        self.remove(self.files(folder))

    @abstractmethod
    def arrow(self) -> tuple[pafs.FileSystem, str]:
        """For readers of Parquet: the file system it lies on, and its own path there."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Room that is left, null where there is no end to it."""
