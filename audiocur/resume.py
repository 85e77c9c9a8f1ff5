"""What a run knows of the recordings that are listed now."""

from __future__ import annotations

from collections.abc import Sequence

from audiocur.errors import OutputError
from audiocur.job import Job
from audiocur.planning import Progressed
from audiocur.records import Source
from audiocur.store.ledger import Ledger
from audiocur.store.parts import SpanOutcome


def known_sources(job: Job, ledger: Ledger, sources: Sequence[Source]) -> tuple[dict[str, Progressed], set[str]]:
    """What the ledger says of each source, and which of those listed have changed since.

    Those are left as they are: a recording must not be made of two versions of a file.

    Raises:
        OutputError: most of them have another size: this is another library under the same names.
    """
    by_id = {source.source_id: source for source in sources}
    known: dict[str, Progressed] = {}
    seen: dict[str, SpanOutcome] = {}
    for span in ledger.spans():
        known.setdefault(span.source_id, Progressed()).settle(span)
        seen[span.source_id] = span
    listed = {key: (by_id[key], span) for key, span in seen.items() if key in by_id}
    resized = sum(source.size != span.size for source, span in listed.values())
    if len(listed) > 1 and resized * 2 > len(listed) and not job.source.moved:
        raise OutputError(
            f"output.path={job.output}: {resized} of the {len(listed)} recordings it knows have another size in this "
            "source: expected the library it was made from, a new directory, or source.moved=true if they changed there"
        )
    return known, {
        key
        for key, (source, span) in listed.items()
        if (source.size, source.mtime_ns, source.etag) != (span.size, span.mtime_ns, span.etag)
    }
