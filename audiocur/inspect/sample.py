"""Clips to look at and listen to, drawn at random from those that a condition in SQL holds for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa
import pyarrow.dataset as pads
from rich.console import Console, ConsoleOptions, RenderResult

from audiocur.build import closest
from audiocur.errors import ConfigError, OutputError, require
from audiocur.inspect.frame import Frame
from audiocur.words import count

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

#: What a listener wants to know of every clip.
_TOLD = ("uri", "start_s", "duration_s", "verdict", "rule", "reason")
#: More is no sample any more: the ledger is there for that.
_MOST = 100_000


@dataclass(frozen=True)
class Sample(Sequence[Mapping[str, Any]]):
    """Some clips of a run: a sequence of rows, each with all columns of the ledger.

    Attributes:
        rows: one a clip, in the order in which they were drawn.
        columns: those that it displays, besides the clip's id.
        title: where it is from.
    """

    rows: tuple[Mapping[str, Any], ...]
    columns: tuple[str, ...]
    title: str

    @overload
    def __getitem__(self, at: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sample: ...
    def __getitem__(self, at: int | slice) -> Mapping[str, Any] | Sample:
        if isinstance(at, slice):
            return Sample(self.rows[at], self.columns, self.title)
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def frame(self) -> Frame:
        """What it displays."""
        rows = [(row["clip_id"][:8], *(row[name] for name in self.columns)) for row in self.rows]
        return Frame(("clip", *self.columns), rows, title=self.title)

    def __repr__(self) -> str:
        return repr(self.frame)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.frame

    def _repr_html_(self) -> str:
        return self.frame._repr_html_()


def sample_of(run: Run, where: str | None, n: int, seed: int) -> Sample:
    """Draw clips at random; the same on every machine, and however the ledger is cut into parts.

    Args:
        run: the run.
        where: a condition in DuckDB's SQL over the columns of the ledger, ``"verdict = 'rejected'"``; null for all.
        n: how many, if there are so many.
        seed: another seed, another sample.

    Raises:
        ConfigError: a condition that DuckDB cannot make sense of.
        OutputError: the ledger cannot be read.
    """
    require(0 < n <= _MOST, "n", n, f"a number of clips, 1 to {_MOST:,}")
    found, drawn = _drawn(run, where, n, int(seed))
    rows = rows_of(run, drawn)
    named = _named_in(where or "", run.ledger_dataset.schema.names)
    told = (*_TOLD[:3], *named, *_TOLD[3:])
    title = f"{len(rows)} of {count(found, 'clip')}" + (f" where {' '.join(where.split())}" if where else "")
    return Sample(rows, tuple(dict.fromkeys(told)), title)


def _drawn(run: Run, where: str | None, n: int, seed: int) -> tuple[int, list[dict[str, str]]]:
    """How many clips there are, and the ids of clip and span of those with the least hashes, in that order."""
    import duckdb

    # A bounded heap in one pass over the two ids and the columns of the condition, however many clips there are.
    least = f"arg_min({{'clip_id': clip_id, 'span_id': span_id}}, md5(clip_id || ':{seed}'), {n})"
    try:
        clips = run.ledger.filter("clip_id is not null")
        clips = clips.filter(where) if where is not None else clips
        ((found, drawn),) = clips.aggregate(f"count(*), {least}").fetchall()
    except duckdb.Error as error:
        if where is None:
            raise OutputError(f"{run.store}: its ledger cannot be read ({_said(error, ())})") from error
        raise ConfigError(f"where={where}: {_said(error, run.ledger_dataset.schema.names)}") from error
    return found, drawn or []


def _said(error: Exception, columns: Sequence[str]) -> str:
    """What DuckDB says is wrong, in one line."""
    absent = re.search(r'Referenced column "(.*?)" (?:was )?not found', str(error))
    if absent:
        return f"the ledger has no column {absent[1]}{closest(absent[1], columns)}"
    return " ".join(str(error).partition("\n")[0].split())


def rows_of(run: Run, wanted: Sequence[Mapping[str, str]]) -> tuple[Mapping[str, Any], ...]:
    """All columns of some clips, read from the parts alone that hold their spans.

    Args:
        run: the run.
        wanted: the `clip_id` and `span_id` of each.

    Raises:
        OutputError: the ledger cannot be read.
    """
    spans = {each["span_id"] for each in wanted}
    if not spans:
        return ()
    ids = [each["clip_id"] for each in wanted]
    system, root = run.store.arrow()
    names = [part.name for part in run.parts.parts if any(span.span_id in spans for span in part.spans)]
    dataset = pads.dataset([f"{root}/{name}" for name in names], filesystem=system, schema=run.ledger_dataset.schema)
    try:
        table = dataset.to_table(filter=pads.field("clip_id").isin(ids))
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{run.store}: its ledger cannot be read ({' '.join(str(error).split())})") from error
    by_id = {row["clip_id"]: row for row in table.to_pylist()}
    return tuple(by_id[key] for key in ids)


def _named_in(where: str, columns: Sequence[str]) -> list[str]:
    """The columns that a condition speaks of, in its order."""
    outside_texts = re.sub(r"'(?:[^']|'')*'", "", where)
    known = {name.casefold(): name for name in columns}
    words = dict.fromkeys(word.casefold() for word in re.findall(r"\w+", outside_texts))
    return [known[word] for word in words if word in known and word != "clip_id"]
