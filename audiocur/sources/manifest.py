"""A table of recordings: CSV, TSV, JSONL or Parquet."""
# Names of files are bytes here, and pathlib has no notion of those.
# ruff: noqa: PTH118, PTH120, PTH122

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from audiocur.errors import SourceError
from audiocur.records import TAGS
from audiocur.sources.base import Fields, Found, SourceSet, local_path
from audiocur.sources.files import open_regular, shown, trouble
from audiocur.sources.tables import READERS, ColumnError, plain_name, uri_column
from audiocur.sources.tags import as_text

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Manifest(SourceSet):
    """The recordings that a table names, one a row.

    A column `path` or `uri` (the former, where there are both) says where the recording is, relative to the manifest's
    own folder or absolute. Columns title, artist, album, genre and license override the tags of the file; all others
    are carried along as meta columns, nested values as JSON text. A column without a name is left out: pandas writes
    its index so. A file that is not there is a source with a `problem`; a recording named twice is a mistake.

    Attributes:
        path: the table, of a kind that its suffix tells.
    """

    path: str = field(metadata={"path": True, "hint": "a .csv, .tsv, .jsonl or .parquet file"})

    name: ClassVar[str] = "manifest"

    @property
    def place(self) -> str:
        """The path it reads from, as the user would recognise it."""
        return f"source.path={self.path}"

    def meta_fields(self) -> Fields:
        """Arrow fields of the meta columns, named as in `Source.meta`."""
        schema = self._table.schema
        return [pa.field(name, schema.field(column).type) for column, name in self._meta_names.items()]

    def scan(self, ignored: Counter[str]) -> Iterator[Found]:
        """Every row, in order."""
        folder = os.path.dirname(local_path(self.path, "a manifest"))
        uris, meta = self._uri_column, self._meta_names
        tags = {plain_name(column): column for column in self._table.column_names if plain_name(column) in TAGS}
        first: dict[bytes, int] = {}
        for number, row in enumerate(self._rows(), start=1):
            uri = self._uri(row[uris], number)
            before = first.setdefault(uri, number)
            if before != number:
                raise SourceError(f"{self.place}: rows {before} and {number} name the same recording, {shown(uri)}")
            known: dict[str, Any] = {tag: as_text(row[column]) for tag, column in tags.items()}
            known["meta"] = {name: row[column] for column, name in meta.items()}
            yield Found(uri, os.path.join(folder, self._local(uri, number)), known=known)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            yield from batch.to_pylist()

    @cached_property
    def _table(self) -> pa.Table:
        path = local_path(self.path, "a manifest")
        suffix = os.path.splitext(self.path)[1].lower()
        if suffix not in READERS:
            raise SourceError(f"{self.place}: expected a file that ends in {', '.join(READERS)}")
        try:
            with open_regular(path) as file:
                table = READERS[suffix](file)
        except OSError as error:
            raise SourceError(f"{self.place}: {trouble(error, path)}") from error
        except ColumnError as error:
            raise SourceError(f"{self.place}: {error}") from error
        except (pa.ArrowException, ValueError, RecursionError) as error:
            said = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
            raise SourceError(f"{self.place}: not a {suffix} file that can be read: {said}") from error
        table = table.select([index for index, name in enumerate(table.column_names) if plain_name(name)])
        self._check_names(table.column_names)
        return table

    def _check_names(self, columns: list[str]) -> None:
        with_meaning = (*TAGS, "path", "uri")
        counts = Counter(name if (name := plain_name(each)) in with_meaning else each for each in columns)
        repeated = next((name for name, count in counts.items() if count > 1), None)
        if repeated is not None:
            raise SourceError(f"{self.place}: has two columns named {repeated}; expected one")

    @property
    def _uri_column(self) -> str:
        columns = self._table.column_names
        column = uri_column(columns)
        if column is None:
            raise SourceError(f"{self.place}: expected a column path or uri, found {', '.join(columns) or 'none'}")
        return column

    @cached_property
    def _meta_names(self) -> Mapping[str, str]:
        """The meta columns: name in the table, name in `Source.meta`."""
        uris = self._uri_column
        rest = [each for each in self._table.column_names if each != uris and plain_name(each) not in TAGS]
        names: dict[str, str] = {}
        taken: dict[str, str] = {}
        for column in rest:
            names[column] = name = re.sub(r"\W+", "_", column).strip("_")
            # Readers such as DuckDB take names that differ in case alone for the same.
            twin = taken.setdefault(name.casefold(), column)
            if not name or twin != column:
                clash = f"columns {twin!r} and {column!r}" if name else f"column {column!r}"
                raise SourceError(f"{self.place}: {clash}: expected different names of letters, digits and underscores")
        return names

    def _uri(self, value: Any, number: int) -> bytes:
        if not isinstance(value, str | bytes) or not value:
            raise SourceError(f"{self.place}: row {number} names no recording: expected a path, found {value!r}")
        return value.encode() if isinstance(value, str) else value

    def _local(self, uri: bytes, number: int) -> bytes:
        scheme = re.match(rb"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
        if scheme is None:
            return uri
        path = unquote_to_bytes(uri[scheme.end() :].removeprefix(b"localhost"))
        if scheme[1].lower() != b"file" or not path.startswith(b"/"):
            raise SourceError(f"{self.place}: row {number} names {shown(uri)}: only local paths can be opened yet")
        return path
