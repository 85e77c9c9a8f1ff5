"""What runs inside a worker: a stage over spans, with the guard round every op call and the keep rules between.

Both engines call `run_stage`; where it runs never changes what it does.
"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from threadpoolctl import threadpool_limits

from audiocur.guard import guarded, nulls, write
from audiocur.models import Served, local_model, run_model
from audiocur.op import ClipOp, Decoder, Encoder, ModelOp, SpanOp
from audiocur.pipeline import Stage, Step
from audiocur.records import AT_THE_END, Clip, Span, Verdict
from audiocur.rules import broken_rules
from audiocur.schema import value_of
from audiocur.usage import Usage

#: Pauses before opening a recording again that failed with an I/O error.
_WAITS_S = (0.2, 1.0, 4.0)


def one_thread() -> AbstractContextManager[object]:
    """A core a worker: threads of BLAS would fight over it, and products of matrices differ with their number."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def run_stage(stage: Stage, spans: Sequence[Span], *, watchdog: bool = False, served: Served | None = None) -> None:
    """Take the spans through the stage's steps, in place.

    Spans go one by one through ops that hear their samples, so that one span's audio is in memory at a time; model ops
    get the clips of all spans together.

    Args:
        stage: what to do.
        spans: what to do it to.
        watchdog: end this process if a span takes longer than `decode.timeout_s`; it must be one that may end.
        served: models of the stage that are not in this process.
    """
    known = set(stage.known)
    for steps in _runs(stage.steps):
        if isinstance(steps[0].op, ModelOp):
            for span in spans:
                for clip in _open(span):
                    _gate(stage, span, clip, known, steps[0].name)
            pairs = [(span, clip) for span in spans for clip in _open(span) if _is_for(steps[0], span, clip)]
            with threadpool_limits(stage.placement.threads):
                run_model(steps[0], pairs, stage.placement, served or {})
        else:
            for span in spans:
                with _watched(stage.timeout_s if watchdog else None):
                    _run_span(stage, steps, span, set(known))
        known |= {column.name for step in steps for column in step.op.writes}
    if stage.final:
        for span in spans:
            for clip in _open(span):
                _gate(stage, span, clip, known, AT_THE_END)
                clip.verdict = clip.verdict or Verdict.KEPT
    for span in spans:
        for clip in span.clips:
            passed_on = stage.passes_on if clip.verdict is None else ()
            clip.features = {name: clip.features[name] for name in passed_on if name in clip.features}


def load_models(stage: Stage) -> None:
    """Load what models the stage has, so that this is over before the first span.

    Raises:
        RunError: one cannot be loaded.
    """
    for step in stage.steps:
        if isinstance(step.op, ModelOp):
            local_model(step, stage.placement)


@contextmanager
def _watched(timeout_s: float | None) -> Iterator[None]:
    """End the process after so long: a decoder that hangs may hold the interpreter, and no exception gets through."""
    if timeout_s is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _runs(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Model ops alone, what lies between them together."""
    run: list[Step] = []
    for step in steps:
        if isinstance(step.op, ModelOp):
            yield from ([run] if run else [])
            yield [step]
            run = []
        else:
            run.append(step)
    yield from ([run] if run else [])


def _run_span(stage: Stage, steps: Sequence[Step], span: Span, known: set[str]) -> None:
    for step in steps:
        # A span past the end of the audio holds none: decode finds that out, and the others have nothing to hear.
        nothing_to_hear = span.audio is None and not isinstance(step.op, Decoder)
        if not isinstance(step.op, SpanOp) or span.verdict is Verdict.FAILED or nothing_to_hear:
            continue
        span.tried[step.name] += 1
        apply = partial(step.op.apply, span)
        began = time.perf_counter()
        guarded(span, step.name, partial(_patiently, apply) if isinstance(step.op, Decoder) else apply)
        span.spend(step.name, time.perf_counter() - began)
    if span.verdict is Verdict.FAILED:
        return
    if span.audio is not None:
        span.audio = span.audio.slice(0, span.audio.num_samples)  # without the views that ops on spans heard
    for clip in span.clips:
        _run_clip(stage, steps, span, clip, set(known))
        clip.release()
    span.audio = None
    span.annotations = {}


def _run_clip(stage: Stage, steps: Sequence[Step], span: Span, clip: Clip, known: set[str]) -> None:
    for step in steps:
        op = step.op
        if isinstance(op, Encoder):
            _gate(stage, span, clip, known, step.name)
        if clip.verdict is not None:
            return
        began = time.perf_counter()
        if isinstance(op, SpanOp):
            write(span, clip, step, partial(op.measure, span, clip))
        elif isinstance(op, ClipOp) and _is_for(step, span, clip):
            write(span, clip, step, partial(op.measure, clip))
        span.spend(step.name, time.perf_counter() - began)
        known |= {column.name for column in op.writes}


def _is_for(step: Step, span: Span, clip: Clip) -> bool:
    """Whether the op is for this clip; if it is not, or lacks what another was not for either, its columns are null."""
    wanted = step.when is None or step.when.broken_by(value_of(span, clip, step.when.column)) is None
    if wanted and all(name in clip.features for name in step.op.takes):
        return True
    clip.measures.update(nulls(step.op))
    span.usage.setdefault(step.name, Usage()).skipped += 1
    return False


def _open(span: Span) -> list[Clip]:
    return [clip for clip in span.clips if clip.verdict is None]


def _gate(stage: Stage, span: Span, clip: Clip, known: set[str], before: str) -> None:
    """Apply the keep rules over the columns known so far, before an op."""
    if clip.verdict is not None:
        return
    rules = {name: rule for name, rule in stage.rules.items() if rule.column in known}
    broken = broken_rules(rules, lambda column: value_of(span, clip, column))
    if broken:
        clip.verdict = Verdict.REJECTED
        clip.rule, clip.reason = broken[0]
        clip.rules = [name for name, _ in broken]
        clip.gate = before
        clip.stored = None


def _patiently(call: Callable[[], None]) -> None:
    """Disks and networks recover: what fails with an I/O error is tried again before that is believed."""
    for wait_s in _WAITS_S:
        try:
            call()
        except OSError:
            time.sleep(wait_s)
        else:
            return
    call()
