"""What one request is about: which ops its columns need, and what is answered of the clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyarrow as pa

from audiocur.build import closest
from audiocur.engine.uploads import Refused
from audiocur.errors import RowError
from audiocur.op import Column, Decoder, Encoder, ModelOp, Op, Segmenter, SpanOp
from audiocur.pipeline import Pipeline, Step
from audiocur.records import Clip, Span, Verdict
from audiocur.rules import Rules, broken_rules
from audiocur.schema import BASE_COLUMNS, clip_row, value_of
from audiocur.store.recipe import describe

#: Of the columns that every clip has, those that say something of an upload.
BASE = ("duration_s", "sample_rate_hz", "channels", "source_rate_hz", "source_channels", "gain_db")
#: Of them, those that are known once the clip is encoded.
_AS_STORED = ("sample_rate_hz", "channels")
#: What the keep rules say.
VERDICT = ("verdict", "rule", "rules", "reason")


@dataclass(frozen=True, kw_only=True)
class Entire(Segmenter):
    """The recording as one clip, if it ends within the first span."""

    whole: ClassVar[bool] = True

    max_s: float

    def apply(self, span: Span) -> None:
        if not span.last and span.duration_s < 0.99 * self.max_s:
            held = f"{span.duration_s:.0f} s of {span.channels} channels at {span.rate_hz} Hz"
            raise RowError(f"too long: decode.span_mb holds {held}")
        if not span.last:
            raise RowError(f"too long: expected at most {self.max_s:g} s (serve.max_s)")
        span.cut(0, span.num_samples)


def of_one_clip(pipeline: Pipeline, max_s: float) -> Pipeline:
    """The pipeline as it works on a recording that is one clip.

    Raises:
        ConfigError: an op needs what the recipe's own `segment` writes.
    """
    decode, *rest = pipeline.steps
    op: Any = decode.op
    # Right behind decode: what is too long should cost no more than that.
    first = Step(decode.name, replace(op, span_s=max_s)), Step(Segmenter.name, Entire(max_s=max_s))
    made = replace(pipeline, steps=(*first, *(step for step in rest if not isinstance(step.op, Segmenter))))
    made.check()
    return made


@dataclass(frozen=True)
class Wanted:
    """What is to be done for one request.

    Attributes:
        columns: of the answer.
        parts: names of steps in order, each part of one process: a model's alone, what lies between them together.
    """

    columns: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]


def offered(pipeline: Pipeline) -> Mapping[str, Column]:
    """The columns that can be asked for, by name: none that holds bytes."""
    verdict = [BASE_COLUMNS[name] for name in (*BASE, *VERDICT)]
    return {column.name: column for column in (*verdict, *pipeline.columns) if not _has_bytes(column.type)}


def wanted(pipeline: Pipeline, asked: Sequence[str] | None) -> Wanted:
    """The work for the columns asked for, or for all of them.

    Raises:
        Refused: there is no such column.
    """
    known = offered(pipeline)
    columns = tuple(known) if asked is None else tuple(dict.fromkeys(asked))
    for name in columns:
        if name not in known:
            raise Refused(400, f"columns={name}: unknown column{closest(name, known)}")
    steps = needed_steps(pipeline, columns)
    parts: list[tuple[str, ...]] = []
    before: Op | None = None
    for step in steps:
        alone = before is None or isinstance(step.op, ModelOp) or isinstance(before, ModelOp)
        parts = [*parts, (step.name,)] if alone else [*parts[:-1], (*parts[-1], step.name)]
        before = step.op
    return Wanted(columns, tuple(parts))


def needed_steps(pipeline: Pipeline, columns: Sequence[str]) -> Sequence[Step]:
    """The steps that these columns come from, with all that those read, take or are bound by."""
    names = set(columns)
    if names & {*VERDICT}:
        names |= {rule.column for rule in pipeline.active_rules().values()}
    encoded, features = bool(names & {*_AS_STORED}), set[str]()
    taken: list[Step] = []
    for step in reversed(pipeline.steps):
        op = step.op
        changes_audio = isinstance(op, Decoder | Segmenter) or (isinstance(op, SpanOp) and not op.writes)
        asked_for = {column.name for column in op.writes} & names or set(op.makes) & features
        if not (changes_audio or asked_for or (isinstance(op, Encoder) and encoded)):
            continue
        taken.append(step)
        names |= {*op.reads, *([step.when.column] if step.when else [])}
        features |= set(op.takes)
        encoded = encoded or _hears_stored(pipeline, step)
    return taken[::-1]


def answer(pipeline: Pipeline, columns: Sequence[str], span: Span) -> dict[str, Any]:
    """The columns of the one clip of a span, as JSON has them."""
    (clip,) = span.clips
    types = offered(pipeline)
    row = {**clip_row(span, clip), **(judged(pipeline, span, clip) if {*columns} & {*VERDICT} else {})}
    return {name: pa.scalar(row[name], types[name].type).as_py() for name in columns}


def judged(pipeline: Pipeline, span: Span, clip: Clip) -> dict[str, Any]:
    """What the keep rules say of a clip on which every op has been: as in a run, the earliest to judge comes first."""
    broken = broken_rules(_as_they_judge(pipeline), lambda column: value_of(span, clip, column))
    rule, reason = broken[0] if broken else (None, None)
    verdict = Verdict.REJECTED if broken else Verdict.KEPT
    return {"verdict": verdict, "rule": rule, "rules": [name for name, _ in broken], "reason": reason}


def ops(pipeline: Pipeline) -> dict[str, Any]:
    """The ops with their parameters and columns, and the keep rules, for whoever wants to know what is served."""
    return {
        "ops": [
            {
                "name": step.name,
                "does": (step.op.__doc__ or "").strip().splitlines()[0],
                "model": isinstance(step.op, ModelOp),
                "parameters": {key: value for key, value in describe(step.op).items() if key != "_target_"},
                "when": step.when.bounds if step.when else None,
                "columns": [
                    {"name": c.name, "type": str(c.type), "unit": c.unit, "meaning": c.meaning, "source": c.source}
                    for c in step.op.writes
                ],
            }
            for step in pipeline.steps
        ],
        "rules": {name: rule.bounds for name, rule in pipeline.active_rules().items()},
    }


def schema(pipeline: Pipeline) -> dict[str, Any]:
    """JSON schema of an answer."""
    properties = {
        name: {**_schema(column.type, null=True), "description": _described(column)}
        for name, column in offered(pipeline).items()
    }
    return {"type": "object", "title": "Clip", "properties": properties, "additionalProperties": False}


def _hears_stored(pipeline: Pipeline, step: Step) -> bool:
    encoders = [place for place, other in enumerate(pipeline.steps) if isinstance(other.op, Encoder)]
    return bool(encoders) and pipeline.steps.index(step) > encoders[0]


def _as_they_judge(pipeline: Pipeline) -> Rules:
    """The rules, those over what is known before `encode` first, then those that each model in turn gives a column."""
    known_from: dict[str, int] = {}
    gate = 0
    for step in pipeline.steps:
        gate += isinstance(step.op, Encoder | ModelOp)
        known_from |= {column.name: gate for column in step.op.writes}
    rules = pipeline.active_rules()
    return dict(sorted(rules.items(), key=lambda item: known_from.get(item[1].column, 0)))


def _described(column: Column) -> str:
    return column.meaning + (f" ({column.unit})" if column.unit else "")


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_has_bytes(field.type) for field in kind)
    if _is_list(kind):
        return _has_bytes(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _schema(kind: pa.DataType, *, null: bool = False) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if pa.types.is_struct(kind):
        name, more = "object", {"properties": {field.name: _schema(field.type, null=True) for field in kind}}
    elif _is_list(kind):
        name, more = "array", {"items": _schema(kind.value_type)}
        if pa.types.is_fixed_size_list(kind):
            more |= {"minItems": kind.list_size, "maxItems": kind.list_size}
    elif pa.types.is_boolean(kind):
        name = "boolean"
    elif pa.types.is_integer(kind):
        name = "integer"
    else:
        name = "number" if pa.types.is_floating(kind) else "string"
    return {"type": [name, "null"] if null else name, **more}
