"""The contract of an operator.

An operator is a frozen dataclass: its fields are its parameters (scalars, enums or lists of scalars, with defaults,
checked in ``__post_init__``), its class attributes declare what it reads and writes. It knows nothing of Ray, of files
on disk or of other operators. Three kinds suffice:

``SpanOp``
    works on a span: `Decoder` opens it, `Segmenter` cuts clips from it, others annotate it.
``ClipOp``
    hears one clip and returns its measures.
``ModelOp``
    loads a model once a worker and measures clips in batches.

Whatever an operator raises costs one span or one clip. `RowError` says that the recording is unusable; anything else
is counted as a bug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from audiocur.records import Clip, Span

if TYPE_CHECKING:
    from audiocur.pipeline import Pipeline

Measures = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column an op writes.

    Attributes:
        name: with its unit at the end, where it has one.
        type: Arrow's.
        unit: "" where it has none.
        meaning: in a few words, with when it is null.
        source: the standard or paper that defines it, "" where it is our own.
    """

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    source: str = ""


class Op:
    """Base of all operators.

    Class attributes:
        name: its key in a recipe.
        reads: columns that ops before it must write.
        writes: columns it adds to every clip; a measure that is undefined is None, never a sentinel.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[Column, ...]] = ()

    def __rshift__(self, other: Op | Pipeline) -> Pipeline:
        from audiocur.pipeline import Pipeline

        return Pipeline.of(self) >> other


class SpanOp(Op):
    """An operator on spans."""

    def apply(self, span: Span) -> None:
        """Annotate or change the span in place."""
        raise NotImplementedError

    def measure(self, span: Span, clip: Clip) -> Measures:
        """The columns it writes, for one clip of a span that it has been applied to."""
        return {}


class Decoder(SpanOp):
    """Fills in the span's audio; the first op of every pipeline.

    Attributes:
        span_s: the longest span it makes.
        span_mb: the largest, in MB of samples; null where nobody can tell.
        timeout_s: how long one span may take, with all that is done to it in the same stage; null for ever.
    """

    name = "decode"
    span_s: float
    span_mb: int | None = None
    timeout_s: float | None = None


class Segmenter(SpanOp):
    """Cuts the span into clips with `Span.cut`; one in a pipeline.

    Class attributes:
        whole: a clip may be as long as its span, and takes as much memory.
    """

    name = "segment"
    whole: ClassVar[bool] = False


class ClipOp(Op):
    """An operator on single clips."""

    def measure(self, clip: Clip) -> Measures:
        """The columns it writes, for one clip."""
        raise NotImplementedError


class Encoder(ClipOp):
    """Stores the clip's audio with `Clip.store`. Keep rules apply before it; ops after it hear the stored bytes."""

    name = "encode"


class ModelOp(Op):
    """An operator with a model: loaded once a worker, fed with batches of clips."""

    def load(self) -> Any:
        """Load the model; called once in each worker."""
        raise NotImplementedError

    def measure_batch(self, clips: Sequence[Clip], model: Any) -> Sequence[Measures]:
        """The columns it writes, for each clip in turn."""
        raise NotImplementedError
