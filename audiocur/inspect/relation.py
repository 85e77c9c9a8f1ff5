"""The ledger of a run as DuckDB reads it."""

from __future__ import annotations

from glob import escape
from typing import TYPE_CHECKING

from audiocur.storage.local import LocalStore

if TYPE_CHECKING:
    import duckdb

    from audiocur.inspect.opened import Run


def ledger_in(connection: duckdb.DuckDBPyConnection, run: Run) -> duckdb.DuckDBPyRelation:
    """Every span (`clip_id` null) and every clip ever cut, for SQL.

    A million clips lie in some 20,000 parts of fifty. Of each, Arrow's datasets would keep half a megabyte of footer in
    memory, 10 GB in all, and take twice as long; so DuckDB opens them itself where they are files.

    Args:
        connection: whose queries may use it.
        run: whose ledger it is.

    Raises:
        OutputError: nothing has been finished in the run.
    """
    dataset = run.ledger_dataset
    if not isinstance(run.store, LocalStore):
        return connection.from_arrow(dataset)
    root = escape(str(run.store.path.absolute()))
    return connection.read_parquet([f"{root}/{part.name}" for part in run.parts.parts], hive_partitioning=False)
