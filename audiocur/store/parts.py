"""A ledger part in short: what its footer says of the spans and clips in it, so that nobody needs to read its rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from audiocur.records import span_id

#: Under this key the schema metadata of a ledger part holds its facts.
FACTS = b"audiocur"
#: And under this one the hash of the whole file, worked out with `BLANK` in its place.
SEAL = b"audiocur.sha256"
BLANK = b"0" * 64


@dataclass(frozen=True, slots=True)
class SpanOutcome:
    """What became of a span, as far as the driver needs to know to plan what follows it.

    Attributes:
        why: of a failed span, the kind of error and the op.
        failed_clips: clips of it that failed.
        size, mtime_ns, etag: of its source as it was then.
    """

    source_id: str
    index: int
    last: bool
    expected_spans: int
    failed: bool
    why: str | None
    failed_clips: int
    duration_s: float
    uncut_s: float
    size: int | None
    mtime_ns: int | None
    etag: str | None

    @property
    def span_id(self) -> str:
        """Identity of the span."""
        return span_id(self.source_id, self.index)


@dataclass(frozen=True, slots=True)
class Tally:
    """Clips of one fate: how many, and their seconds; `why` is the rule they broke, or the kind of error and the op."""

    verdict: str
    why: str | None
    count: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Shard:
    """The file with the kept clips of a part."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """One ledger part.

    Attributes:
        name: of its file, below the run: "ledger/part-….parquet".
        size_bytes: of that file.
        epoch: of the driver that committed it.
        made: the epoch in which its rows were worked out; older than `epoch` if they were only carried over.
        shard: null if it keeps no clip.
        replaces: names of parts that are void since this one is there.
        spans: those it settles.
        clips: its clips by fate.
    """

    name: str
    size_bytes: int
    epoch: int
    made: int
    shard: Shard | None
    replaces: tuple[str, ...]
    spans: tuple[SpanOutcome, ...]
    clips: tuple[Tally, ...]

    def facts(self) -> str:
        """All but name and size, as the footer holds it."""
        return json.dumps(
            {
                "epoch": self.epoch,
                "made": self.made,
                "shard": list(astuple(self.shard)) if self.shard else None,
                "replaces": self.replaces,
                "spans": [list(astuple(span)) for span in self.spans],
                "clips": [list(astuple(tally)) for tally in self.clips],
            },
            separators=(",", ":"),
        )

    @classmethod
    def of(cls, name: str, size: int, facts: str | bytes) -> Part:
        """The part of that name and size whose footer holds these facts."""
        said = json.loads(facts)
        return cls(
            name,
            size,
            said["epoch"],
            said["made"],
            Shard(*said["shard"]) if said["shard"] else None,
            tuple(said["replaces"]),
            tuple(SpanOutcome(*span) for span in said["spans"]),
            tuple(Tally(*tally) for tally in said["clips"]),
        )


def sealed(data: bytes) -> bytes:
    """A ledger part with its seal in it: what was written with `BLANK` there."""
    at = data.rindex(BLANK)
    return data[:at] + hashlib.sha256(data).hexdigest().encode() + data[at + len(BLANK) :]


def is_sealed(data: bytes, seal: bytes) -> bool:
    """Whether a ledger part is to the bit what it was when it was given its seal."""
    head, found, tail = data.rpartition(seal)
    return found == seal and hashlib.sha256(head + BLANK + tail).hexdigest().encode() == seal


def outcomes(rows: Sequence[Mapping[str, Any]]) -> tuple[SpanOutcome, ...]:
    """The outcome of every span among some rows of the ledger."""
    failed_clips: dict[str, int] = {}
    for row in rows:
        if row["clip_id"] is not None and row["verdict"] == "failed":
            failed_clips[row["span_id"]] = failed_clips.get(row["span_id"], 0) + 1
    return tuple(
        SpanOutcome(
            source_id=row["source_id"],
            index=int(row["span_id"].rpartition("-")[2]),
            last=row["last"],
            expected_spans=row["expected_spans"],
            failed=row["verdict"] == "failed",
            why=_why(row),
            failed_clips=failed_clips.get(row["span_id"], 0),
            duration_s=row["duration_s"],
            uncut_s=row["uncut_s"],
            size=row["size"],
            mtime_ns=row["mtime_ns"],
            etag=row["etag"],
        )
        for row in rows
        if row["clip_id"] is None
    )


def tallies(rows: Iterable[Mapping[str, Any]]) -> tuple[Tally, ...]:
    """The clips among some rows of the ledger, by fate."""
    found: dict[tuple[str, str | None], tuple[int, float]] = {}
    for row in rows:
        if row["clip_id"] is not None:
            fate = str(row["verdict"]), _why(row)
            number, seconds = found.get(fate, (0, 0.0))
            found[fate] = number + 1, seconds + row["duration_s"]
    return tuple(Tally(*fate, *amount) for fate, amount in found.items())


def kind_of(reason: str) -> str:
    """The kind of an error, without what differs from one recording to the next.

    >>> kind_of("truncated: the header promises 30.0 s, the data ends at 14.2 s")
    'truncated'
    >>> kind_of("64 channels, expected 1 to 8"), kind_of("damaged at 6.0 s: 0.37 s are missing")
    ('N channels, expected 1 to 8', 'damaged at N s')
    """
    return re.sub(r"\d+", "N", re.sub(r"\d+\.\d+", "N", reason.partition(":")[0]), count=1)


def _why(row: Mapping[str, Any]) -> str | None:
    if row["verdict"] == "failed":
        return kind_of(row["reason"]) + (f" ({row['op']})" if row["op"] else "")
    rule: str | None = row["rule"]
    return rule
