"""A folder of recordings, searched to its last corner."""
# Names of files are bytes here, and pathlib has no notion of those.
# ruff: noqa: PTH116, PTH119, PTH122

from __future__ import annotations

import heapq
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from audiocur.errors import SourceError, require
from audiocur.records import Source
from audiocur.sources import tags
from audiocur.sources.base import Found, SourceSet, Words, located
from audiocur.sources.files import trouble
from audiocur.sources.remote import RemoteFolder
from audiocur.storage import is_url

#: Containers that soundfile or PyAV opens; of video, its sound.
SUFFIXES = (
    *("wav", "wave", "w64", "rf64", "bwf", "aif", "aiff", "aifc", "caf", "au", "snd", "flac", "ape", "wv", "tta"),
    *("mp3", "mp2", "mpc", "ogg", "oga", "opus", "spx", "m4a", "m4b", "aac", "ac3", "wma", "asf", "amr", "dsf"),
    *("mka", "mkv", "webm", "mp4", "m4v", "mov", "3gp", "avi", "flv", "mpg", "mpeg", "ogv", "wmv"),
)


@dataclass(frozen=True, kw_only=True)
class Folder(SourceSet):
    """Every recording in a folder and those below it, or a single file; on this machine or at a URL.

    Symbolic links are followed; each folder is listed once, under its own name where it has one below the top. A link
    that leads nowhere or in a circle and a folder that cannot be read are sources with a `problem`.

    Attributes:
        path: the folder, or its URL.
        suffixes: what is a recording by its name, in any case, without the dot.
    """

    path: str = field(metadata={"path": True, "hint": "a folder of recordings or one file, or its URL"})
    suffixes: Words = field(default_factory=lambda: list(SUFFIXES))

    name: ClassVar[str] = "folder"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.suffixes), "suffixes", self.suffixes, "at least one suffix, as in [wav, flac]")

    @property
    def place(self) -> str:
        """The path it reads from, as the user would recognise it."""
        return f"source.path={self.path}"

    def scan(self, ignored: Counter[str]) -> Iterator[Found]:
        """Every recording, sorted by the bytes of its relative path."""
        root = located(self.path, "a folder")
        if is_url(root):
            yield from self._scan_remote(root, ignored)
            return
        try:
            folder = stat.S_ISDIR(os.stat(root).st_mode)
            if folder:
                os.scandir(root).close()
        except OSError as error:
            problem = trouble(error, root)
            raise SourceError(f"{self.place}: {'no such folder' if problem == 'no such file' else problem}") from error
        if folder:
            yield from sorted(_Walk(root, self._suffixes, self.excludes, ignored).recordings())
        else:
            yield Found(os.path.basename(root), root)

    def read_tags(self, source: Source) -> Source:
        """As every source does; of recordings at a URL, the sidecars that the listing came across are read."""
        return tags.read_tags(source, self.__dict__.get("_sidecars"))

    def _scan_remote(self, root: bytes, ignored: Counter[str]) -> Iterator[Found]:
        folder = RemoteFolder(root, self._suffixes, self.excludes, ignored)
        yield from folder.recordings(self.place)
        # No parameter: what is remembered of the last listing spares two requests a recording.
        self.__dict__["_sidecars"] = frozenset(folder.sidecars)

    @property
    def _suffixes(self) -> frozenset[bytes]:
        return frozenset(f".{suffix.lower().lstrip('.')}".encode() for suffix in self.suffixes)


class _Place(NamedTuple):
    """A folder still to be listed: its URI with a slash at the end, its path and the folders it was reached through."""

    uri: bytes
    path: bytes
    above: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Walk:
    """One search through a folder; linked folders come last, so that what lies below the top keeps its own name."""

    root: bytes
    suffixes: frozenset[bytes]
    excludes: Callable[[str], bool]
    ignored: Counter[str]
    real: list[_Place] = field(default_factory=list)
    linked: list[_Place] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def recordings(self) -> Iterator[Found]:
        self.real.append(_Place(b"", self.root, ()))
        while self.real or self.linked:
            place = self.real.pop() if self.real else heapq.heappop(self.linked)
            try:
                found = os.stat(place.path)
                identity = (found.st_dev, found.st_ino)
                new = identity not in self.seen
                entries = _entries(place.path) if new else []
            except OSError as error:
                yield Found(place.uri, place.path, f"the folder cannot be read: {trouble(error, place.path)}")
                continue
            if identity in place.above:
                yield Found(place.uri, place.path, "symbolic link loop")
            elif not new:
                self.ignored["link to a listed folder"] += 1
            self.seen.add(identity)
            yield from self._within(place._replace(above=(*place.above, identity)), entries)

    def _within(self, place: _Place, entries: list[os.DirEntry[bytes]]) -> Iterator[Found]:
        names = {entry.name for entry in entries if self._is_recording(entry.name)}
        sidecars = {each + b".json" for name in names for each in (name, os.path.splitext(name)[0])}
        for entry in entries:
            try:
                yield from self._of_entry(place, entry, entry.name in sidecars)
            except OSError as error:
                yield Found(place.uri + entry.name, entry.path, trouble(error, entry.path))

    def _of_entry(self, place: _Place, entry: os.DirEntry[bytes], sidecar: bool) -> Iterator[Found]:
        if entry.name.startswith(b"."):
            self.ignored["hidden"] += 1
        elif entry.is_symlink():
            yield from self._of_link(place, entry, sidecar)
        elif entry.is_dir(follow_symlinks=False):
            self.real.extend(self._below(place, entry))
        elif self._is_recording(entry.name):
            yield Found(place.uri + entry.name, entry.path)
        elif not sidecar:
            self._ignore(entry.name)

    def _of_link(self, place: _Place, link: os.DirEntry[bytes], sidecar: bool) -> Iterator[Found]:
        try:
            folder, problem = stat.S_ISDIR(os.stat(link.path).st_mode), None
        except OSError as error:
            folder, problem = False, trouble(error, link.path)
        if folder:
            for inner in self._below(place, link):
                heapq.heappush(self.linked, inner)
        # A broken link without a suffix may have been a folder of recordings: it is not passed over.
        elif self._is_recording(link.name) or (problem and b"." not in link.name):
            yield Found(place.uri + link.name, link.path, problem)
        elif not sidecar:
            self._ignore(link.name)

    def _below(self, place: _Place, entry: os.DirEntry[bytes]) -> Iterator[_Place]:
        inner = _Place(place.uri + entry.name + b"/", entry.path, place.above)
        if self.excludes(inner.uri.decode("utf-8", "backslashreplace")):
            self.ignored["excluded"] += 1
        else:
            yield inner

    def _is_recording(self, name: bytes) -> bool:
        return os.path.splitext(name)[1].lower() in self.suffixes

    def _ignore(self, name: bytes) -> None:
        suffix = os.path.splitext(name)[1].lower().decode("utf-8", "backslashreplace")
        self.ignored[suffix or "no suffix"] += 1


def _entries(path: bytes) -> list[os.DirEntry[bytes]]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)
