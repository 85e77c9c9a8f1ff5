"""What a run knows of the recordings that are listed now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audiocur.errors import ConfigError, OutputError
from audiocur.inspect.funnel import funnel
from audiocur.job import Job
from audiocur.judgement import Gates
from audiocur.outcome import REPORT
from audiocur.planning import Progressed
from audiocur.progress import Progress
from audiocur.records import Source
from audiocur.redo import spans_to_redo, with_other_content
from audiocur.rules import Rules
from audiocur.store import decision
from audiocur.store.attempts import Attempts
from audiocur.store.decision import Decision
from audiocur.store.ledger import Ledger
from audiocur.store.parts import SpanOutcome
from audiocur.store.rejudge import Rejudged, rejudge, to_be_heard
from audiocur.store.staged import Staged
from audiocur.store.withdraw import withdraw
from audiocur.store.withdrawn import Withdrawn
from audiocur.words import count


@dataclass(frozen=True)
class Start:
    """Where a run takes up the work.

    Attributes:
        ledger: what is settled, and `known` the same by recording.
        changed: ids of recordings that are left as they are: none must be made of two versions of a file.
        redone: ids of spans that were taken out, to be done again.
        attempts: what is known of spans that were lost with their worker.
    """

    ledger: Ledger
    known: dict[str, Progressed]
    changed: set[str]
    redone: set[str]
    attempts: Attempts


def begun(job: Job, ledger: Ledger, sources: Sequence[Source], progress: Progress) -> Start:
    """Tidy up what earlier runs left, and take out what is to be done again. Needs the lease.

    Raises:
        OutputError: the sources are another library.
    """
    ledger.sweep()
    ledger = decided(job, ledger, progress)
    ledger.save_index()
    attempts = Attempts.read(job.output)
    known, changed = known_sources(job, ledger, sources)
    listed = {source.source_id: source for source in sources}
    if job.redo is None:
        # Copying a library changes all times; what is half done should go on there, and is looked at more closely.
        doubted = {key for key in changed if known[key].missing()}
        changed -= doubted - set(with_other_content(ledger, [listed[key] for key in sorted(doubted)]))
        return Start(ledger, known, changed, set(), attempts)
    progress.say(f"looking for what redo={job.redo} is about")
    changed = set(with_other_content(ledger, [listed[key] for key in sorted(changed)]))
    redone = spans_to_redo(job.redo, ledger, listed, changed)
    ledger = withdraw(ledger, redone)
    ledger.sweep()
    attempts.forget(redone)
    known, still_changed = known_sources(job, ledger, sources)
    return Start(ledger, known, changed & still_changed, redone, attempts)


def decided(job: Job, ledger: Ledger, progress: Progress, *, staged: bool = False) -> Ledger:
    """The ledger after a decision that was cut short has been ended, or taken back where it had changed nothing.

    Args:
        job: what the run says it is of.
        ledger: what is settled.
        progress: told what happens.
        staged: whether what was run again for a decision that has not begun is left for the next.
    """
    under_way = Decision.read(job.output)
    if under_way and under_way.fingerprint == job.recipe()["fingerprint"]:
        progress.say("going on with a decision that was cut short")
        ledger = judged_again(job, ledger, under_way).ledger
    if under_way or not staged:
        decision.end(job.output)
    return ledger


def judged_again(job: Job, ledger: Ledger, under_way: Decision) -> Rejudged:
    """Every row of the ledger under the job's rules, with the spans that were run again for them. Needs the lease."""
    if under_way.withdrawn.patterns:
        under_way.withdrawn.write(job.output)
        job.output.remove([REPORT])  # which may play what is withdrawn
    done = rejudge(ledger, Gates.of(job.pipeline), _rules(job), under_way.withdrawn, Staged(job.output))
    done.ledger.sweep()
    return done


def can_be_heard(
    job: Job, ledger: Ledger, withdrawn: Withdrawn, sources: Callable[[], Sequence[Source]]
) -> dict[str, set[int]]:
    """The spans that a rule of the job wants to be run again, and that can be: their indices by source_id.

    Args:
        job: whose rules count.
        ledger: what is settled.
        withdrawn: whose spans nobody wants.
        sources: lists the recordings that there are; called only if one must be heard again.

    Raises:
        ConfigError: nothing at all would be kept: a bound or a value that is mistyped.
        SourceError: one must be, and they cannot be listed.
    """
    wanted, kept = to_be_heard(ledger, Gates.of(job.pipeline), _rules(job))
    if not wanted and not kept and (before := funnel(ledger).kept.count):
        raise ConfigError(f"these rules would keep none of {count(before, 'clip')} that are kept now")
    if not wanted:
        return {}
    listed = {source.source_id: source for source in sources() if source.problem is None}
    listed = {key: source for key, source in listed.items() if not withdrawn.covers(key, source.uri)}
    _, changed = known_sources(job, ledger, list(listed.values()))
    there = wanted.keys() & listed.keys()
    there -= set(with_other_content(ledger, [listed[key] for key in sorted(changed & there)]))
    return {source_id: wanted[source_id] for source_id in there}


def _rules(job: Job) -> Rules:
    return job.pipeline.active_rules(job.source.meta_fields())


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
    return known, {key for key, (source, span) in listed.items() if not is_same(source, span)}


def is_same(source: Source, span: SpanOutcome) -> bool:
    """Whether a recording is the version that a span of it was made of, as far as its listing tells."""
    return (source.size, source.mtime_ns, source.etag) == (span.size, span.mtime_ns, span.etag)
