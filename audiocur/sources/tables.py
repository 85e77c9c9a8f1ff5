"""Tables of recordings, read into flat Arrow tables: one column of paths, tags as text, the rest scalars."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from audiocur.records import TAGS
from audiocur.sources.tags import as_text, json_fault

#: What else may stand between columns, whatever the suffix promises: spreadsheets write ";" where "," is decimal.
_DELIMITERS = (",", ";", "\t", "|")

_MAX_HEADER_BYTES = 1 << 20


class ColumnError(ValueError):
    """A table that can be read, with a column of which nothing can be made."""


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
    """A CSV file with a header; types are inferred, an empty field is null.

    Where no column is a path, another delimiter by which one would be takes over.
    """
    delimiter, header = _header(file, delimiter)
    uri = uri_column(header)
    # Names of files need not be UTF-8; that tags must be is looked into below, where the row can be told.
    types = {name: pa.binary() for name in header if name == uri or plain_name(name) in TAGS}
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
        values = table.column(index)
        if pa.types.is_binary(column.type) and column.name != uri:
            values = _text(column.name, values)
        if pa.types.is_string(values.type):
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
    return pa.table({name: _array(name, values, name == uri) for name, values in columns.items()})


def read_parquet(file: BinaryIO) -> pa.Table:
    """A Parquet file; nested columns become JSON text."""
    parquet = pyarrow.parquet.ParquetFile(file)
    _refuse(parquet.schema_arrow)  # before gigabytes of audio are read
    return _flat(parquet.read())


#: What reads a manifest, by suffix. Each raises `ValueError` or a `pyarrow` error for what is no such file.
READERS: Mapping[str, Callable[[BinaryIO], pa.Table]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}


def _header(file: BinaryIO, expected: str) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns."""
    text = file.read(_MAX_HEADER_BYTES).decode("utf-8-sig", "surrogateescape")
    names = _names(text, expected)
    if uri_column(names) is None:
        for delimiter in _DELIMITERS:
            others = _names(text, delimiter)
            if uri_column(others) is not None:
                return delimiter, others
    return expected, names


def _names(text: str, delimiter: str) -> list[str]:
    try:
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        "".join(names).encode()
    except csv.Error as error:
        raise ValueError(f"the header: {error}") from error
    except UnicodeEncodeError as error:
        raise ValueError("the header is not UTF-8") from error
    return names


def _text(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        for number, value in enumerate(values, start=1):
            try:
                (value.as_py() or b"").decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"column {name!r}, row {number}: not UTF-8") from error
        raise


def _json_rows(file: BinaryIO) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.strip())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {json_fault(error)}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: expected a JSON object")
        yield row


def _array(name: str, values: list[Any], uri: bool) -> pa.Array:
    if uri:
        return pa.array([_path(name, value, number) for number, value in enumerate(values, start=1)], pa.binary())
    if plain_name(name) in TAGS:
        return pa.array(map(as_text, values), pa.string())
    if not any(isinstance(value, dict | list | str) for value in values):
        try:
            array = pa.array(values)
            return array.cast(pa.string()) if pa.types.is_null(array.type) else array
        except (pa.ArrowException, OverflowError):
            pass  # of several types, or beyond 64 bits: text holds them
    return pa.array(map(_json_text, values), pa.string())


def _path(name: str, value: Any, number: int) -> bytes | None:
    if isinstance(value, list | dict):
        raise _nested(name, lists=isinstance(value, list))
    if value is not None and not isinstance(value, str):
        raise ColumnError(f"row {number} names no recording: expected a path, found {value!r}")
    # Python writes a name that is not UTF-8 with lone surrogates.
    try:
        return value.encode("utf-8", "surrogateescape") if value is not None else None
    except UnicodeEncodeError as error:
        raise ValueError(f"row {number}: the path {value!r} is not valid text") from error


def _nested(name: str, *, lists: bool) -> ColumnError:
    return ColumnError(f"column {name} holds {'lists' if lists else 'objects'}; expected text")


def _flat(table: pa.Table) -> pa.Table:
    """The table with scalar columns only, of types that Python has values for."""
    _refuse(table.schema)
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


def _refuse(schema: pa.Schema) -> None:
    uri = uri_column(schema.names)
    for column in schema:
        if column.name == uri and pa.types.is_nested(column.type):
            raise _nested(column.name, lists=not pa.types.is_struct(column.type) and not pa.types.is_map(column.type))
        if column.name != uri and "binary" in str(column.type):
            raise ColumnError(f"column {column.name!r} holds bytes; expected numbers or text")


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()
