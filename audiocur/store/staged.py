"""Spans that were run again beside a run, on their way into it: what they replace stays until they are whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiocur.storage import open_store
from audiocur.storage.base import Store
from audiocur.store.ledger import Ledger
from audiocur.store.parts import Part
from audiocur.store.withdraw import rows_of

#: The folder of a run that they stand in: a small run of its own.
FOLDER = "deciding"


def staging(store: Store) -> Store:
    """Where the spans of a run are run again."""
    return open_store(f"{store}/{FOLDER}")


class Staged:
    """What stands there, span by span; one that failed there replaces nothing."""

    def __init__(self, store: Store) -> None:
        """Read what was run again beside the run in a store."""
        self.ledger = Ledger.read(staging(store))

    @cached_property
    def spans(self) -> dict[str, Part]:
        """The part that settles each span."""
        return {span.span_id: part for part in self.ledger.parts for span in part.spans if not span.failed}

    def rows(self, span_ids: Collection[str]) -> pa.Table:
        """All rows of some spans, part by part; at least one of them must stand there."""
        tables = [rows_of(self.ledger.store, part.name) for part in self._parts(span_ids)]
        wanted = pa.array(sorted(span_ids))
        return pa.concat_tables([table.filter(pc.is_in(table["span_id"], wanted)) for table in tables])

    def clips(self, span_ids: Collection[str], kept: pa.ChunkedArray) -> Iterator[pa.Table]:
        """Their kept clips with their audio, in the order of their rows; of each shard only what holds one is read."""
        wanted = kept.combine_chunks()
        for part in self._parts(span_ids):
            if part.shard is None:
                continue
            with self.ledger.store.open(part.shard.name) as opened:
                file = pq.ParquetFile(opened)
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["clip_id"])["clip_id"]
                    if pc.any(pc.is_in(ids, wanted)).as_py():
                        table = file.read_row_group(group)
                        yield table.filter(pc.is_in(table["clip_id"], wanted))

    def _parts(self, span_ids: Collection[str]) -> list[Part]:
        names = {self.spans[span_id].name for span_id in span_ids}
        return [part for part in self.ledger.parts if part.name in names]
