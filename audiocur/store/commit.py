"""The one way to commit: a shard, then the ledger part that names it. A span is done once that part is there."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiocur.errors import RunError
from audiocur.records import Clip, Span, Verdict, span_id
from audiocur.schema import ledger_rows, shard_row
from audiocur.store.files import write_durably

#: Row groups stay well under the 100 MB that dataset viewers take.
ROW_GROUP_BYTES = 64 << 20


@dataclass(frozen=True)
class SpanOutcome:
    """What the driver needs to know of a committed span to plan what follows it."""

    source_id: str
    index: int
    last: bool
    expected_spans: int
    failed: bool
    duration_s: float

    @property
    def span_id(self) -> str:
        """Identity of the span."""
        return span_id(self.source_id, self.index)


@dataclass(frozen=True)
class Committed:
    """What one call of `commit` did: small, for the driver's progress display.

    Attributes:
        part: file name of the ledger part.
        spans: the spans it settles.
        clips: clips cut, by verdict.
        tried: calls of each op.
        unexpected: how many of them failed by a bug of its own, and one such error each.
    """

    part: str
    spans: tuple[SpanOutcome, ...]
    clips: Counter[str]
    tried: Counter[str]
    unexpected: Counter[str]
    examples: dict[str, str]


@dataclass(frozen=True)
class Committer:
    """Commits spans into a run directory; plain data, so that it travels to workers.

    Attributes:
        run: the run directory.
        epoch: the epoch of the driver that planned the spans.
        ledger, clips: Arrow schemas; `clips` is null where no audio is stored.
    """

    run: str
    epoch: int
    ledger: pa.Schema
    clips: pa.Schema | None

    def commit(self, spans: Sequence[Span], *, replaces: Sequence[str] = ()) -> Committed:
        """Write the kept clips of the spans as one shard, then the ledger part that settles them.

        Doing it again with the same spans writes the same names, so a retry never doubles.

        Args:
            spans: worked through, all of one split.
            replaces: ledger parts that are void once this one is there.

        Raises:
            RunError: the directory cannot be written (any more).
        """
        try:
            return self._commit(Path(self.run), spans, replaces)
        except OSError as error:
            raise RunError(f"{self.run} cannot be written: {error.strerror or error}") from error

    def _commit(self, root: Path, spans: Sequence[Span], replaces: Sequence[str]) -> Committed:
        shard = self._write_shard(root, spans)
        names = hashlib.sha256("\n".join(sorted(span.span_id for span in spans)).encode()).hexdigest()[:20]
        part = f"part-{self.epoch:06d}-{names}.parquet"
        facts = {"epoch": self.epoch, "shard": shard, "replaces": list(replaces)}
        schema = self.ledger.with_metadata({"audiocur": json.dumps(facts)})
        rows = [row for span in spans for row in ledger_rows(span)]
        # Spans lie in a row group of their own, so that a resumed run need not read the clips.
        groups = [[r for r in rows if r["clip_id"] is None], [r for r in rows if r["clip_id"] is not None]]
        data = _parquet(schema, groups, compression="zstd")
        write_durably(root / "ledger" / part, memoryview(data))
        return _summary(part, spans)

    def _write_shard(self, root: Path, spans: Sequence[Span]) -> dict[str, Any] | None:
        kept = [(span, clip) for span in spans for clip in span.clips if clip.verdict is Verdict.KEPT]
        if self.clips is None or not kept:
            return None
        (split,) = {span.split for span, _ in kept}
        codecs = dict.fromkeys(_leaf_names(self.clips), "ZSTD") | {"audio.bytes": "NONE"}
        plain = [column for column in codecs if column != "audio.bytes"]
        groups = ([shard_row(span, clip) for span, clip in group] for group in _row_groups(kept))
        data = _parquet(self.clips, groups, compression=codecs, use_dictionary=plain)
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"clips/{split}/part-{sha256[:20]}.parquet"
        write_durably(root / name, memoryview(data))
        return {"name": name, "rows": len(kept), "bytes": data.size, "sha256": sha256}


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


def _parquet(schema: pa.Schema, groups: Iterable[list[dict[str, Any]]], **options: Any) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for rows in groups:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=len(rows))
    return sink.getvalue()


def _leaf_names(schema: pa.Schema) -> list[str]:
    """The names Parquet gives a schema's leaves, "voiced.list.element.start_s"."""

    def leaves(name: str, kind: pa.DataType) -> Iterator[str]:
        if pa.types.is_list(kind):
            yield from leaves(f"{name}.list.element", kind.value_type)
        elif pa.types.is_struct(kind):
            for child in kind:
                yield from leaves(f"{name}.{child.name}", child.type)
        else:
            yield name

    return [leaf for column in schema for leaf in leaves(column.name, column.type)]


def _summary(part: str, spans: Sequence[Span]) -> Committed:
    clips = [clip for span in spans for clip in span.clips]
    rows: list[Span | Clip] = [*spans, *clips]
    failures = [row for row in rows if row.unexpected]
    return Committed(
        part=part,
        spans=tuple(
            SpanOutcome(
                span.source.source_id,
                span.index,
                span.last,
                span.expected_spans,
                span.verdict is Verdict.FAILED,
                span.duration_s,
            )
            for span in spans
        ),
        clips=Counter(str(clip.verdict) for clip in clips),
        tried=sum((span.tried for span in spans), Counter()),
        unexpected=Counter(str(row.op) for row in failures),
        examples={str(row.op): str(row.reason) for row in failures},
    )
