"""The one way to commit: a shard, then the ledger part that names it. A span is done once that part is there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiocur.errors import RunError
from audiocur.records import Clip, Span, Verdict
from audiocur.schema import ledger_rows, shard_row
from audiocur.storage.base import Store
from audiocur.store.parts import BLANK, FACTS, SEAL, Part, Shard, SpanOutcome, Tally, outcomes, sealed, tallies
from audiocur.usage import Usage, totals

#: Columns of the ledger that a part's footer is made from.
_TELLING = (
    *("span_id", "clip_id", "source_id", "verdict", "rule", "reason", "op", "last", "expected_spans", "duration_s"),
    *("uncut_s", "size", "mtime_ns", "etag"),
)
#: Row groups stay well under the 100 MB that dataset viewers take, and a worker holds one of them twice.
ROW_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class Committed:
    """What one call of `commit` did: small, for the driver's progress display.

    Attributes:
        part: file name of the ledger part.
        spans: the spans it settles.
        fates: the clips cut, by verdict and rule or kind of error.
        tried: calls of each op, and `spent_s`: seconds that each took, without models.
        unexpected: how many of them failed by a bug of its own, and one such error each.
        usage: what each model was given and did.
    """

    part: str
    spans: tuple[SpanOutcome, ...]
    fates: tuple[Tally, ...]
    tried: Counter[str]
    spent_s: Counter[str] = field(compare=False)
    unexpected: Counter[str]
    examples: dict[str, str]
    usage: dict[str, Usage]

    @property
    def clips(self) -> Counter[str]:
        """Clips cut, by verdict."""
        counted: Counter[str] = Counter()
        for fate in self.fates:
            counted[fate.verdict] += fate.count
        return counted


@dataclass(frozen=True)
class Committer:
    """Commits spans into a run directory; plain data, so that it travels to workers.

    Attributes:
        store: the run directory.
        epoch: the epoch of the driver that planned the spans.
        ledger, clips: Arrow schemas; `clips` is null where no audio is stored.
    """

    store: Store
    epoch: int
    ledger: pa.Schema
    clips: pa.Schema | None

    def commit(self, spans: Sequence[Span]) -> Committed:
        """Write the kept clips of the spans as one shard, then the ledger part that settles them.

        Doing it again with the same spans writes the same names, so a retry never doubles.

        Args:
            spans: worked through, all of one split.

        Raises:
            RunError: the directory cannot be written (any more).
        """
        rows = [row for span in spans for row in ledger_rows(span)]
        table = pa.Table.from_pylist(rows, self.ledger)
        try:
            part = write_part(self.store, self.epoch, table, self._write_shard(spans))
        except OSError as error:
            raise RunError(f"{self.store} cannot be written: {error.strerror or error}") from error
        return _summary(part, spans)

    def _write_shard(self, spans: Sequence[Span]) -> Shard | None:
        kept = [(span, clip) for span in spans for clip in span.clips if clip.verdict is Verdict.KEPT]
        if self.clips is None or not kept:
            return None
        (split,) = {span.split for span, _ in kept}
        groups = ([shard_row(span, clip) for span, clip in group] for group in _row_groups(kept))
        tables = (pa.Table.from_pylist(rows, self.clips) for rows in groups)
        return write_shard(self.store, f"clips/{split}", self.clips, tables)


def write_shard(store: Store, folder: str, schema: pa.Schema, row_groups: Iterable[pa.Table]) -> Shard:
    """Write kept clips as one file, named by its content."""
    codecs = dict.fromkeys(_leaf_names(schema), "ZSTD") | {"audio.bytes": "NONE"}
    plain = [column for column in codecs if column != "audio.bytes"]
    # Nobody looks for a clip by the least and the greatest of its bytes, which would take two more copies.
    rows, data = _parquet(schema, row_groups, compression=codecs, use_dictionary=plain, write_statistics=plain)
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{folder}/part-{sha256[:20]}.parquet"
    store.write(name, data)
    return Shard(name, rows, len(data), sha256)


def write_part(
    store: Store,
    epoch: int,
    table: pa.Table,
    shard: Shard | None,
    *,
    replaces: Sequence[str] = (),
    made: int | None = None,
) -> Part:
    """Write the ledger part that settles the spans of some rows.

    Args:
        store: the run directory.
        epoch: the current one.
        table: rows of the ledger: spans, and their clips.
        shard: the file with the kept ones.
        replaces: ledger parts that are void once this one is there.
        made: the epoch in which the rows were worked out; default: the current one.
    """
    rows = table.select(_TELLING).to_pylist()
    settled = outcomes(rows)
    names = hashlib.sha256("\n".join(sorted(span.span_id for span in settled)).encode()).hexdigest()[:20]
    name = f"ledger/part-{epoch:06d}-{names}.parquet"
    part = Part(name, 0, epoch, made or epoch, shard, tuple(replaces), settled, tallies(rows))
    schema = table.schema.with_metadata({FACTS: part.facts(), SEAL: BLANK})
    # Spans lie in a row group of their own, so that who looks for them need not read the clips.
    is_span = pc.is_null(table["clip_id"])
    groups = [table.filter(is_span), table.filter(pc.invert(is_span))]
    _, data = _parquet(schema, groups, compression="zstd", write_page_checksum=True)
    store.write(name, sealed(bytes(data)))
    return replace(part, size_bytes=len(data))


def _row_groups(kept: Iterable[tuple[Span, Clip]]) -> Iterator[list[tuple[Span, Clip]]]:
    group: list[tuple[Span, Clip]] = []
    size = 0
    for span, clip in kept:
        num_bytes = len(clip.stored.data) if clip.stored else 0
        if group and size + num_bytes > ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append((span, clip))
        size += num_bytes
    yield group


def _parquet(schema: pa.Schema, row_groups: Iterable[pa.Table], **options: Any) -> tuple[int, memoryview]:
    """A file in memory, and how many rows it has."""
    sink = BytesIO()
    rows = 0
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for table in row_groups:
            if table.num_rows:
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
    return rows, sink.getbuffer()


def _leaf_names(schema: pa.Schema) -> list[str]:
    """The names Parquet gives a schema's leaves, "voiced.list.element.start_s"."""

    def leaves(name: str, kind: pa.DataType) -> Iterator[str]:
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            yield from leaves(f"{name}.list.element", kind.value_type)
        elif pa.types.is_struct(kind):
            for child in kind:
                yield from leaves(f"{name}.{child.name}", child.type)
        else:
            yield name

    return [leaf for column in schema for leaf in leaves(column.name, column.type)]


def _summary(part: Part, spans: Sequence[Span]) -> Committed:
    clips = [clip for span in spans for clip in span.clips]
    rows: list[Span | Clip] = [*spans, *clips]
    failures = [row for row in rows if row.unexpected]
    nulls = {op: reason for span in spans for op, reason in span.examples.items()}
    return Committed(
        part=part.name,
        spans=part.spans,
        fates=part.clips,
        tried=sum((span.tried for span in spans), Counter()),
        spent_s=sum((Counter(span.spent_s) for span in spans), Counter()),
        unexpected=Counter(str(row.op) for row in failures),
        examples=nulls | {str(row.op): str(row.reason) for row in failures},
        usage=totals(span.usage for span in spans),
    )
