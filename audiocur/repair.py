"""Making a damaged run whole: what is wrong goes, and exactly the spans that it held are done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from audiocur.inspect.verify import Finding
from audiocur.job import Job
from audiocur.progress import Progress
from audiocur.resume import is_same, known_sources
from audiocur.run import Summary, run
from audiocur.store.commit import write_part
from audiocur.store.lease import taken
from audiocur.store.ledger import Ledger, part_in, unfinished
from audiocur.store.parts import Part, SpanOutcome
from audiocur.store.recipe import environment
from audiocur.store.withdraw import rows_of
from audiocur.store.withdrawn import Withdrawn


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        summary: of the run that did the spans again; null if nothing could be done.
        left: findings that stand, for a recording that the part holds has changed or is gone. A part that still counts
            is left as it is then: with it, what is sound in it would be lost.
    """

    summary: Summary | None
    left: tuple[Finding, ...]


def repair(job: Job, findings: Sequence[Finding], progress: Progress) -> Repaired:
    """Take away what findings name, and do again the spans that were in it.

    A part that is gone, or whose footer cannot be read, does not tell what it settled: then everything that is missing
    is done.

    Raises:
        UserError: another run is at work there, or the recordings are not where they were.
    """
    withdrawn = Withdrawn.read(job.output)
    listed = {
        source.source_id: source
        for source in job.source.list().sources
        if not withdrawn.covers(source.source_id, source.uri)
    }
    with taken(job.output, {"environment": environment()}, progress.say) as lease:
        ledger, known = lease.ledger, lease.ledger.known
        named = {finding.part for finding in findings if finding.part}
        sound = replace(ledger, parts=tuple(part for part in ledger.parts if part.name not in named))
        known_sources(job, sound, list(listed.values()))  # refuses another library
        settled = {span.span_id for span in sound.spans()}

        def can_go(span: SpanOutcome) -> bool:
            source = listed.get(span.source_id)
            there = source is not None and source.problem is None and is_same(source, span)
            return there or span.span_id in settled or span.source_id in withdrawn.uris

        held = named & {part.name for part in ledger.parts}
        beyond = {name for name in held if not all(map(can_go, known[name].spans))}
        names = named - beyond
        concerned = {span.source_id for name in names & known.keys() for span in known[name].spans}
        told = names <= known.keys() and not _orphans(ledger)
        for name in sorted(names & known.keys()):
            _keep_withdrawn(ledger, known[name], withdrawn)
        job.output.remove(names)
        Ledger.read(job.output, ledger).sweep()
    nothing_to_do = beyond and not names
    job = replace(job, redo=None)  # which would take out what is no concern of a repair
    summary = None if nothing_to_do else run(job, progress, only=concerned if told else None)
    settled = {span.span_id for part in Ledger.read(job.output).parts for span in part.spans}

    def is_back(span: SpanOutcome) -> bool:
        return span.span_id in settled or span.source_id in withdrawn.uris

    lost = {name for name in names & known.keys() if not all(map(is_back, known[name].spans))}
    return Repaired(summary, tuple(finding for finding in findings if finding.part in beyond | lost))


def _keep_withdrawn(ledger: Ledger, part: Part, withdrawn: Withdrawn) -> None:
    """Put the rows of withdrawn recordings into a part of their own: nobody will do them again.

    Of a part that cannot be read they are lost with it, as verify has said.
    """
    gone = [span.span_id for span in part.spans if span.source_id in withdrawn.uris]
    if gone and part_in(ledger.store.read(part.name), part.name) == part:
        rows = rows_of(ledger.store, part.name)
        rows = rows.filter(pc.is_in(rows["span_id"], pa.array(gone)))
        write_part(ledger.store, ledger.epoch, rows, None, replaces=[part.name], made=part.made)


def _orphans(ledger: Ledger) -> list[str]:
    """Shards that not even a void part names: what did is gone."""
    named = {part.shard.name for part in ledger.known.values() if part.shard}
    left = (name for name in ledger.left_over() if name.startswith("clips/") and not unfinished(name))
    return [name for name in left if name not in named]
