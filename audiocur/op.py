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

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from audiocur.records import Clip, Span

if TYPE_CHECKING:
    from audiocur.checkpoints import Checkpoint
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


class OnError(StrEnum):
    """What an error of an op makes of its clip."""

    fail = "fail"
    null = "null"  # its columns are null, which is counted, and the clip goes on


class Op:
    """Base of all operators.

    Class attributes:
        name: its key in a recipe.
        reads: columns that ops before it must write.
        writes: columns it adds to every clip; a measure that is undefined is None, never a sentinel.
        remote: it asks somebody else, who may want money for it: never in a trial.
        advice: what the summary is to tell whoever chose it, "" for nothing.
        takes, makes: names of `Clip.features` that ops before it must make, and that it makes for others. What it takes
            may depend on its parameters, as a property.

    Attributes:
        on_error: an op that hangs on others (a service, say) makes a parameter of it.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[Column, ...]] = ()
    remote: ClassVar[bool] = False
    advice: ClassVar[str] = ""
    makes: ClassVar[tuple[str, ...]] = ()
    on_error: OnError = OnError.fail

    @property
    def takes(self) -> tuple[str, ...]:
        """See above."""
        return ()

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


@dataclass(frozen=True)
class Device:
    """Where a model runs, as the op's placement has it.

    Attributes:
        kind: "cpu" or "cuda".
        threads: how many it may use of the CPU.
    """

    kind: str = "cpu"
    threads: int = 1


class Dtype(StrEnum):
    """What a model computes in, as a parameter of its op."""

    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"

    def on(self, device: Device) -> str:
        """The name of a type of torch's; `auto` is half precision on a GPU alone.

        >>> Dtype.auto.on(Device("cuda")), Dtype.auto.on(Device("cpu")), Dtype.bfloat16.on(Device("cpu"))
        ('float16', 'float32', 'bfloat16')
        """
        if self is not Dtype.auto:
            return self.value
        return "float16" if device.kind == "cuda" else "float32"


class ModelOp(Op):
    """An operator with a model: loaded once a worker, fed with batches of clips.

    The clips of a batch are of about the same length, and come longest first. A batch that runs out of memory is
    halved and tried again; one that fails otherwise is tried again clip by clip, so that each answers for itself.

    Class attributes:
        window_s: a model that hears windows of fixed length, whatever the clip's, names it; None where a clip is padded
            to the longest of its batch.
        rtol: how much its numbers may differ, relatively, between batches of other shapes; texts must not.
    """

    window_s: ClassVar[float | None] = None
    rtol: ClassVar[float] = 1e-3

    def checkpoints(self) -> Sequence[Checkpoint]:
        """The files its model is loaded from, which must be there before any work begins."""
        return ()

    def load(self, device: Device) -> Any:
        """Load the model; called once in each worker."""
        raise NotImplementedError

    def prepare(self, clip: Clip) -> None:
        """What of the work needs no model, done in a thread while the model is at the batch before: to decode.

        Whatever it makes must stay with the clip's audio, as a view of it does (``clip.audio.mono_16k``).
        """
        _ = clip.audio

    def measure_batch(self, clips: Sequence[Clip], model: Any) -> Sequence[Measures]:
        """The columns it writes, for each clip in turn."""
        raise NotImplementedError

    def computed_s(self, longest_s: float, clips: int) -> float:
        """Seconds of audio that the model works through for a batch, padding included."""
        if self.window_s is None:
            return longest_s * clips
        return math.ceil(longest_s / self.window_s) * self.window_s * clips
