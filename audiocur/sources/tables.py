"""Tables of recordings, read into flat Arrow tables: one column of paths, tags as text, the rest scalars."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from audiocur.records import TAGS
from audiocur.sources.tags import as_text


def plain_name(column: str) -> str:
    """A column's name as it is compared with those that mean something.

    >>> plain_name(" Path")
    'path'
    """
    return column.strip().casefold()


def uri_column(columns: Sequence[str]) -> str | None:
    """The column that says where the recordings are.

    >>> uri_column(["id", "URI", "Path"])
    'Path'
    """
    by_name = {plain_name(column): column for column in columns}
    return by_name.get("path") or by_name.get("uri")


def read_csv(file: BinaryIO, delimiter: str = ",") -> pa.Table:
    """A CSV file with a header; types are inferred, an empty field is null."""
    lines = (line.decode("utf-8-sig", "replace") for line in file)
    header = next(csv.reader(lines, delimiter=delimiter), [])
    types: dict[str, pa.DataType] = {name: pa.string() for name in header if plain_name(name) in TAGS}
    # Names of files need not be UTF-8.
    types |= {name: pa.binary() for name in [uri_column(header)] if name is not None}
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    # Types are told from the first block: of the whole file, where that can be.
    table = pyarrow.csv.read_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(block_size=min(max(size + 1, 1 << 20), 2**31 - 1)),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types),
    )
    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            values = table.column(index)
            table = table.set_column(index, column.name, pc.if_else(pc.equal(values, ""), None, values))
    return _flat(table)


def read_tsv(file: BinaryIO) -> pa.Table:
    """As `read_csv`, with tabs."""
    return read_csv(file, "\t")


def read_jsonl(file: BinaryIO) -> pa.Table:
    """A file of JSON objects, one a line; types are inferred, and a column of several types becomes JSON text."""
    columns: dict[str, list[Any]] = {}
    for count, row in enumerate(_json_rows(file)):
        for name in row:
            columns.setdefault(name, [None] * count)
        for name, values in columns.items():
            values.append(row.get(name))
    uri = uri_column(list(columns))
    return pa.table({name: _array(values, name == uri, plain_name(name) in TAGS) for name, values in columns.items()})


def read_parquet(file: BinaryIO) -> pa.Table:
    """A Parquet file; nested columns become JSON text."""
    parquet = pyarrow.parquet.ParquetFile(file)
    _refuse_bytes(parquet.schema_arrow)  # before gigabytes of audio are read
    return _flat(parquet.read())


#: What reads a manifest, by suffix. Each raises `ValueError` or a `pyarrow` error for what is no such file.
READERS: Mapping[str, Callable[[BinaryIO], pa.Table]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}


def _json_rows(file: BinaryIO) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: expected a JSON object")
        yield row


def _array(values: list[Any], uri: bool, tag: bool) -> pa.Array:
    if uri:
        return pa.array([_path(value, number) for number, value in enumerate(values, start=1)], pa.binary())
    if tag:
        return pa.array(map(as_text, values), pa.string())
    if not any(isinstance(value, dict | list | str) for value in values):
        try:
            array = pa.array(values)
            return array.cast(pa.string()) if pa.types.is_null(array.type) else array
        except (pa.ArrowException, OverflowError):
            pass  # of several types, or beyond 64 bits: text holds them
    return pa.array(map(_json_text, values), pa.string())


def _path(value: Any, number: int) -> bytes | None:
    # Python writes a name that is not UTF-8 with lone surrogates.
    try:
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else None
    except UnicodeEncodeError as error:
        raise ValueError(f"row {number}: the path {value!r} is not valid text") from error


def _flat(table: pa.Table) -> pa.Table:
    """The table with scalar columns only, of types that Python has values for."""
    _refuse_bytes(table.schema)
    for index, column in enumerate(table.schema):
        values, kind = table.column(index), column.type
        if pa.types.is_nested(kind):
            text = as_text if plain_name(column.name) in TAGS else _json_text
            table = table.set_column(index, column.name, pa.array(map(text, values.to_pylist()), pa.string()))
        elif (simple := _simple(kind)) != kind:
            table = table.set_column(index, column.name, values.cast(simple, safe=False))
    return table


def _simple(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _simple(kind.value_type)
    if pa.types.is_null(kind):
        return pa.string()
    return pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else kind


def _refuse_bytes(schema: pa.Schema) -> None:
    uri = uri_column(schema.names)
    for column in schema:
        if column.name != uri and "binary" in str(column.type):
            raise ValueError(f"column {column.name!r} holds bytes, or text that is not UTF-8; expected numbers or text")


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()
