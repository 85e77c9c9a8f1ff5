"""The main job: list, plan, run, commit, until every second of every source is accounted for."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from logging import Logger

from audiocur import __version__
from audiocur.checkpoints import require_all
from audiocur.errors import RunError, SourceError, UserError
from audiocur.estimate import check_disk
from audiocur.inspect.funnel import Funnel, funnel
from audiocur.job import Job
from audiocur.outcome import REPORT, leave
from audiocur.passes import Passes
from audiocur.pipeline import Stage
from audiocur.planning import Progressed
from audiocur.progress import Progress, SilentProgress
from audiocur.records import Source
from audiocur.resume import begun
from audiocur.schema import clips_schema, ledger_schema
from audiocur.sources.base import Listing
from audiocur.storage.base import Store
from audiocur.store.commit import Committer
from audiocur.store.lease import Lease, taken
from audiocur.store.ledger import Ledger
from audiocur.store.log import run_log
from audiocur.store.recipe import check_claim, claim, environment, rule_order
from audiocur.store.withdrawn import Withdrawn
from audiocur.usage import Usage


@dataclass(frozen=True)
class Summary:
    """What a run did, and what its directory holds now.

    Attributes:
        output: the run directory.
        funnel: of everything in the ledger, earlier runs included.
        resumed: the directory held part of the run before.
        sources: recordings listed; `changed`: those of another size or time than when they were worked through.
        ignored: files that are no audio by their name, by suffix.
        spans: spans worked through this time; `seconds`: their audio.
        elapsed_s: wall time of this run.
        inactive: keep rules whose column nothing in the pipeline writes.
        unexpected: clips and spans that failed by a bug, by op; `examples`: one such error for each.
        usage: what each model was given and did this time.
        advice: what ops have to say to whoever chose them.
        shards: number of shards, and `shard_bytes` their size.
        report: whether there is one; `no_report`: why there is none although there should be.
    """

    output: Store
    funnel: Funnel
    resumed: bool
    sources: int
    changed: int
    ignored: Mapping[str, int]
    spans: int
    seconds: float
    elapsed_s: float
    inactive: tuple[str, ...]
    unexpected: Mapping[str, int]
    examples: Mapping[str, str]
    usage: Mapping[str, Usage]
    advice: tuple[str, ...]
    shards: int
    shard_bytes: int
    report: bool
    no_report: str | None = None


def run(
    job: Job,
    progress: Progress | None = None,
    *,
    only: Collection[str] | None = None,
    spans: Mapping[str, Collection[int]] | None = None,
) -> Summary:
    """Run a job to its end, or go on where an earlier run stopped.

    Args:
        job: what to do.
        progress: told what happens.
        only: ids of the recordings to work on; null for all.
        spans: of the recordings to work on, by id, the indices of these spans alone; null for all.

    Raises:
        UserError: before any work, for whatever the user can mend; after it, if no recording could be used.
        RunError: the run had to stop; what was committed stays.
    """
    began = time.monotonic()
    progress = progress or SilentProgress()
    stages = job.stages()
    require_all(job.pipeline)
    job = _in_its_order(job)
    recipe = job.recipe()
    check_claim(job.output, recipe)  # another recipe's run is not even touched
    progress.say("listing recordings")
    listed = job.source.list()
    try:
        with taken(job.output, {"environment": environment()}, progress.say) as lease:
            resumed = check_claim(job.output, recipe)
            claim(job.output, recipe)
            try:
                return _run(job, stages, listed, lease, progress, only=only, spans=spans, resumed=resumed, began=began)
            except UserError:
                if not resumed and not any(name.startswith("ledger/part-") for name in job.output.files("ledger")):
                    job.output.remove(["recipe.yaml"])  # nothing was done: the directory is free for another try
                raise
    except OSError as error:
        raise RunError(f"output.path={job.output}: {error.strerror or error}") from error


def _in_its_order(job: Job) -> Job:
    """The job with its rules in the order of the run that it goes on with, which a decision may have changed."""
    order = rule_order(job.output)
    rules = job.pipeline.rules
    if order is None or set(order) != rules.keys():
        return job
    return replace(job, pipeline=replace(job.pipeline, rules={name: rules[name] for name in order}))


def _run(
    job: Job,
    stages: Sequence[Stage],
    listed: Listing,
    lease: Lease,
    progress: Progress,
    *,
    only: Collection[str] | None,
    spans: Mapping[str, Collection[int]] | None,
    resumed: bool,
    began: float,
) -> Summary:
    recipe = job.recipe()
    with run_log(job.output) as log:
        log.info("begins: audiocur %s, recipe %s, %s listed", __version__, recipe["fingerprint"], len(listed.sources))
        work = _work(job, stages, listed.sources, lease, progress, log, only, spans)
        ledger = Ledger.read(job.output, lease.ledger)
        ledger.sweep()  # what workers left that died, or outlived an earlier driver
        ledger.save_index()
        summary = _summary(job, listed, work, ledger, resumed=resumed, elapsed_s=time.monotonic() - began)
        told = all(job.output.size(name) for name in ("README.md", *([REPORT] if job.report else [])))
        if not told or ledger.parts != lease.ledger.parts:
            summary = replace(summary, no_report=leave(job, ledger, summary.funnel, progress, log))
        for line in summary.funnel.lines:
            log.info("%s: %s, %.1f s", line.what, line.number, line.seconds)
        for op, example in summary.examples.items():
            log.info("unexpected, %s times: %s: %s", summary.unexpected[op], op, example)
        if not summary.funnel.usable and spans is None:
            reasons = ", ".join(f"{line.count} {line.what}" for line in summary.funnel.unreadable)
            raise SourceError(
                f"{job.source.place}: none of the {summary.sources} recordings can be used: {reasons}; "
                f"the ledger in {job.output} names each"
            )
    return summary


def _work(
    job: Job,
    stages: Sequence[Stage],
    sources: Sequence[Source],
    lease: Lease,
    progress: Progress,
    log: Logger,
    only: Collection[str] | None,
    spans: Mapping[str, Collection[int]] | None,
) -> Passes:
    """Whatever is missing, done."""
    withdrawn = Withdrawn.read(job.output)
    sources = [source for source in sources if not withdrawn.covers(source.source_id, source.uri)]
    start = begun(job, lease.ledger, sources, progress)
    wanted = [source for source in sources if source.source_id not in start.changed]
    if only is not None:
        wanted = [source for source in wanted if source.source_id in only]
    if spans is not None:
        wanted = [source for source in sources if source.source_id in spans]
    todo = _todo(job, wanted, start.known, progress, spans)
    log.info(
        "epoch %s: %s to do, %s changed since, %s spans to do again",
        lease.epoch,
        len(todo),
        len(start.changed),
        len(start.redone),
    )
    engine = job.engine.sized(job.pipeline, len(todo)) if todo else job.engine
    if engine.workers < job.engine.workers:
        progress.say(f"there is memory for {engine.workers} of {job.engine.workers} workers")
    work = Passes(
        replace(job, engine=engine),
        stages,
        committer(job, lease.epoch),
        start.ledger,
        start.known,
        start.attempts,
        progress,
        log,
        lease.check,
        len(start.changed),
        spans,
    )
    if todo:
        check_disk(job, todo)
    with engine.started(stages) if todo else nullcontext():
        work.until_done(todo)
    return work


def _summary(job: Job, listed: Listing, work: Passes, ledger: Ledger, *, resumed: bool, elapsed_s: float) -> Summary:
    shards = [part.shard for part in ledger.parts if part.shard]
    return Summary(
        output=job.output,
        funnel=funnel(ledger),
        resumed=resumed,
        sources=len(listed.sources),
        changed=work.changed,
        ignored=listed.ignored,
        spans=work.spans,
        seconds=work.seconds,
        elapsed_s=elapsed_s,
        inactive=job.pipeline.inactive_rules(job.source.meta_fields()),
        unexpected=work.unexpected,
        examples=work.examples,
        usage=work.usage,
        advice=tuple(step.op.advice for step in job.pipeline.steps if step.op.advice),
        shards=len(shards),
        shard_bytes=sum(shard.size_bytes for shard in shards),
        report=job.report,
    )


def _todo(
    job: Job,
    sources: Sequence[Source],
    known: dict[str, Progressed],
    progress: Progress,
    spans: Mapping[str, Collection[int]] | None,
) -> list[Source]:
    """Sources with spans to do, with their tags."""
    pending = []
    for source in sources:
        so_far = known.setdefault(source.source_id, Progressed())
        if so_far.missing() if spans is None else set(spans[source.source_id]) - so_far.settled:
            pending.append(source)
    tagged = []
    for number, source in enumerate(job.source.read_all_tags(pending)):
        if number % 1000 == 999:
            progress.say(f"reading tags: {number + 1:,} of {len(pending):,}")
        tagged.append(source)
    return tagged


def committer(job: Job, epoch: int) -> Committer:
    """What commits the spans of a job."""
    columns, meta, encoder = job.pipeline.columns, job.source.meta_fields(), job.pipeline.encoder
    clips = clips_schema(columns, meta, rate_hz=getattr(encoder, "rate_hz", None)) if encoder else None
    return Committer(job.output, epoch, ledger_schema(columns, meta), clips)
