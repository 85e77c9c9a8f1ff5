"""What runs inside a worker: a stage over spans, with the guard round every op call and the keep rules between.

Both engines call `run_stage`; where it runs never changes what it does.
"""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

from audiocur.errors import RowError, RunError
from audiocur.op import ClipOp, Decoder, Encoder, Measures, ModelOp, Op, SpanOp
from audiocur.pipeline import Stage, Step
from audiocur.records import Clip, Span, Verdict
from audiocur.rules import broken_rules
from audiocur.schema import value_of

#: Pauses before opening a recording again that failed with an I/O error.
_WAITS_S = (0.2, 1.0, 4.0)

_models: dict[str, Any] = {}


def one_thread() -> AbstractContextManager[object]:
    """A core a worker: threads of BLAS would fight over it, and products of matrices differ with their number."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def run_stage(stage: Stage, spans: Sequence[Span], *, watchdog: bool = False) -> None:
    """Take the spans through the stage's steps, in place.

    Spans go one by one through ops that hear their samples, so that one span's audio is in memory at a time; model ops
    get the clips of all spans together.

    Args:
        stage: what to do.
        spans: what to do it to.
        watchdog: end this process if a span takes longer than `decode.timeout_s`; it must be one that may end.
    """
    known = set(stage.known)
    for steps in _runs(stage.steps):
        if isinstance(steps[0].op, ModelOp):
            _run_model(stage, steps[0], spans, known)
        else:
            for span in spans:
                with _watched(stage.timeout_s if watchdog else None):
                    _run_span(stage, steps, span, set(known))
        known |= {column.name for step in steps for column in step.op.writes}
    if stage.final:
        for span in spans:
            for clip in _open(span):
                _gate(stage, span, clip, known)
                clip.verdict = clip.verdict or Verdict.KEPT


def load_models(stage: Stage) -> None:
    """Load what models the stage has, so that this is over before the first span.

    Raises:
        RunError: one cannot be loaded.
    """
    for step in stage.steps:
        if isinstance(step.op, ModelOp):
            _model(step)


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
        _guard(span, step.name, partial(_patiently, apply) if isinstance(step.op, Decoder) else apply)
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
            _gate(stage, span, clip, known)
        if clip.verdict is not None:
            return
        if isinstance(op, SpanOp):
            _write(span, clip, step, partial(op.measure, span, clip))
        elif isinstance(op, ClipOp):
            _write(span, clip, step, partial(op.measure, clip))
        known |= {column.name for column in op.writes}


def _run_model(stage: Stage, step: Step, spans: Sequence[Span], known: set[str]) -> None:
    for span in spans:
        for clip in _open(span):
            _gate(stage, span, clip, known)
    pairs = [(span, clip) for span in spans for clip in _open(span)]
    if not pairs or not isinstance(step.op, ModelOp):
        return
    op, model = step.op, _model(step)
    for i in range(0, len(pairs), stage.placement.batch_clips):
        batch = pairs[i : i + stage.placement.batch_clips]
        try:
            results = list(op.measure_batch([clip for _, clip in batch], model))
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} clips")
        except Exception:
            # One clip of the batch may be at fault: alone, each answers for itself.
            for span, clip in batch:
                _write(span, clip, step, partial(_measure_alone, op, clip, model))
        else:
            for (span, clip), result in zip(batch, results, strict=True):
                _write(span, clip, step, partial(dict, result))
        for _, clip in batch:
            clip.release()


def _measure_alone(op: ModelOp, clip: Clip, model: Any) -> Measures:
    (result,) = op.measure_batch([clip], model)
    return result


def _model(step: Step) -> Any:
    """The op's model, loaded once a worker process."""
    op = step.op
    if not isinstance(op, ModelOp):
        raise TypeError(f"{step.name} has no model")
    key = f"{type(op).__module__}.{op!r}"
    if key not in _models:
        try:
            _models[key] = op.load()
        except Exception as error:
            raise RunError(f"{step.name}: its model cannot be loaded: {type(error).__name__}: {error}") from error
    return _models[key]


def _open(span: Span) -> list[Clip]:
    return [clip for clip in span.clips if clip.verdict is None]


def _gate(stage: Stage, span: Span, clip: Clip, known: set[str]) -> None:
    """Apply the keep rules over the columns known so far."""
    if clip.verdict is not None:
        return
    rules = {name: rule for name, rule in stage.rules.items() if rule.column in known}
    broken = broken_rules(rules, lambda column: value_of(span, clip, column))
    if broken:
        clip.verdict = Verdict.REJECTED
        clip.rule, clip.reason = broken[0]
        clip.rules = [name for name, _ in broken]
        clip.stored = None


def _write(span: Span, clip: Clip, step: Step, measure: Callable[[], Measures]) -> None:
    span.tried[step.name] += isinstance(step.op, ClipOp | ModelOp)
    measures: dict[str, Any] = {}
    _guard(clip, step.name, lambda: measures.update(_checked(step.op, measure())))
    clip.measures.update(measures)


def _guard(row: Span | Clip, name: str, call: Callable[[], None]) -> None:
    """The one guard round every op call: an error costs this row and no other."""
    try:
        call()
    except RowError as error:
        row.fail(name, str(error))
    except OSError as error:
        row.fail(name, f"cannot be read: {error.strerror or error}")
    except Exception as error:
        row.fail(name, f"{type(error).__name__}: {error}", unexpected=True)


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


def _checked(op: Op, measures: Measures) -> Measures:
    """What an op wrote, if it is what it declared: an error here is the op's, and must not wait for the commit."""
    if measures.keys() != {column.name for column in op.writes}:
        raise TypeError(f"wrote {sorted(measures)}, declared {sorted(column.name for column in op.writes)}")
    for column in op.writes:
        value = pa.scalar(measures[column.name], column.type).as_py()
        if not all(
            math.isfinite(number) for number in (value if isinstance(value, list) else [value]) if type(number) is float
        ):
            raise ValueError(f"{column.name} is not finite; an undefined measure is None")
    return measures
