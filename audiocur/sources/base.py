"""What every source of recordings can do: list them cheaply, and read the tags of those a run needs."""
# Names of files are bytes here, and pathlib has no notion of those.
# ruff: noqa: PTH100, PTH111

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from audiocur.errors import ConfigError, SourceError, require
from audiocur.records import Source, source_id
from audiocur.sources import selection, tags
from audiocur.sources.files import examine, remote_trouble
from audiocur.sources.together import in_order
from audiocur.storage import is_url
from audiocur.storage.faults import patiently
from audiocur.storage.objects import Facts, ask
from audiocur.storage.protocols import require_protocol

# `SourceSet.list` hides the built-in of that name from annotations inside the class.
Words = list[str]
Fields = list[pa.Field]


class Found(NamedTuple):
    """A recording that a listing came across, before anything is known of the file itself.

    Attributes:
        uri: as `Source.uri`, still as bytes.
        path: as `Source.path`.
        problem: as `Source.problem`.
        known: tags and meta columns that the listing itself gives, as arguments of `Source`.
        facts: size and version, where the listing itself gives them.
    """

    uri: bytes
    path: bytes
    problem: str | None = None
    known: Mapping[str, Any] = {}
    facts: Facts | None = None

    @property
    def text(self) -> str:
        """The URI as text."""
        return self.uri.decode("utf-8", "backslashreplace")

    def examined(self) -> Source:
        """The source, with its size and time of change, or with what stands in the way of reading it."""
        facts, problem = (self.facts, self.problem) if self.facts or self.problem else _looked_at(self.path)
        return Source(
            source_id=source_id(self.uri),
            uri=self.text,
            path=self.path,
            problem=problem,
            **(facts or Facts(None))._asdict(),
            **self.known,
        )


@dataclass(frozen=True)
class Listing:
    """The recordings a run is about.

    Attributes:
        sources: never empty; in an order that depends on nothing but what they are.
        ignored: what lay beside them and is left out, and how often: by suffix (".jpg"), "no suffix", "hidden",
            "excluded" (by the patterns), "link to a listed folder".
    """

    sources: list[Source]
    ignored: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class SourceSet(ABC):
    """Recordings, wherever they come from; its fields are its parameters.

    Attributes:
        include: glob patterns on the URI; empty takes everything. See `selection.matches`.
        exclude: glob patterns on the URI of what is left out again.
        limit: take a seeded sample of so many; null takes all.
        seed: another seed, another sample.
        moved: the library is another one by most sizes, and known recordings are still those of the run.
        shard: "i/N" takes the i-th, from 0, of N disjoint parts of that sample; null takes all.
    """

    include: Words = field(default_factory=list)
    exclude: Words = field(default_factory=list)
    limit: int | None = None
    seed: int = 0
    shard: str | None = None
    moved: bool = False

    name: ClassVar[str]

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit > 0, "limit", self.limit, "a number of recordings, 1 or more")
        for key in ("include", "exclude"):
            for pattern in getattr(self, key):
                require(selection.is_pattern(pattern), key, pattern, "glob patterns, as in [Live/**, *.mp3]")
        good = self.shard is None or selection.parse_shard(self.shard) is not None
        require(good, "shard", self.shard, "i/N with i from 0 to N-1, as in 0/4")

    @property
    @abstractmethod
    def place(self) -> str:
        """The path it reads from, as the user would recognise it."""

    @abstractmethod
    def scan(self, ignored: Counter[str]) -> Iterator[Found]:
        """Everything it holds, in a fixed order; counts what is no recording in `ignored`."""

    def list(self) -> Listing:
        """The recordings that are wanted, with their size and time of change; opens none of them.

        Raises:
            SourceError: the path cannot be read, or no recording is left.
        """
        ignored: Counter[str] = Counter()
        found = [each for each in self.scan(ignored) if self._wanted(each, ignored)]
        if not found:
            raise SourceError(f"{self.place}: holds no recordings{_counted(ignored)}")
        taken = _taken(found, self)
        if not taken:
            raise SourceError(f"source.shard={self.shard}: holds none of the {len(found)} recordings of {self.place}")
        return Listing(list(in_order(Found.examined, taken, told=_is_told)), ignored)

    def find(self, ids: Iterable[str]) -> dict[str, Source]:
        """Recordings by their ids, whatever patterns and sample say; those that are not there are left out."""
        wanted = set(ids)
        found: dict[str, Source] = {}
        for each in self.scan(Counter()):
            if not wanted:
                break
            if (key := source_id(each.uri)) in wanted:
                wanted.remove(key)
                found[key] = each.examined()
        return found

    def meta_fields(self) -> Fields:
        """Arrow fields of the meta columns, named as in `Source.meta`."""
        return []

    def read_tags(self, source: Source) -> Source:
        """The source with its tags: those of the file, overridden by a sidecar, overridden by what the listing gave.

        A sidecar that cannot be understood, or a file that cannot be opened, becomes the source's `problem`.
        """
        return tags.read_tags(source)

    def read_all_tags(self, sources: Iterable[Source]) -> Iterator[Source]:
        """As `read_tags`, for each source in turn; those at URLs are read many at once."""
        return in_order(self.read_tags, sources)

    def excludes(self, uri: str) -> bool:
        """Whether the patterns leave out a URI, or a folder and all that lies in it."""
        return selection.matches(uri.rstrip("/"), self.exclude)

    def _wanted(self, found: Found, ignored: Counter[str]) -> bool:
        # A folder that cannot be read may hold what `include` asks for: it stays, so that the loss is seen.
        included = not self.include or found.uri.endswith(b"/") or selection.matches(found.text, self.include)
        wanted = included and not self.excludes(found.text)
        if not wanted:
            ignored["excluded"] += 1
        return wanted


def _taken(found: Sequence[Found], wish: SourceSet) -> Sequence[Found]:
    """The sample and shard wished for: the shards of a sample add up to it."""
    if wish.limit is None and wish.shard is None:
        return found
    ids = [source_id(each.uri) for each in found]
    chosen = set(ids) if wish.limit is None else selection.sample(ids, wish.limit, wish.seed)
    shard = selection.parse_shard(wish.shard or "0/1") or (0, 1)
    return [each for each, key in zip(found, ids, strict=True) if key in chosen and selection.in_shard(key, *shard)]


def _counted(ignored: Counter[str]) -> str:
    counts = ", ".join(f"{kind} {count}" for kind, count in ignored.most_common() if count)
    return f" ({ignored.total()} ignored: {counts})" if counts else ""


def located(path: str, expected: str) -> bytes:
    """A URL without a slash at its end, or an absolute local path, from what the user typed.

    Raises:
        SourceError: it is empty, or nothing installed opens it.
    """
    if not path or "\0" in path:
        raise SourceError(f"source.path={path!r}: expected {expected}")
    if is_url(path):
        try:
            require_protocol(path)
        except ConfigError as error:
            raise SourceError(f"source.path={error}") from error
        return os.fsencode(path.rstrip("/"))
    if path.startswith("file://"):
        local = file_of(os.fsencode(path))
        if not local.startswith(b"/"):
            raise SourceError(f"source.path={path}: expected {expected}, as in file:///music")
        return local
    return os.fsencode(os.path.abspath(os.path.expanduser(path)))


def file_of(url: bytes) -> bytes:
    """The local path that a ``file://`` URL names.

    >>> file_of(b"file:///music/a%20song.wav")
    b'/music/a song.wav'
    """
    return unquote_to_bytes(url[len(b"file://") :].removeprefix(b"localhost"))


def _is_told(found: Found) -> bool:
    return bool(found.facts or found.problem)


def _looked_at(path: bytes) -> tuple[Facts | None, str | None]:
    """What there is to know of a file or object, or why it cannot be read."""
    if is_url(path):
        try:
            return patiently(partial(ask, os.fsdecode(path))), None
        except OSError as error:
            return None, remote_trouble(error)
    found, problem = examine(path)
    return Facts(found.st_size, found.st_mtime_ns) if found else None, problem
