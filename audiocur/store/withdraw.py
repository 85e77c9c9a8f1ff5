"""Taking spans out of the ledger, so that they are missing and done again; their neighbours stay as they are."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiocur.store.commit import write_part, write_shard
from audiocur.store.ledger import Ledger
from audiocur.store.parts import FACTS, Part, Shard


def withdraw(ledger: Ledger, span_ids: Collection[str]) -> Ledger:
    """The ledger without some of its spans. Needs the lease, whose epoch the ledger has.

    A part that settles others as well is replaced by one with their rows, and with a shard of their clips if the one it
    has holds any of those that go. What is replaced or emptied is void at once, and its files are swept later; a kill
    in between leaves spans either settled or missing.

    Raises:
        OSError: the directory cannot be written.
    """
    gone = set(span_ids)
    emptied = []
    for part in ledger.parts:
        going = {span.span_id for span in part.spans} & gone
        if len(going) == len(part.spans):
            emptied.append(part.name)
        elif going:
            _replace(ledger, part, going)
    ledger.store.remove(emptied)
    return Ledger.read(ledger.store, ledger)


def _replace(ledger: Ledger, part: Part, going: Collection[str]) -> None:
    with ledger.store.open(part.name) as file:
        table = pq.read_table(file)
    away = pc.is_in(table["span_id"], pa.array(sorted(going)))
    staying = table.filter(pc.invert(away))
    schema = table.schema.with_metadata({k: v for k, v in (table.schema.metadata or {}).items() if k != FACTS})
    clips = table.filter(pc.and_(away, pc.is_valid(table["clip_id"])))
    kept = clips.filter(pc.equal(clips["verdict"], "kept"))["clip_id"]
    shard = _without(ledger, part.shard, kept) if part.shard and len(kept) else part.shard
    made = staying.cast(schema)
    write_part(ledger.store, ledger.epoch, made, shard, replaces=[part.name], made=part.made)


def _without(ledger: Ledger, shard: Shard, clip_ids: pa.ChunkedArray) -> Shard | None:
    """A shard of all clips but some; null if none is left."""
    with ledger.store.open(shard.name) as opened:
        file = pq.ParquetFile(opened)
        tables = []
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            tables.append(table.filter(pc.invert(pc.is_in(table["clip_id"], clip_ids.combine_chunks()))))
        schema = file.schema_arrow
    if not any(table.num_rows for table in tables):
        return None
    return write_shard(ledger.store, shard.name.rpartition("/")[0], schema, tables)
