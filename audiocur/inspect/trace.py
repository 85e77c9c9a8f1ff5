"""The history of one clip: from which recording, cut where, made by what, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from audiocur.errors import ConfigError, OutputError
from audiocur.storage.base import Store
from audiocur.store.ledger import Ledger, epoch_file, read_epoch
from audiocur.store.parts import Part

#: Columns that the trace tells under headings of its own.
_TOLD = frozenset(
    (
        *("clip_id", "span_id", "source_id", "uri", "verdict", "rule", "rules", "reason", "op", "unexpected"),
        *("start_sample", "end_sample", "start_s", "end_s", "duration_s", "source_rate_hz", "source_channels"),
        *("sample_rate_hz", "channels", "split", "group", "size", "mtime_ns", "etag", "content_sha256"),
        *("uncut_s", "last", "expected_spans"),
    )
)


@dataclass(frozen=True)
class Trace:
    """Where a clip comes from and what became of it.

    Attributes:
        clip: its row of the ledger; `span` that of its span.
        content_sha256: of the whole recording, as it was when its first span was worked through.
        part: the ledger part; its shard holds the clip if it was kept.
        row: its place in that shard, from 0; null if it was not kept.
        recipe: with every op's parameters and the fingerprint.
        began: when the driver began whose workers made it; `versions` of packages at that time.
    """

    clip: dict[str, Any]
    span: dict[str, Any]
    content_sha256: str | None
    part: Part
    row: int | None
    recipe: dict[str, Any]
    began: str
    versions: dict[str, str]

    @property
    def measures(self) -> dict[str, Any]:
        """What ops wrote of it, and the tags of its recording."""
        return {key: value for key, value in self.clip.items() if key not in _TOLD and value is not None}


def trace(store: Store, clip_id: str) -> Trace:
    """Trace a clip by its id, or by a beginning of it that no other has.

    Raises:
        OutputError: it is no run, has no such clip, or is damaged there.
        ConfigError: the beginning is that of several.
    """
    try:
        return _trace(store, clip_id)
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise OutputError(f"{store}: cannot be read ({said}): audiocur verify {store} tells what is damaged") from error


def _trace(store: Store, clip_id: str) -> Trace:
    ledger = Ledger.read(store)
    if not ledger.epoch:
        raise OutputError(f"{store}: expected a run of audiocur with a ledger")
    found = list(_rows_of(ledger, clip_id))
    if not found:
        hint = f", as far as its ledger holds: audiocur verify {store} tells what does not" if ledger.void else ""
        raise OutputError(f"{store}: no clip {clip_id} was ever cut there{hint}")
    if len(found) > 1:
        ids = ", ".join(clip["clip_id"] for _, clip in found[:5])
        raise ConfigError(f"{clip_id}: expected the id of one clip, or more of it: {ids}")
    ((part, clip),) = found
    with store.open(part.name) as file:
        spans = pq.ParquetFile(file).read_row_group(0).to_pylist()
    made = read_epoch(store, epoch_file(part.made), "began", "environment")
    return Trace(
        clip=clip,
        span=next(span for span in spans if span["span_id"] == clip["span_id"]),
        content_sha256=_content(ledger, clip["source_id"]),
        part=part,
        row=_place(store, part, clip),
        recipe=yaml.safe_load(store.read("recipe.yaml")),
        began=made["began"],
        versions=made["environment"],
    )


def _rows_of(ledger: Ledger, clip_id: str) -> Iterator[tuple[Part, dict[str, Any]]]:
    for part in ledger.parts:
        with ledger.store.open(part.name) as opened:
            file = pq.ParquetFile(opened, page_checksum_verification=True)
            ids = file.read(columns=["clip_id"])["clip_id"]
            matches = pc.fill_null(pc.starts_with(ids, clip_id), False)
            if pc.any(matches).as_py():
                yield from ((part, row) for row in file.read().filter(matches).to_pylist())


def _content(ledger: Ledger, source_id: str) -> str | None:
    """The hash that the recording's first span has; that may stand in another part."""
    for part in ledger.parts:
        if any(span.source_id == source_id and span.index == 0 for span in part.spans):
            with ledger.store.open(part.name) as opened:
                rows = pq.ParquetFile(opened).read_row_group(0, columns=["span_id", "content_sha256"]).to_pylist()
            return next((row["content_sha256"] for row in rows if row["span_id"] == f"{source_id}-0"), None)
    return None


def _place(store: Store, part: Part, clip: dict[str, Any]) -> int | None:
    if part.shard is None or clip["verdict"] != "kept":
        return None
    with store.open(part.shard.name) as opened:
        ids = pq.read_table(opened, columns=["clip_id"])["clip_id"]
    place = int(pc.index(ids, pa.scalar(clip["clip_id"])).as_py())
    if place < 0:
        raise OutputError(f"{part.shard.name} lacks clip {clip['clip_id']}: audiocur verify {store} --repair mends it")
    return place
