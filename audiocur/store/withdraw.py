"""Taking spans out of the ledger, so that they are missing and done again; their neighbours stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiocur.errors import OutputError
from audiocur.storage.base import Store
from audiocur.store.commit import write_part, write_shard
from audiocur.store.ledger import Ledger
from audiocur.store.parts import Part, Shard


def withdraw(ledger: Ledger, span_ids: Collection[str]) -> Ledger:
    """The ledger without some of its spans. Needs the lease, whose epoch the ledger has.

    A part that settles others as well is replaced by one with their rows, and with a shard of their clips if the one it
    has holds any of those that go. What is replaced or emptied is void at once, and its files are swept later; a kill
    in between leaves spans either settled or missing.

    Raises:
        OutputError: what would have to be copied is damaged.
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
    table = rows_of(ledger.store, part.name)
    away = pc.is_in(table["span_id"], pa.array(sorted(going)))
    replace_part(ledger, part, table.filter(pc.invert(away)))


def replace_part(ledger: Ledger, part: Part, rows: pa.Table) -> None:
    """Put a part in the place of another: with some of its rows, and of the clips in its shard those that they keep.

    Raises:
        OutputError: the shard has to be copied, and is damaged.
    """
    shard = part.shard
    if shard is not None:
        kept = rows.filter(pc.fill_null(pc.equal(rows["verdict"], "kept"), False))["clip_id"]
        shard = shard if len(kept) == shard.rows else _with_only(ledger, shard, kept)
    write_part(ledger.store, ledger.epoch, rows, shard, replaces=[part.name], made=part.made)


def _with_only(ledger: Ledger, shard: Shard, clip_ids: pa.ChunkedArray) -> Shard | None:
    """A shard of some of its clips; null if none is left."""
    data = ledger.store.read(shard.name)
    if hashlib.sha256(data).hexdigest() != shard.sha256:  # a copy would have a hash of its own, and hide it
        raise _damaged(ledger.store, shard.name)
    file = pq.ParquetFile(BytesIO(data))
    tables = []
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        tables.append(table.filter(pc.is_in(table["clip_id"], clip_ids.combine_chunks())))
    schema = file.schema_arrow
    if not any(table.num_rows for table in tables):
        return None
    return write_shard(ledger.store, shard.name.rpartition("/")[0], schema, tables)


def rows_of(store: Store, name: str) -> pa.Table:
    """All rows of a part, with the checksum of every page.

    Raises:
        OutputError: it is damaged.
    """
    data = store.read(name)
    try:
        return pq.read_table(BytesIO(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(store, name) from error


def _damaged(store: Store, name: str) -> OutputError:
    return OutputError(f"{store}: {name} is damaged: expected `audiocur verify {store} --repair` first")
