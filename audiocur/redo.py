"""What is to be done again although it is done: spans that failed, or whose recording has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from audiocur.decoding.recording import open_file
from audiocur.errors import RowError
from audiocur.records import Source
from audiocur.store.ledger import Ledger

_HASHED_AT_ONCE = 8


class Redo(StrEnum):
    """Which spans to do again."""

    FAILED = "failed"
    CHANGED = "changed"


def spans_to_redo(redo: Redo, ledger: Ledger, listed: Mapping[str, Source], changed: set[str]) -> set[str]:
    """Ids of the spans concerned, all of recordings that are listed and can be opened.

    Args:
        redo: `failed`: spans that failed or hold a clip that did; of a recording that has changed since, all its spans,
            for none must be made of two versions. `changed`: all spans of every recording that has changed.
        ledger: what is settled.
        listed: the recordings there are now, by id.
        changed: ids of those that have changed.
    """
    there = {key for key, source in listed.items() if source.problem is None}
    spans = [span for span in ledger.spans() if span.source_id in there]
    if redo is Redo.CHANGED:
        return {span.span_id for span in spans if span.source_id in changed}
    failed = {span.source_id for span in spans if span.failed or span.failed_clips}
    return {
        span.span_id
        for span in spans
        if span.failed or span.failed_clips or (span.source_id in failed and span.source_id in changed)
    }


def with_other_content(ledger: Ledger, sources: Sequence[Source]) -> Iterator[str]:
    """Of recordings with another size, time or etag, the ids of those with other content: copying changes all times."""
    if not sources:
        return
    table = ledger.table(["span_id", "content_sha256"])
    rows = zip(table["span_id"].to_pylist(), table["content_sha256"].to_pylist(), strict=True)
    hashes = {span_id: sha256 for span_id, sha256 in rows if sha256 is not None}  # those of its clips have none
    sizes = {span.source_id: span.size for span in ledger.spans()}

    def differs(source: Source) -> bool:
        same_size = source.size == sizes.get(source.source_id)
        return not same_size or _sha256(source) != hashes.get(f"{source.source_id}-0")

    with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:
        for source, other in zip(sources, pool.map(differs, sources), strict=True):
            if other:
                yield source.source_id


def _sha256(source: Source) -> str | None:
    """Hash of the whole file; null if it cannot be opened, as for one that could not be when it was worked through."""
    try:
        with open_file(source.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (RowError, OSError):
        return None
