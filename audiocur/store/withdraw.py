"""Taking spans out of the ledger, so that they are missing and done again; their neighbours stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

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


def replace_part(ledger: Ledger, part: Part, rows: pa.Table, new: Sequence[pa.Table] = ()) -> None:
    """Put a part in the place of another: with other rows, and a shard of the clips that they keep.

    Args:
        ledger: whose epoch counts.
        part: the one that is void as soon as the other is there.
        rows: spans and clips; those of the same spans as before may say otherwise.
        new: clips that were not in the part's shard, last in the rows.

    Raises:
        OutputError: the shard has to be copied, and is damaged.
    """
    kept = rows.filter(pc.fill_null(pc.equal(rows["verdict"], "kept"), False))["clip_id"].combine_chunks()
    made = ledger.epoch if new else part.made
    shard = part.shard
    if new or (shard is not None and len(kept) != shard.rows):
        before = _clips_of(ledger, shard) if shard else ()
        fresh = pa.concat_arrays([chunk for table in new for chunk in table["clip_id"].chunks]) if new else kept[:0]
        old = [table.filter(pa.array(_among(table, kept) & ~_among(table, fresh))) for table in before]
        tables = [table for table in (*old, *new) if table.num_rows]
        shard = write_shard(ledger.store, f"clips/{_split(rows)}", tables[0].schema, tables) if tables else None
    write_part(ledger.store, ledger.epoch, rows, shard, replaces=[part.name], made=made)


def _split(rows: pa.Table) -> str:
    """The one split of a part."""
    (split,) = rows["split"].unique().to_pylist()
    return str(split)


def _among(table: pa.Table, clip_ids: pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.asarray(pc.is_in(table["clip_id"], clip_ids))
    return found


def _clips_of(ledger: Ledger, shard: Shard) -> Iterator[pa.Table]:
    """The row groups of a shard."""
    data = ledger.store.read(shard.name)
    if hashlib.sha256(data).hexdigest() != shard.sha256:  # a copy would have a hash of its own, and hide it
        raise _damaged(ledger.store, shard.name)
    file = pq.ParquetFile(BytesIO(data))
    for group in range(file.num_row_groups):
        yield file.read_row_group(group)


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
