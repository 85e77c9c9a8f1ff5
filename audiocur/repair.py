"""Making a damaged run whole: what is wrong goes, and exactly the spans that it held are done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audiocur.inspect.verify import Finding
from audiocur.job import Job
from audiocur.progress import Progress
from audiocur.resume import known_sources
from audiocur.run import Summary, run
from audiocur.store.lease import taken
from audiocur.store.ledger import Ledger
from audiocur.store.recipe import environment


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        summary: of the run that did the spans again; null if nothing could be done.
        left: findings left as they are, for a recording that the part holds has changed or is gone: with the part, what
            is sound in it would be lost.
    """

    summary: Summary | None
    left: tuple[Finding, ...]


def repair(job: Job, findings: Sequence[Finding], progress: Progress) -> Repaired:
    """Take away what findings name, and do again the spans that were in it.

    A part whose footer cannot be read does not tell what it settled: then everything that is missing is done.

    Raises:
        UserError: another run is at work there, or the recordings are not where they were.
    """
    listed = job.source.list().sources
    with taken(job.output, {"environment": environment()}, progress.say) as lease:
        ledger, known = lease.ledger, lease.ledger.known
        changed = known_sources(job, ledger, listed)[1]
        there = {source.source_id for source in listed if source.problem is None} - changed
        named = {finding.part for finding in findings if finding.part}
        beyond = {name for name in named & known.keys() if not {s.source_id for s in known[name].spans} <= there}
        names = named - beyond
        concerned = {span.source_id for name in names & known.keys() for span in known[name].spans}
        job.output.remove(names)
        Ledger.read(job.output, ledger).sweep()
    left = tuple(finding for finding in findings if finding.part in beyond)
    if beyond and not names:
        return Repaired(None, left)
    return Repaired(run(job, progress, only=concerned if names <= known.keys() else None), left)
