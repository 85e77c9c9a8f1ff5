"""The columns of a run, folded from what every op declares: shard and ledger schemas, and the rows that fill them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from audiocur.op import Column
from audiocur.records import Clip, Span, Verdict

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

#: Columns every clip has, whatever the recipe, and where their values come from.
_CLIP: tuple[tuple[Column, Callable[[Span, Clip], Any]], ...] = (
    (Column("clip_id", pa.string(), "", "hash of source, start and end"), lambda s, c: c.clip_id),
    (Column("source_id", pa.string(), "", "hash of the source's URI"), lambda s, c: s.source.source_id),
    (
        Column("sample_rate_hz", pa.int32(), "Hz", "sampling rate as stored, null if not stored"),
        lambda s, c: c.stored.rate_hz if c.stored else None,
    ),
    (
        Column("channels", pa.int16(), "", "channels as stored, null if not stored"),
        lambda s, c: c.stored.channels if c.stored else None,
    ),
    (Column("source_rate_hz", pa.int32(), "Hz", "sampling rate as found"), lambda s, c: s.rate_hz),
    (Column("source_channels", pa.int16(), "", "channels as found"), lambda s, c: s.channels),
    (Column("start_s", pa.float64(), "s", "start in the source"), lambda s, c: c.start_s),
    (Column("end_s", pa.float64(), "s", "end in the source"), lambda s, c: c.end_s),
    (Column("duration_s", pa.float64(), "s", "length"), lambda s, c: c.duration_s),
    (Column("gain_db", pa.float32(), "dB", "taken off so that nothing exceeds full scale"), lambda s, c: s.gain_db),
    (Column("uri", pa.string(), "", "the source, relative to the folder or manifest"), lambda s, c: s.source.uri),
    (Column("title", pa.string(), "", "title of the source"), lambda s, c: s.source.title),
    (Column("artist", pa.string(), "", "artist of the source"), lambda s, c: s.source.artist),
    (Column("album", pa.string(), "", "album of the source"), lambda s, c: s.source.album),
    (Column("genre", pa.string(), "", "genre of the source"), lambda s, c: s.source.genre),
    (Column("license", pa.string(), "", "licence of the source"), lambda s, c: s.source.license),
)

#: Columns of the ledger alone: of a clip's row, and of a span's row (whose clip_id is null).
_LEDGER: tuple[tuple[Column, Callable[[Span, Clip], Any], Callable[[Span], Any]], ...] = (
    (Column("span_id", pa.string(), "", "the span it lies in"), lambda s, c: s.span_id, lambda s: s.span_id),
    (
        Column("verdict", pa.string(), "", "done (a span), kept, rejected or failed"),
        lambda s, c: c.verdict,
        lambda s: s.verdict,
    ),
    (Column("rule", pa.string(), "", "first keep rule broken"), lambda s, c: c.rule, lambda s: None),
    (Column("rules", pa.list_(pa.string()), "", "all keep rules broken"), lambda s, c: c.rules, lambda s: []),
    (
        Column("gate", pa.string(), "", "of a rejected clip: the op before which it was, or end"),
        lambda s, c: c.gate,
        lambda s: None,
    ),
    (Column("reason", pa.string(), "", "value and bound, or the error"), lambda s, c: c.reason, lambda s: s.reason),
    (Column("op", pa.string(), "", "the op that failed"), lambda s, c: c.op, lambda s: s.op),
    (
        Column("unexpected", pa.bool_(), "", "the failure is a bug of the op, not a fault of the recording"),
        lambda s, c: c.unexpected,
        lambda s: s.unexpected,
    ),
    (
        Column("start_sample", pa.int64(), "samples", "start in the source, at source_rate_hz"),
        lambda s, c: c.start_sample,
        lambda s: s.start_sample,
    ),
    (
        Column("end_sample", pa.int64(), "samples", "end in the source, exclusive"),
        lambda s, c: c.end_sample,
        lambda s: s.start_sample + s.num_samples,
    ),
    (Column("split", pa.string(), "", "train, validation or test"), lambda s, c: s.split, lambda s: s.split),
    (
        Column("group", pa.string(), "", "what no split tears: artist, else album, else source"),
        lambda s, c: s.source.group,
        lambda s: s.source.group,
    ),
    (Column("uncut_s", pa.float64(), "s", "of a span: seconds in no clip"), lambda s, c: None, lambda s: s.uncut_s),
    (Column("last", pa.bool_(), "", "of a span: it reaches the true end"), lambda s, c: None, lambda s: s.last),
    (
        Column("expected_spans", pa.int32(), "", "of a span: how many the header promises"),
        lambda s, c: None,
        lambda s: s.expected_spans,
    ),
    (Column("size", pa.int64(), "B", "of the source"), lambda s, c: s.source.size, lambda s: s.source.size),
    (
        Column("mtime_ns", pa.int64(), "ns", "of the source, since 1970"),
        lambda s, c: s.source.mtime_ns,
        lambda s: s.source.mtime_ns,
    ),
    (
        Column("etag", pa.string(), "", "of the source, where it is an object"),
        lambda s, c: s.source.etag,
        lambda s: s.source.etag,
    ),
    (
        Column("content_sha256", pa.string(), "", "of a source's first span: of the whole file"),
        lambda s, c: None,
        lambda s: s.content_sha256,
    ),
)

#: Names an op may not write.
BASE_COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        *(column for column, _ in _CLIP),
        *(column for column, _, _ in _LEDGER),
        Column("audio", AUDIO, "", "the encoded clip"),
    )
}

#: What a keep rule may judge besides what ops write: known of every clip as soon as it is cut.
_JUDGED_AT_THE_CUT = {c.name: get for c, get in _CLIP if c.name not in ("clip_id", "sample_rate_hz", "channels")}


def known_at_the_cut(meta: Iterable[pa.Field] = ()) -> frozenset[str]:
    """Columns a keep rule can judge without any op."""
    return frozenset(_JUDGED_AT_THE_CUT) | {f"meta_{field.name}" for field in meta}


def value_of(span: Span, clip: Clip, column: str) -> Any:
    """A clip's value in any column a keep rule may name."""
    if column in clip.measures:
        return clip.measures[column]
    if column in _JUDGED_AT_THE_CUT:
        return _JUDGED_AT_THE_CUT[column](span, clip)
    return span.source.meta.get(column.removeprefix("meta_"))


def clips_schema(columns: Iterable[Column], meta: Iterable[pa.Field] = (), *, rate_hz: int | None = None) -> pa.Schema:
    """Schema of the shards: base columns, audio, what the ops write, meta columns; readable as an `Audio` feature."""
    fields = [_field(column) for column, _ in _CLIP]
    fields.insert(2, _field(BASE_COLUMNS["audio"]))
    fields += [_field(column) for column in columns] + [_meta(field) for field in meta]
    features = {field.name: _feature(field.type) for field in fields}
    features["audio"] = {"_type": "Audio"} | ({"sampling_rate": rate_hz} if rate_hz else {})
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def ledger_schema(columns: Iterable[Column], meta: Iterable[pa.Field] = ()) -> pa.Schema:
    """Schema of the ledger: the shards' columns without audio, that of ops (stems) neither, and the ledger's own."""
    base = [_field(column) for name, column in BASE_COLUMNS.items() if name != "audio"]
    measures = [_field(column) for column in columns if not pa.types.is_binary(column.type)]
    return pa.schema(base + measures + [_meta(field) for field in meta])


def clip_row(span: Span, clip: Clip) -> dict[str, Any]:
    """A clip as a row of the shards, without its audio."""
    meta = {f"meta_{name}": value for name, value in span.source.meta.items()}
    return {column.name: get(span, clip) for column, get in _CLIP} | clip.measures | meta


def ledger_rows(span: Span) -> Iterable[dict[str, Any]]:
    """A span as rows of the ledger: its own first, then one for each clip."""
    meta = {f"meta_{name}": value for name, value in span.source.meta.items()}
    base = {
        tag: getattr(span.source, tag) for tag in ("source_id", "uri", "title", "artist", "album", "genre", "license")
    }
    start_s = span.start_sample / span.rate_hz if span.rate_hz else 0.0
    found = {
        "clip_id": None,
        "source_rate_hz": span.rate_hz,
        "source_channels": span.channels,
        "start_s": start_s,
        "end_s": start_s + span.duration_s,
        "duration_s": span.duration_s,
        "gain_db": span.gain_db,
    }
    yield base | meta | found | {column.name: of_span(span) for column, _, of_span in _LEDGER}
    for clip in span.clips:
        yield clip_row(span, clip) | {column.name: of_clip(span, clip) for column, of_clip, _ in _LEDGER}


def shard_row(span: Span, clip: Clip) -> dict[str, Any]:
    """A kept clip as a row of its shard, audio included."""
    if clip.verdict is not Verdict.KEPT or clip.stored is None:
        raise ValueError(f"clip {clip.clip_id} is not a kept clip with audio")
    audio = {"bytes": clip.stored.data, "path": f"{clip.clip_id}.{clip.stored.extension}"}
    return clip_row(span, clip) | {"audio": audio}


def _field(column: Column) -> pa.Field:
    return pa.field(
        column.name, column.type, metadata={"unit": column.unit, "meaning": column.meaning, "source": column.source}
    )


def _meta(field: pa.Field) -> pa.Field:
    return pa.field(f"meta_{field.name}", field.type)


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """The feature that the `datasets` library reads a column of this type as."""
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    names = {pa.float16(): "float16", pa.float32(): "float32", pa.float64(): "float64", pa.date32(): "date32"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}
