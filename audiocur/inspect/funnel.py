"""From hours in to hours kept: what became of every second, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from audiocur.store.ledger import read_ledger
from audiocur.words import count


@dataclass(frozen=True)
class Line:
    """One line of the funnel.

    Attributes:
        what: "kept", "rejected by loudness", "failed: not audio".
        count: clips, or recordings on lines that speak of recordings.
        unit: "clip", "recording", or nothing where only seconds are told.
        seconds: of audio.
    """

    what: str
    count: int
    unit: str
    seconds: float

    @property
    def number(self) -> str:
        """Count and unit, "1 clip"; nothing for a line of seconds alone."""
        return count(self.count, self.unit) if self.unit else ""


@dataclass(frozen=True)
class Funnel:
    """What became of every second of a run's input.

    Attributes:
        sources: recordings in the ledger.
        usable: recordings of which something could be used.
        seconds_in: decoded, of unusable ones as far as it went.
        uncut_s: usable, but in no clip.
        kept, rejected, failed: clips; `rejected` by first rule broken, `failed` by op and kind of error.
        unreadable: recordings that failed, by kind of error.
    """

    sources: int
    usable: int
    seconds_in: float
    uncut_s: float
    kept: Line
    rejected: tuple[Line, ...]
    failed: tuple[Line, ...]
    unreadable: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Top to bottom: in, out for each reason, kept."""
        recordings = Line("in", self.sources, "recording", self.seconds_in)
        uncut = (Line("in no clip", 0, "", self.uncut_s),) if self.uncut_s else ()
        return (recordings, *self.unreadable, *uncut, *self.failed, *self.rejected, self.kept)


def funnel(run: Path) -> Funnel:
    """The funnel of a run, from its ledger."""
    columns = ["source_id", "clip_id", "verdict", "rule", "op", "reason", "duration_s", "uncut_s"]
    ledger = read_ledger(run, columns)
    is_span = pc.is_null(ledger["clip_id"])
    spans, clips = ledger.filter(is_span), ledger.filter(pc.invert(is_span))
    broken = spans.filter(pc.equal(spans["verdict"], "failed"))
    done = spans.filter(pc.equal(spans["verdict"], "done"))
    usable = done.filter(pc.greater(done["duration_s"], 0))
    kept = clips.filter(pc.equal(clips["verdict"], "kept"))
    return Funnel(
        sources=pc.count_distinct(spans["source_id"]).as_py(),
        usable=pc.count_distinct(usable["source_id"]).as_py(),
        seconds_in=_sum(spans["duration_s"]),
        uncut_s=_sum(done["uncut_s"]),
        kept=Line("kept", kept.num_rows, "clip", _sum(kept["duration_s"])),
        rejected=_grouped(clips.filter(pc.equal(clips["verdict"], "rejected")), "rejected by ", "rule", "clip"),
        failed=_grouped(_kinds(clips.filter(pc.equal(clips["verdict"], "failed"))), "failed: ", "kind", "clip"),
        unreadable=_grouped(_kinds(broken), "unreadable: ", "kind", "recording"),
    )


def kind_of(reason: str) -> str:
    """The kind of an error, without what differs from one recording to the next.

    >>> kind_of("truncated: the header promises 30.0 s, the data ends at 14.2 s")
    'truncated'
    >>> kind_of("64 channels, expected 1 to 8"), kind_of("damaged at 6.0 s: 0.37 s are missing")
    ('N channels, expected 1 to 8', 'damaged at N s')
    """
    return re.sub(r"\d+", "N", re.sub(r"\d+\.\d+", "N", reason.partition(":")[0]), count=1)


def _kinds(rows: pa.Table) -> pa.Table:
    ops, reasons = rows["op"].to_pylist(), rows["reason"].to_pylist()
    kinds = [kind_of(reason) + (f" ({op})" if op else "") for op, reason in zip(ops, reasons, strict=True)]
    return rows.append_column("kind", pa.array(kinds, pa.string()))


def _grouped(rows: pa.Table, prefix: str, key: str, unit: str) -> tuple[Line, ...]:
    # A recording may have failed in several spans; a clip has an id of its own.
    identity, how = ("source_id", "count_distinct") if unit == "recording" else ("clip_id", "count")
    counted: Any = rows.group_by(key).aggregate([("duration_s", "sum"), (identity, how)])
    lines = [
        Line(f"{prefix}{row[key]}", row[f"{identity}_{how}"], unit, row["duration_s_sum"] or 0.0)
        for row in counted.to_pylist()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.count, line.what)))


def _sum(column: pa.ChunkedArray) -> float:
    return float(pc.sum(column).as_py() or 0.0)
