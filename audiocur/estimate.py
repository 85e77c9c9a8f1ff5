"""What a run would cost, told from a small sample of its source.

The sample is worked on in a process of its own, so that a recording that crashes a decoder costs the estimate one
recording and nothing else.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO

from audiocur.decoding import read_header
from audiocur.errors import OutputError, RowError
from audiocur.job import Job
from audiocur.op import Decoder, ModelOp
from audiocur.pipeline import Stage, Step
from audiocur.placement import Placement
from audiocur.planning import estimate_s
from audiocur.records import Source, Span, Verdict
from audiocur.stage import run_stage

#: How many recordings are tried, how much of each, and how long that may take.
SAMPLE, TRIAL_S, PATIENCE_S = 12, 60.0, 120.0
#: Even Opus at 32 kbit/s grows less than this when it is stored as FLAC.
GREATEST_GROWTH = 40
STARTUP_S = 12.0


@dataclass(frozen=True)
class Trial:
    """One recording tried: its whole length, how much of it was worked on, and what that took and gave."""

    whole_s: float | None
    tried_s: float
    cpu_s: float
    clips: int
    kept: int
    stored_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a run would take and give, if the sample is like the rest.

    Attributes:
        sources: recordings in all; `sampled`: tried; `unusable`: of those, without audio that could be worked on.
        seconds: audio in; cpu_s: of one core; wall_s: on all workers.
        clips, kept: clips cut and kept; stored_bytes: of the shards.
        untried: models that were left out, because they are not for this machine, and what follows them.
    """

    sources: int
    sampled: int
    unusable: int
    seconds: float
    cpu_s: float
    wall_s: float
    clips: float
    kept: float
    stored_bytes: float
    untried: tuple[str, ...]


def estimate(job: Job, sources: Sequence[Source]) -> Estimate:
    """Try a seeded sample of the sources and scale up."""
    sample = sorted(sources, key=lambda source: hashlib.sha256(source.source_id.encode()).digest())[:SAMPLE]
    # Keep rules may judge tags, so the sample needs them.
    triable = _triable(job.stages())
    tried_sources = list(_try_elsewhere(triable, list(job.source.read_all_tags(sample))))
    trials = [trial for _, trial in tried_sources]
    # How much longer or shorter the sample is than its sizes suggest, so are the others.
    guessed = sum(estimate_s(source) for source, _ in tried_sources) or 1.0
    found = sum(trial.whole_s or 0.0 for trial in trials)
    seconds = sum(map(estimate_s, sources)) * found / guessed
    tried = sum(trial.tried_s for trial in trials)
    scale = seconds / tried if tried else 0.0
    cpu_s = scale * sum(trial.cpu_s for trial in trials)
    return Estimate(
        sources=len(sources),
        sampled=len(sample),
        unusable=len(sample) - sum(trial.tried_s > 0 for trial in trials),
        seconds=seconds,
        cpu_s=cpu_s,
        wall_s=STARTUP_S + cpu_s / job.engine.workers,
        clips=scale * sum(trial.clips for trial in trials),
        kept=scale * sum(trial.kept for trial in trials),
        stored_bytes=scale * sum(trial.stored_bytes for trial in trials),
        untried=tuple(step.name for step in job.pipeline.steps[sum(len(stage.steps) for stage in triable) :]),
    )


def _triable(stages: Sequence[Stage]) -> list[Stage]:
    """The steps up to the first with a model that needs another machine, or weights that are not here."""
    found: list[Stage] = []
    for stage in stages:
        steps = tuple(itertools.takewhile(partial(_is_here, stage.placement), stage.steps))
        found += [replace(stage, steps=steps, final=False)] if steps else []
        if len(steps) < len(stage.steps):
            break
    return [*found[:-1], replace(found[-1], final=True)]


def _is_here(where: Placement, step: Step) -> bool:
    if not isinstance(step.op, ModelOp):
        return True
    elsewhere = step.op.remote or where.gpus or where.app or where.world or where.setup
    return not elsewhere and all(checkpoint.found() for checkpoint in step.op.checkpoints())


def check_disk(job: Job, sources: Sequence[Source]) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        OutputError: the estimate does not fit.
    """
    if job.pipeline.encoder is None:
        return
    free = job.output.free_bytes()
    if free is None or sum(source.size or 0 for source in sources) * GREATEST_GROWTH < free:
        return
    needed = estimate(job, sources).stored_bytes
    if needed > free:
        raise OutputError(
            f"output.path={job.output}: about {needed / 1e9:.1f} GB will be written, {free / 1e9:.1f} GB are free"
        )


def _try_elsewhere(stages: Sequence[Stage], sources: Sequence[Source]) -> Iterator[tuple[Source, Trial]]:
    """Trials from child processes; where one ends early, the recording it was at is left out and the next goes on."""
    left, deadline = list(sources), time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        trials = _trials_of_child(stages, left, deadline - time.monotonic())
        yield from zip(left, trials, strict=False)
        left = left[len(trials) + 1 :]


def _trials_of_child(stages: Sequence[Stage], sources: Sequence[Source], patience_s: float) -> list[Trial]:
    request = pickle.dumps((tuple(_shortened(stage) for stage in stages), list(sources)))
    command = [sys.executable, "-c", "from audiocur.estimate import answer; answer()"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        child = subprocess.run(command, input=request, stdout=subprocess.PIPE, env=environment, timeout=patience_s)
        output = child.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    stream, trials = BytesIO(output), []
    while stream.tell() < len(output):
        try:
            trials.append(pickle.load(stream))
        except (EOFError, pickle.UnpicklingError):  # it ended in the middle of a trial
            break
    return trials


def _shortened(stage: Stage) -> Stage:
    def short(step: Step) -> Step:
        if not isinstance(step.op, Decoder):
            return step
        return replace(step, op=replace(step.op, span_s=min(step.op.span_s, TRIAL_S)))  # type: ignore[type-var]

    return replace(stage, steps=tuple(short(step) for step in stage.steps))


def _try(stages: Sequence[Stage], source: Source) -> Trial:
    span = Span(source=source)
    began = time.process_time()
    try:
        header = read_header(source.path)
        whole_s = header.num_samples / header.rate_hz if header.num_samples else None
    except (RowError, OSError):
        whole_s = 0.0
    for stage in stages:
        run_stage(stage, [span])
    kept = [clip for clip in span.clips if clip.verdict is Verdict.KEPT]
    return Trial(
        whole_s=whole_s if whole_s is not None else estimate_s(source),
        tried_s=span.duration_s if span.verdict is Verdict.DONE else 0.0,
        cpu_s=time.process_time() - began,
        clips=len(span.clips),
        kept=len(kept),
        stored_bytes=sum(len(clip.stored.data) for clip in kept if clip.stored),
    )


def answer() -> None:
    """In the child process: a trial for each source of the request on stdin, written to stdout as it is done."""
    stages, sources = pickle.load(sys.stdin.buffer)
    if sources:
        _try(stages, sources[0])  # the first call pays for imports and caches; it is tried again below
    for source in sources:
        pickle.dump(_try(stages, source), sys.stdout.buffer)
        sys.stdout.buffer.flush()
