"""The main job: list, plan, run, commit, until every second of every source is accounted for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path

from audiocur import __version__
from audiocur.errors import OutputError, SourceError
from audiocur.estimate import check_disk
from audiocur.inspect.funnel import Funnel, funnel
from audiocur.job import Job
from audiocur.passes import Passes
from audiocur.pipeline import Stage
from audiocur.planning import Progressed
from audiocur.progress import Progress, SilentProgress
from audiocur.records import Source
from audiocur.schema import clips_schema, ledger_schema
from audiocur.sources.base import Listing
from audiocur.store.card import write_card
from audiocur.store.commit import Committer
from audiocur.store.ledger import KnownSpan, begin_epoch, known_spans, sweep
from audiocur.store.log import run_log
from audiocur.store.recipe import claim


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
        shards: number of shards, and `shard_bytes` their size.
    """

    output: Path
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
    shards: int
    shard_bytes: int


def run(job: Job, progress: Progress | None = None) -> Summary:
    """Run a job to its end, or go on where an earlier run stopped.

    Raises:
        UserError: before any work, for whatever the user can mend; after it, if no recording could be used.
        RunError: the run had to stop; what was committed stays.
    """
    began = time.monotonic()
    progress = progress or SilentProgress()
    stages = job.stages()
    progress.say("listing recordings")
    listed = job.source.list()
    resumed = claim(job.output, job.recipe())
    with run_log(job.output) as log:
        log.info(
            "begins: audiocur %s, recipe %s, %s listed", __version__, job.recipe()["fingerprint"], len(listed.sources)
        )
        work = _work(job, stages, listed.sources, progress, log)
        summary = _summary(job, listed, work, resumed=resumed, elapsed_s=time.monotonic() - began)
        write_card(job.output, summary.funnel, job.recipe())
        for line in summary.funnel.lines:
            log.info("%s: %s, %.1f s", line.what, line.number, line.seconds)
        for op, example in summary.examples.items():
            log.info("unexpected, %s times: %s: %s", summary.unexpected[op], op, example)
        if not summary.funnel.usable:
            reasons = ", ".join(f"{line.count} {line.what}" for line in summary.funnel.unreadable)
            raise SourceError(
                f"{job.source.place}: none of the {summary.sources} recordings can be used: {reasons}; "
                f"the ledger in {job.output} names each"
            )
    return summary


def _work(job: Job, stages: Sequence[Stage], sources: Sequence[Source], progress: Progress, log: Logger) -> Passes:
    """Whatever is missing, done."""
    # The fence comes before the look at the ledger: what a driver of before commits in between counts for neither.
    epoch = begin_epoch(job.output)
    sweep(job.output)
    known, changed = _known(job.output, sources)
    todo = _todo(job, [source for source in sources if source.source_id not in changed], known, progress)
    log.info("epoch %s: %s to do, %s changed since", epoch, len(todo), len(changed))
    work = Passes(job, stages, committer(job, epoch), known, progress, log, len(changed))
    if todo:
        check_disk(job, todo)
        with job.engine.started():
            work.until_done(todo)
        sweep(job.output)  # what workers left that died, or outlived an earlier driver
    return work


def _summary(job: Job, listed: Listing, work: Passes, *, resumed: bool, elapsed_s: float) -> Summary:
    return Summary(
        output=job.output,
        funnel=funnel(job.output),
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
        **_shards(job.output),
    )


def _known(output: Path, sources: Sequence[Source]) -> tuple[dict[str, Progressed], set[str]]:
    """What the ledger says of each source, and which of those listed have changed since.

    Those are left as they are: a recording must not be made of two versions of a file.

    Raises:
        OutputError: most of them have another size: this is another library under the same names.
    """
    by_id = {source.source_id: source for source in sources}
    known: dict[str, Progressed] = {}
    seen: dict[str, KnownSpan] = {}
    for span in known_spans(output):
        known.setdefault(span.outcome.source_id, Progressed()).settle(span.outcome)
        seen[span.outcome.source_id] = span
    listed = {key: (by_id[key], span) for key, span in seen.items() if key in by_id}
    resized = sum(source.size != span.size for source, span in listed.values())
    if len(listed) > 1 and resized * 2 > len(listed):
        raise OutputError(
            f"output.path={output}: {resized} of the {len(listed)} recordings it knows have another size in this "
            "source: expected the library it was made from, or a new directory"
        )
    return known, {
        key for key, (source, span) in listed.items() if (source.size, source.mtime_ns) != (span.size, span.mtime_ns)
    }


def _todo(job: Job, sources: Sequence[Source], known: dict[str, Progressed], progress: Progress) -> list[Source]:
    """Sources with spans to do, with their tags."""
    pending = [source for source in sources if known.setdefault(source.source_id, Progressed()).missing()]
    tagged = []
    for number, source in enumerate(pending):
        if number % 1000 == 999:
            progress.say(f"reading tags: {number + 1:,} of {len(pending):,}")
        tagged.append(job.source.read_tags(source))
    return tagged


def committer(job: Job, epoch: int) -> Committer:
    """What commits the spans of a job."""
    columns, meta, encoder = job.pipeline.columns, job.source.meta_fields(), job.pipeline.encoder
    clips = clips_schema(columns, meta, rate_hz=getattr(encoder, "rate_hz", None)) if encoder else None
    return Committer(str(job.output), epoch, ledger_schema(columns, meta), clips)


def _shards(output: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in (output / "clips").rglob("part-*.parquet")]
    return {"shards": len(sizes), "shard_bytes": sum(sizes)}
