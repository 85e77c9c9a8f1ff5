"""A folder of recordings at a URL, listed in a few requests and seen with the same eyes as one on this machine."""
# Names of objects are bytes here, as those of files are.
# ruff: noqa: PTH119, PTH122

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from audiocur.errors import SourceError
from audiocur.sources.base import Found
from audiocur.sources.files import trouble
from audiocur.storage.faults import LASTING
from audiocur.storage.objects import Facts, listing
from audiocur.storage.protocols import is_web


@dataclass(frozen=True)
class RemoteFolder:
    """One search through the objects below a URL, or a single one.

    Attributes:
        url: without a slash at its end.
        suffixes: what is a recording by its name.
        excludes: whether a folder, with a slash at its end, is left out.
        ignored: counts what is no recording.
        sidecars: URLs of the sidecars that were found.
    """

    url: bytes
    suffixes: frozenset[bytes]
    excludes: Callable[[str], bool]
    ignored: Counter[str]
    sidecars: set[bytes] = field(default_factory=set)
    _entered: dict[bytes, bool] = field(default_factory=lambda: {b"": True})

    def recordings(self, place: str) -> Iterator[Found]:
        """Every recording, sorted by the bytes of its name relative to the URL."""
        found = self._listed(place)
        if found.keys() == {b""}:
            yield Found(os.path.basename(self.url.partition(b"?")[0]), self.url, facts=found[b""])
            return
        names = [name for name in found if self._is_recording(name)]
        sidecars = {each + b".json" for name in names for each in (name, os.path.splitext(name)[0])}
        for name in sorted(found):
            yield from self._of_object(name, found[name], name in sidecars)

    def _listed(self, place: str) -> dict[bytes, Facts]:
        if is_web(os.fsdecode(self.url)) and place.endswith("/"):
            raise SourceError(
                f"{place}: expected one recording: folders cannot be listed there; name them in a manifest"
            )
        try:
            return {os.fsencode(name): facts for name, facts in listing(os.fsdecode(self.url)).items()}
        except OSError as error:
            raise SourceError(f"{place}: {_told(error, place)}") from error

    def _of_object(self, name: bytes, facts: Facts, sidecar: bool) -> Iterator[Found]:
        folder, _, base = name.rpartition(b"/")
        if not self._enter(folder):
            return
        url = self.url + b"/" + name
        if base.startswith(b"."):
            self.ignored["hidden"] += 1
        elif self._is_recording(base):
            yield Found(name, url, facts=facts)
        elif sidecar:
            self.sidecars.add(url)
        else:
            self.ignored[_text(os.path.splitext(base)[1].lower()) or "no suffix"] += 1

    def _enter(self, folder: bytes) -> bool:
        """Whether what lies in a folder counts; a folder passed over is counted once, and not all that it holds."""
        if folder not in self._entered:
            above, _, base = folder.rpartition(b"/")
            self._entered[folder] = self._enter(above) and not self._passes_over(folder, base)
        return self._entered[folder]

    def _passes_over(self, folder: bytes, base: bytes) -> bool:
        kind = "hidden" if base.startswith(b".") else "excluded" if self.excludes(_text(folder) + "/") else None
        if kind is not None:
            self.ignored[kind] += 1
        return kind is not None

    def _is_recording(self, name: bytes) -> bool:
        return os.path.splitext(name)[1].lower() in self.suffixes


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _told(error: OSError, place: str) -> str:
    """What stands in the way of a listing, and what the server says of it."""
    said = error.strerror or str(error)
    if error.errno not in LASTING:
        return said
    words = trouble(error, b"").replace("file", "folder")
    return words if place.rstrip("/").endswith(said) else f"{words} ({said})"
