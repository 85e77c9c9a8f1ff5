"""The ledger read back: which parts hold, and which spans they settle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiocur.errors import OutputError
from audiocur.store.commit import SpanOutcome
from audiocur.store.files import write_durably


@dataclass(frozen=True)
class Part:
    """One ledger part: its file name, and what its metadata says."""

    name: str
    epoch: int
    shard: dict[str, Any] | None
    replaces: tuple[str, ...]


@dataclass(frozen=True)
class KnownSpan:
    """A span the ledger settles, with its source as it was then."""

    outcome: SpanOutcome
    size: int | None
    mtime_ns: int | None


def epochs(run: Path) -> dict[int, list[str]]:
    """The fence: for each epoch, the parts that its driver found when it began."""
    found = {}
    for path in (run / "ledger").glob("epoch-*.json"):
        found[int(path.stem.removeprefix("epoch-"))] = json.loads(path.read_text())["parts"]
    return found


def begin_epoch(run: Path) -> int:
    """Fence off every earlier driver: from now on its parts count only if this call has seen them.

    Raises:
        OutputError: another driver began the same epoch at the same moment.
    """
    valid = [part.name for part in valid_parts(run)]
    epoch = max(epochs(run), default=0) + 1
    text = json.dumps({"epoch": epoch, "parts": sorted(valid)}, indent=1)
    try:
        write_durably(run / "ledger" / f"epoch-{epoch:06d}.json", text.encode(), exclusive=True)
    except FileExistsError:
        raise OutputError(f"output.path={run}: another run began there at this moment; wait for it to end") from None
    return epoch


def valid_parts(run: Path) -> list[Part]:
    """The parts that count, by name.

    A part is void if it cannot be read, if it is of an older epoch and the newest fence does not name it, if its shard
    is missing or has another size, or if a part that holds replaces it.
    """
    fence = epochs(run)
    newest = max(fence, default=0)
    seen = set(fence.get(newest, ()))
    parts = [part for path in sorted((run / "ledger").glob("part-*.parquet")) if (part := _read_part(path))]
    holding = [part for part in parts if part.epoch == newest or part.name in seen]
    holding = [part for part in holding if part.shard is None or _size(run / part.shard["name"]) == part.shard["bytes"]]
    replaced = {name for part in holding for name in part.replaces}
    return [part for part in holding if part.name not in replaced]


def sweep(run: Path) -> int:
    """Remove void parts, shards that no valid part names, and unfinished files; returns how many."""
    parts = valid_parts(run)
    named = {run / "ledger" / part.name for part in parts} | {run / part.shard["name"] for part in parts if part.shard}
    left = [path for folder in ("ledger", "clips") for path in (run / folder).rglob("*.parquet") if path not in named]
    left += [path for folder in ("ledger", "clips") for path in (run / folder).rglob(".*") if path.is_file()]
    for path in set(left):
        path.unlink()
    return len(set(left))


def known_spans(run: Path) -> Iterator[KnownSpan]:
    """Every span that a valid part settles.

    Raises:
        OutputError: two parts settle the same span: the ledger has been tampered with.
    """
    columns = ["span_id", "source_id", "last", "expected_spans", "verdict", "duration_s", "size", "mtime_ns"]
    settled: dict[str, str] = {}
    for part in valid_parts(run):
        spans = pq.ParquetFile(run / "ledger" / part.name).read_row_group(0, columns=columns)
        for row in spans.to_pylist():
            if row["span_id"] in settled:
                both = f"{settled[row['span_id']]} and {part.name}"
                raise OutputError(f"{run}: span {row['span_id']} stands in both {both}")
            settled[row["span_id"]] = part.name
            outcome = SpanOutcome(
                row["source_id"],
                int(row["span_id"].rpartition("-")[2]),
                row["last"],
                row["expected_spans"],
                row["verdict"] == "failed",
                row["duration_s"],
            )
            yield KnownSpan(outcome, row["size"], row["mtime_ns"])


def read_ledger(run: Path, columns: list[str] | None = None) -> pa.Table:
    """The ledger of a run as one table: every span (`clip_id` null) and every clip ever cut."""
    tables = [pq.read_table(run / "ledger" / part.name, columns=columns) for part in valid_parts(run)]
    if not tables:
        raise OutputError(f"{run}: expected a run of audiocur with a ledger")
    return pa.concat_tables(tables, promote_options="permissive")


def _read_part(path: Path) -> Part | None:
    try:
        metadata = pq.read_metadata(path)
    except pa.ArrowInvalid:  # damaged: its spans count as not done
        return None
    if b"audiocur" not in (metadata.metadata or {}):
        return None
    facts = json.loads(metadata.metadata[b"audiocur"])
    return Part(path.name, facts["epoch"], facts["shard"], tuple(facts["replaces"]))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
