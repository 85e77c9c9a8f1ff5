"""DuckDB reads of a ledger what Arrow does, wherever the run lies and whatever its folder is called."""

from __future__ import annotations

import duckdb
import pytest

from audiocur.engine.local import LocalEngine
from audiocur.errors import OutputError
from audiocur.inspect.opened import open_run
from audiocur.inspect.relation import ledger_in
from audiocur.job import Job
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.run import run
from tests.inspect.judged import Heard, write_library


@pytest.mark.parametrize("name", ["run", "My [live] run*", "seed=1/run", "memory://judged/run"])
def test_the_same_columns_types_and_rows_in_the_same_order(tmp_path, name):
    output = name if "://" in name else tmp_path / name
    pipeline = Decode(span_s=8) >> Window(length_s=0.5) >> Heard()
    run(Job.of(pipeline, write_library(tmp_path / "library"), output, keep={}, engine=LocalEngine()))
    opened = open_run(output)
    assert len(opened.parts.parts) > 1
    with duckdb.connect() as connection:
        found = ledger_in(connection, opened).to_arrow_table()
    expected = opened.ledger_dataset.to_table()
    assert found.schema.names == expected.schema.names
    assert found.schema.types == expected.schema.types
    assert found.to_pylist() == expected.to_pylist()


def test_a_run_that_has_finished_nothing_is_told(tmp_path):
    run(
        Job.of(
            Decode() >> Window() >> Heard(), write_library(tmp_path / "library"), tmp_path / "run", engine=LocalEngine()
        )
    )
    for part in (tmp_path / "run/ledger").glob("part-*"):
        part.unlink()
    with duckdb.connect() as connection, pytest.raises(OutputError, match="nothing has been finished there yet"):
        ledger_in(connection, open_run(tmp_path / "run"))
