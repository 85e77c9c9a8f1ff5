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

import pyarrow as pa

from audiocur.errors import ConfigError, SourceError
from audiocur.records import TAGS
from audiocur.sources.base import Fields, Found, SourceSet, file_of, located
from audiocur.sources.files import open_regular, remote_trouble, shown, trouble
from audiocur.sources.tables import READERS, ColumnError, plain_name, uri_column
from audiocur.sources.tags import as_text
from audiocur.storage import is_url
from audiocur.storage.objects import open_whole
from audiocur.storage.protocols import is_web, require_protocol

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Manifest(SourceSet):
    """The recordings that a table names, one a row.

    A column `path` or `uri` (the former, where there are both) says where the recording is, relative to the manifest's
    own folder, absolute or a URL. Columns title, artist, album, genre and license override the tags of the file; all
    others are carried along as meta columns, nested values as JSON text. A column without a name is left out: pandas
    writes its index so. A file that is not there is a source with a `problem`; a recording named twice is a mistake.

    Attributes:
        path: the table or its URL, of a kind that its suffix tells.
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
            yield Found(uri, self._place_of(uri, number), known=known)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            yield from batch.to_pylist()

    @cached_property
    def _table(self) -> pa.Table:
        path = self._location
        suffix = os.path.splitext(_without_query(path))[1].lower().decode("utf-8", "backslashreplace")
        if suffix not in READERS:
            raise SourceError(f"{self.place}: expected a file that ends in {', '.join(READERS)}")
        try:
            with open_whole(os.fsdecode(path)) if is_url(path) else open_regular(path) as file:
                table = READERS[suffix](file)
        except OSError as error:
            said = remote_trouble(error) if is_url(path) else trouble(error, path)
            raise SourceError(f"{self.place}: {said}") from error
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

    @cached_property
    def _location(self) -> bytes:
        return located(self.path, "a manifest")

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

    def _place_of(self, uri: bytes, number: int) -> bytes:
        """The path or URL of the recording that a row names."""
        if re.match(rb"file://", uri, re.IGNORECASE):
            path = file_of(uri)
            if not path.startswith(b"/"):
                raise SourceError(f"{self.place}: row {number} names {shown(uri)}: expected file:///path")
            return path
        if is_url(uri):
            try:
                require_protocol(os.fsdecode(uri))
            except ConfigError as error:
                raise SourceError(f"{self.place}: row {number} names {shown(os.fsencode(str(error)))}") from error
            return uri
        return _joined(self._location, uri)


def _joined(manifest: bytes, uri: bytes) -> bytes:
    """A path relative to the manifest's folder; in a key, ``.`` and ``..`` would be names like any other."""
    if not is_url(manifest) or uri.startswith(b"/"):
        return os.path.join(os.path.dirname(manifest), uri)
    protocol, _, folder = os.path.dirname(_without_query(manifest)).partition(b"://")
    parts = folder.split(b"/")
    for part in uri.split(b"/"):
        if part == b"..":
            parts = parts[:-1] or parts
        elif part != b".":
            parts.append(part)
    return protocol + b"://" + b"/".join(parts)


def _without_query(path: bytes) -> bytes:
    return path.partition(b"?")[0] if is_url(path) and is_web(os.fsdecode(path)) else path
