"""Whether a run holds what its ledger says: every file read, every hash, row and sound checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile

from audiocur.encoding import decode_bytes
from audiocur.errors import OutputError
from audiocur.storage.base import Store
from audiocur.store import decision
from audiocur.store.lease import is_live
from audiocur.store.ledger import Ledger, part_in, unfinished
from audiocur.store.parts import Part, Shard, outcomes, tallies
from audiocur.words import count

#: Parts are read side by side as it is; Arrow's own threads beside them abort the process at its end now and then.
_ALONE = {"use_threads": False, "pre_buffer": False}
#: Names of a part's clips that a finding shows before it only counts.
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        file: which file of the run.
        problem: what is wrong with it.
        part: the ledger part whose spans must be done again; null where taking the file away is enough.
    """

    file: str
    problem: str
    part: str | None = None


@dataclass
class Verified:
    """What was checked, and what is wrong.

    Attributes:
        live: a driver is at work there: only what is committed was checked.
        parts, shards, spans, clips: how many hold; `seconds` of audio in the shards.
        findings: what is wrong.
    """

    live: bool
    parts: int = 0
    shards: int = 0
    spans: int = 0
    clips: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


def verify(store: Store, advance: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Check every ledger part and shard of a run, and write nothing.

    Args:
        store: the run directory.
        advance: told how many parts of how many are checked.

    Raises:
        OutputError: it is no run.
    """
    try:
        live = is_live(store)
        ledger = Ledger.read(store)
    except OSError as error:
        raise OutputError(f"{store}: cannot be read ({error.strerror or error})") from error
    if not ledger.epoch:
        raise OutputError(f"{store}: expected a run of audiocur with a ledger")
    found = Verified(live)
    found.findings += _void(ledger, live)
    seen = _Seen()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        checks = pool.map(lambda part: (part, _check(store, part)), ledger.parts)
        for done, (part, checked) in enumerate(checks, 1):
            findings = checked.findings + seen.twice(part, checked.clip_ids)
            found.findings += findings
            found.parts += 1
            found.spans += len(part.spans)
            if part.shard and not findings:
                found.shards += 1
                found.clips += part.shard.rows
                found.seconds += checked.seconds
            advance(done, len(ledger.parts))
    return found


def _void(ledger: Ledger, live: bool) -> Iterator[Finding]:
    """Files that do not count; beside a driver at work, some only do not count yet."""
    for name, why in ledger.void.items():
        lost = name in ledger.damaged
        if lost or not live:
            yield Finding(name, why, name if lost else None)
    if live:
        return
    if decision.MARKER in ledger.store.files():
        again = f"a decision was cut short; `audiocur decide {ledger.store}` goes on with it"
        yield Finding(decision.MARKER, again)
    told = {part.shard.name for part in ledger.known.values() if part.shard} | ledger.void.keys()
    for name in ledger.left_over():
        if name not in told:
            yield Finding(name, "was left unfinished" if unfinished(name) else "no ledger part names it")


@dataclass
class _Checked:
    findings: list[Finding]
    clip_ids: list[str]
    seconds: float


class _Seen:
    """Ids that were met, to find those met twice."""

    def __init__(self) -> None:
        self._where: dict[str, str] = {}

    def twice(self, part: Part, clip_ids: list[str]) -> list[Finding]:
        findings = []
        for kind, ids in (("span", [span.span_id for span in part.spans]), ("clip", clip_ids)):
            others = {self._where.setdefault(f"{kind} {each}", part.name) for each in ids} - {part.name}
            repeated = len(ids) != len(set(ids))
            for other in [*sorted(others), *([part.name] if repeated else [])]:
                findings.append(Finding(part.name, f"settles {kind}s that {other} settles as well", part.name))
        return findings


def _check(store: Store, part: Part) -> _Checked:
    try:
        data = store.read(part.name)
    except OSError as error:
        return _Checked([Finding(part.name, f"cannot be read: {_one_line(error)}", part.name)], [], 0.0)
    if part_in(data, part.name) != part:  # which may be known from the index
        return _Checked([Finding(part.name, "is damaged", part.name)], [], 0.0)
    findings = []
    rows = pq.read_table(BytesIO(data), **_ALONE).to_pylist()
    if (outcomes(rows), tallies(rows)) != (part.spans, part.clips):
        findings.append(Finding(part.name, "its footer does not agree with its rows", part.name))
    clip_ids = [row["clip_id"] for row in rows if row["clip_id"]]
    seconds = 0.0
    if part.shard:
        kept = [row["clip_id"] for row in rows if row["clip_id"] and row["verdict"] == "kept"]
        wrong, seconds = _shard_problem(store, part.shard, kept)
        if wrong:
            findings.append(Finding(part.shard.name, wrong, part.name))
    return _Checked(findings, clip_ids, seconds)


def _shard_problem(store: Store, shard: Shard, kept: list[str]) -> tuple[str | None, float]:
    try:
        data = store.read(shard.name)
    except OSError as error:
        return f"cannot be read: {_one_line(error)}", 0.0
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        return "its sha256 is not the one that its ledger part states", 0.0
    columns = ["clip_id", "audio", "sample_rate_hz", "duration_s"]
    table = pq.read_table(BytesIO(data), columns=columns, **_ALONE)
    if table.num_rows != shard.rows:
        return f"holds {count(table.num_rows, 'row')}, its ledger part says {shard.rows}", 0.0
    if table["clip_id"].to_pylist() != kept:
        return "its clips are not those that its ledger part keeps", 0.0
    bad = [row["clip_id"] for batch in table.to_batches(16) for row in batch.to_pylist() if not _sounds(row)]
    if bad:
        return f"audio that does not decode, or not to its length: {', '.join(bad[:_SHOWN])} ({len(bad)})", 0.0
    return None, float(pc.sum(table["duration_s"]).as_py() or 0.0)


def _sounds(row: dict[str, Any]) -> bool:
    """Whether a clip's audio decodes to its length, to a sample of rounding where it was resampled."""
    try:
        audio = decode_bytes(row["audio"]["bytes"])
    except (soundfile.LibsndfileError, ValueError):  # no sound, or less than it says
        return False
    num_samples = row["duration_s"] * audio.rate_hz
    return bool(audio.rate_hz == row["sample_rate_hz"] and abs(audio.num_samples - num_samples) < 2)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
