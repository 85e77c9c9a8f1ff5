"""What failed in a run, by reason, with the names of some of the files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiocur.inspect.funnel import Funnel, Line
from audiocur.store.parts import Part, kind_of

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

_COLUMNS = ("clip_id", "uri", "start_s", "end_s", "reason", "op", "unexpected")
_MOST_NAMES = 5

#: Whether it is of clips, and the kind of error with the op.
_Kind = tuple[bool, str]


@dataclass(frozen=True)
class Failure:
    """All failures of one kind.

    Attributes:
        line: of the funnel.
        names: some of the recordings, each with its reason in full; of a clip with the stretch it is.
        bug: an op failed for no fault of a recording.
    """

    line: Line
    names: tuple[tuple[str, str], ...]
    bug: bool

    @property
    def more(self) -> int:
        """How many are not named."""
        return max(0, self.line.count - len(self.names))


def failures_of(run: Run, funnel: Funnel) -> list[Failure]:
    """Every kind of failure, most frequent first; only as many ledger parts are opened as it takes to name some."""
    lines = {(False, line.what.partition(": ")[2]): line for line in funnel.unreadable}
    lines |= {(True, line.what.partition(": ")[2]): line for line in funnel.failed}
    names: dict[_Kind, dict[tuple[str, str], bool]] = {kind: {} for kind in lines}
    for part in run.parts.parts:
        if not any(len(names[kind]) < min(_MOST_NAMES, lines[kind].count) for kind in _kinds(part)):
            continue
        for row in _failed_rows(run, part):
            why = kind_of(row["reason"]) + (f" ({row['op']})" if row["op"] else "")
            its = names[row["clip_id"] is not None, why]
            if len(its) < _MOST_NAMES:
                its[_name(row), row["reason"]] = row["unexpected"]
    found = [Failure(line, tuple(names[kind]), any(names[kind].values())) for kind, line in lines.items()]
    return sorted(found, key=lambda failure: -failure.line.count)


def _kinds(part: Part) -> set[_Kind]:
    spans = {(False, str(span.why)) for span in part.spans if span.failed}
    return spans | {(True, str(tally.why)) for tally in part.clips if tally.verdict == "failed"}


def _failed_rows(run: Run, part: Part) -> Iterator[dict[str, Any]]:
    with run.store.open(part.name) as opened:
        rows = pq.ParquetFile(opened).read(columns=[*_COLUMNS, "verdict"])
    yield from rows.filter(pc.equal(rows["verdict"], "failed")).to_pylist()


def _name(row: dict[str, Any]) -> str:
    uri: str = row["uri"]
    return uri if row["clip_id"] is None else f"{uri}, {row['start_s']:.1f} to {row['end_s']:.1f} s"
