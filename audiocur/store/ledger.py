"""The ledger read back: which parts hold, and which spans they settle."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiocur.errors import OutputError
from audiocur.storage import open_store
from audiocur.storage.base import Store
from audiocur.store.parts import FACTS, SEAL, Part, SpanOutcome, is_sealed

#: All parts in short, so that a start need not open each; a mere copy, that is left aside where it does not agree.
INDEX = "ledger/index.jsonl.gz"
#: Footers read at once: on an object store each takes a while to come.
_AT_ONCE = 16
#: So many parts that the index does not have are worth a new one.
_WORTH_AN_INDEX = 100


@dataclass(frozen=True)
class Ledger:
    """The ledger of a run at one moment.

    Attributes:
        store: the run directory.
        epoch: the newest, 0 before the first.
        parts: those that hold, by name.
        void: name of every other part, and why it does not hold.
        files: size of every file in the ledger and among the shards.
        known: every part that could be read.
        unindexed: how many of those the index lacks.
    """

    store: Store
    epoch: int
    parts: tuple[Part, ...]
    void: Mapping[str, str]
    files: Mapping[str, int]
    known: Mapping[str, Part] = field(repr=False)
    unindexed: int = 0

    @classmethod
    def read(cls, store: Store | Path | str, before: Ledger | None = None) -> Ledger:
        """Read it; of what stood there `before`, nothing is opened again."""
        store = open_store(store)
        files = store.files("ledger") | store.files("clips")
        fence = _newest_fence(store, files)  # at once: who begins the next epoch shortens this one
        names = [name for name in sorted(files) if name.startswith("ledger/part-") and name.endswith(".parquet")]
        there = before.known if before else _read_index(store, files)
        known = {name: part for name, part in there.items() if files.get(name) == part.size_bytes}
        new = [name for name in names if name not in known]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            known |= {part.name: part for part in pool.map(lambda name: _read_part(store, name), new) if part}
        held, void = _judge([known.get(name) or name for name in names], fence, files)
        known = {name: known[name] for name in names if name in known}
        return cls(store, fence[0], held, void, files, known, len(new) + (before.unindexed if before else 0))

    def spans(self) -> Iterator[SpanOutcome]:
        """Every span that is settled.

        Raises:
            OutputError: two parts settle the same span: the ledger has been tampered with.
        """
        settled: dict[tuple[str, int], str] = {}
        for part in self.parts:
            for span in part.spans:
                other = settled.setdefault((span.source_id, span.index), part.name)
                if other != part.name:
                    raise OutputError(f"{self.store}: span {span.span_id} stands in both {other} and {part.name}")
                yield span

    @property
    def damaged(self) -> list[str]:
        """Parts that do not hold although nothing took their place: what they settled is lost."""
        return [name for name, why in self.void.items() if "shard" in why or "cannot be read" in why]

    def table_schema(self) -> pa.Schema:
        """The columns of its parts."""
        with self.store.open(self.parts[0].name) as file:
            return pq.read_schema(file)

    def begin_epoch(self, facts: Mapping[str, Any]) -> int:
        """Fence off every earlier driver: from now on its parts count only if they stand here.

        Args:
            facts: what else the epoch's file says, of who began it.

        Raises:
            OutputError: another driver began the same epoch at the same moment.
        """
        epoch = self.epoch + 1
        text = json.dumps({"epoch": epoch, **facts, "parts": [part.name for part in self.parts]}, indent=1)
        try:
            self.store.write(epoch_file(epoch), text.encode(), exclusive=True)
        except FileExistsError:
            raise OutputError(f"output.path={self.store}: another run began there at this moment") from None
        except OSError as error:
            raise OutputError(f"output.path={self.store}: cannot be written ({error.strerror or error})") from error
        return epoch

    def begun(self, epoch: int) -> Ledger:
        """The same ledger under the epoch that was begun from it."""
        return replace(self, epoch=epoch)

    def left_over(self, files: Iterable[str] | None = None) -> list[str]:
        """Of some files, by default its own: void parts, shards that no part names, and unfinished ones."""
        named = {part.name for part in self.parts} | {part.shard.name for part in self.parts if part.shard}
        files = self.files if files is None else files
        return [name for name in files if name not in named and (name.endswith(".parquet") or unfinished(name))]

    def sweep(self) -> int:
        """Remove what is left over; returns how many files. Needs the lease."""
        files = self.store.files("ledger") | self.store.files("clips")
        left = self.left_over(files)
        self.store.remove(left)
        for name in files:
            if name.startswith("ledger/epoch-") and name < epoch_file(self.epoch):
                _shorten(self.store, name)
        return len(left)

    def save_index(self) -> None:
        """Write the index, if the one that is there lacks much. Needs the lease."""
        if self.unindexed >= _WORTH_AN_INDEX:
            lines = (f"{json.dumps([part.name, part.size_bytes])}\t{part.facts()}\n".encode() for part in self.parts)
            self.store.write(INDEX, gzip.compress(b"".join(lines), compresslevel=1))

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Its rows: every span (`clip_id` null) and every clip ever cut.

        Raises:
            OutputError: there is no ledger.
        """
        if not self.parts:
            raise OutputError(f"{self.store}: expected a run of audiocur with a ledger")
        tables = []
        for part in self.parts:
            with self.store.open(part.name) as file:
                tables.append(pq.read_table(file, columns=columns))
        return pa.concat_tables(tables, promote_options="permissive")


def read_ledger(run: Store | Path | str, columns: list[str] | None = None) -> pa.Table:
    """The ledger of a run as one table: every span (`clip_id` null) and every clip ever cut."""
    return Ledger.read(run).table(columns)


def epoch_file(epoch: int) -> str:
    """The file that begins an epoch; whoever puts it there first has the run.

    >>> epoch_file(3)
    'ledger/epoch-000003.json'
    """
    return f"ledger/epoch-{epoch:06d}.json"


def read_epoch(store: Store, name: str, *keys: str) -> dict[str, Any]:
    """What the file of an epoch says, some keys at least.

    Raises:
        OutputError: it is damaged.
    """
    try:
        said = dict(json.loads(store.read(name)))
    except (ValueError, TypeError):
        said = {}
    if not said.keys() >= set(keys):
        raise OutputError(f"{store}: {name} is damaged; without it nobody can tell which ledger parts hold")
    return said


def part_in(data: bytes, name: str) -> Part | None:
    """The part that a file holds; null if it is damaged, or none of ours."""
    try:
        metadata = pq.read_metadata(BytesIO(data)).metadata or {}
        return Part.of(name, len(data), metadata[FACTS]) if is_sealed(data, metadata[SEAL]) else None
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):  # what damaged bytes come to
        return None


def unfinished(name: str) -> bool:
    """Whether a file has the name of one that is still being written."""
    return name.rpartition("/")[2].startswith(".")


def _judge(
    parts: list[Part | str], fence: tuple[int, frozenset[str]], files: Mapping[str, int]
) -> tuple[tuple[Part, ...], dict[str, str]]:
    """The parts that hold, and why the others do not."""
    newest, seen = fence
    void: dict[str, str] = {}
    held = []
    for part in parts:
        if isinstance(part, str):
            void[part] = "cannot be read"
        elif part.epoch != newest and part.name not in seen:
            void[part.name] = "was committed by a run that another one had taken over"
        elif part.shard and files.get(part.shard.name) != part.shard.size_bytes:
            size = files.get(part.shard.name)
            found = "is missing" if size is None else f"has {size:,} bytes of {part.shard.size_bytes:,}"
            void[part.name] = f"its shard {part.shard.name} {found}"
        else:
            held.append(part)
    replaced = {name for part in held for name in part.replaces}
    void |= {part.name: "is replaced" for part in held if part.name in replaced}
    return tuple(part for part in held if part.name not in replaced), void


def _newest_fence(store: Store, files: Mapping[str, int]) -> tuple[int, frozenset[str]]:
    """The newest epoch, and the parts that its driver found when it began."""
    epochs = [name for name in files if name.startswith("ledger/epoch-") and name.endswith(".json")]
    if not epochs:
        return 0, frozenset()
    said = read_epoch(store, max(epochs), "epoch", "parts")
    return said["epoch"], frozenset(said["parts"])


def _shorten(store: Store, name: str) -> None:
    """An epoch that is over keeps no list of parts; with many epochs of many parts they would fill the disk."""
    said = read_epoch(store, name)
    if said.pop("parts", None) is not None:
        store.write(name, json.dumps(said, indent=1).encode())


def _read_part(store: Store, name: str) -> Part | None:
    try:
        return part_in(store.read(name), name)
    except FileNotFoundError:  # swept meanwhile
        return None


def _read_index(store: Store, files: Mapping[str, int]) -> dict[str, Part]:
    """What the index has of the parts that are there."""
    if INDEX not in files:
        return {}
    found: dict[str, Part] = {}
    try:
        for line in gzip.decompress(store.read(INDEX)).splitlines():
            head, _, facts = line.partition(b"\t")
            name, size = json.loads(head)
            if files.get(name) == size:
                found[name] = Part.of(name, size, facts)
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError):  # damaged: each part is opened instead
        return {}
    return found
