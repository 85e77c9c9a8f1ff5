"""The one guard round every op call: an error costs one span or one clip, and no other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from audiocur.errors import RowError
from audiocur.op import ClipOp, Measures, ModelOp, OnError, Op
from audiocur.pipeline import Step
from audiocur.records import Clip, Span


def guarded(row: Span | Clip, name: str, call: Callable[[], None]) -> None:
    """Call, and close the row as failed if that raises."""
    try:
        call()
    except Exception as error:
        reason, unexpected = explained(error)
        row.fail(name, reason, unexpected=unexpected)


def explained(error: Exception) -> tuple[str, bool]:
    """An error for a person to read, and whether it is a bug rather than the recording's fault."""
    if isinstance(error, RowError):
        return str(error), False
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}", False
    return f"{type(error).__name__}: {error}", True


def write(span: Span, clip: Clip, step: Step, measure: Callable[[], Measures]) -> None:
    """Take an op's measures of a clip into its row."""
    span.tried[step.name] += isinstance(step.op, ClipOp | ModelOp)
    try:
        measures = checked(step.op, measure())
    except Exception as error:
        reason, unexpected = explained(error)
        if step.op.on_error is OnError.fail:
            clip.fail(step.name, reason, unexpected=unexpected)
            return
        measures = nulls(step.op)
        clip.reason = f"{step.name} left null: {reason}"
        span.null(step.name, reason)
    clip.measures.update(measures)


def nulls(op: Op) -> dict[str, Any]:
    """The columns of an op that had nothing to say."""
    return {column.name: None for column in op.writes}


def checked(op: Op, measures: Measures) -> Measures:
    """What an op wrote, as it will be stored, if it is what it declared: an error here must not wait for the commit.

    Rules judge the value that the ledger will hold, rounded to the type of its column: so who judges the ledger again
    comes to the same verdict.
    """
    if measures.keys() != {column.name for column in op.writes}:
        raise TypeError(f"wrote {sorted(measures)}, declared {sorted(column.name for column in op.writes)}")
    stored = {column.name: pa.scalar(measures[column.name], column.type).as_py() for column in op.writes}
    for name, value in stored.items():
        if not _finite(value):
            raise ValueError(f"{name} is not finite; an undefined measure is None")
    return stored


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_finite, within))
