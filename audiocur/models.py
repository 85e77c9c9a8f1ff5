"""Model ops in a worker: the model loaded once, clips in batches, the next batch made ready while it works."""

from __future__ import annotations

import gc
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from audiocur.batching import batches
from audiocur.errors import AudiocurError, RunError
from audiocur.guard import write
from audiocur.op import Device, Measures, ModelOp
from audiocur.pipeline import Step
from audiocur.placement import Placement
from audiocur.records import Clip, Span
from audiocur.usage import Usage

_loaded: dict[tuple[str, Device, tuple[Any, ...]], Any] = {}
#: How many clips memory has held of a batch that had run out of it, by op, for the batches to come.
_fitting: dict[str, int] = {}

Pair = tuple[Span, Clip]


class Model(ABC):
    """What measures batches of clips, here or elsewhere."""

    def prepare(self, clip: Clip) -> None:  # noqa: B027 - nothing to do where the clip is heard elsewhere
        """Whatever can be done before its batch is."""

    @abstractmethod
    def measure(self, clips: Sequence[Clip]) -> Sequence[Measures]:
        """The columns of each clip in turn."""


#: By the name of the step, models that are not in this process.
Served = Mapping[str, Model]


@dataclass(frozen=True)
class LocalModel(Model):
    """A model in this process."""

    op: ModelOp
    loaded: Any

    def prepare(self, clip: Clip) -> None:
        self.op.prepare(clip)

    def measure(self, clips: Sequence[Clip]) -> Sequence[Measures]:
        return self.op.measure_batch(clips, self.loaded)


def local_model(step: Step, placement: Placement) -> LocalModel:
    """The model of a step, loaded when it is first asked for in this process.

    Raises:
        RunError: it cannot be loaded.
    """
    op = step.op
    if not isinstance(op, ModelOp):
        raise TypeError(f"{step.name} has no model")
    device = Device("cuda" if placement.gpus else "cpu", placement.threads)
    stamps = tuple(checkpoint.stamp() for checkpoint in op.checkpoints())
    key = (f"{type(op).__module__}.{op!r}", device, stamps)
    if key not in _loaded:
        try:
            _loaded[key] = op.load(device)
        except AudiocurError as error:
            raise RunError(f"{step.name}: its model cannot be loaded: {error}") from error
        except Exception as error:
            raise RunError(f"{step.name}: its model cannot be loaded: {type(error).__name__}: {error}") from error
    return LocalModel(op, _loaded[key])


def run_model(step: Step, pairs: Sequence[Pair], placement: Placement, served: Served) -> None:
    """Measure the clips of all spans of a block with one model.

    Args:
        step: whose op is a model.
        pairs: each open clip with its span.
        placement: how many at once, and on what.
        served: models that are elsewhere.
    """
    op = step.op
    if not isinstance(op, ModelOp) or not pairs:
        return
    model = served[step.name] if step.name in served else local_model(step, placement)
    usage = pairs[0][0].usage.setdefault(step.name, Usage())
    lengths_s, fixed = [clip.duration_s for _, clip in pairs], op.window_s is not None
    places = batches(lengths_s, op.computed_s, max_clips=placement.batch_clips, max_s=placement.batch_s, fixed=fixed)
    left = [[pairs[i] for i in batch] for batch in places]
    most = min(placement.batch_clips, _fitting.get(repr(op), placement.batch_clips))
    with ThreadPoolExecutor(1, "prepare") as thread:
        ready = thread.submit(_prepared, left[0], model)
        while left:
            batch, problems = left.pop(0), ready.result()
            if left:
                ready = thread.submit(_prepared, left[0], model)
            for (span, clip), problem in zip(batch, problems, strict=True):
                if problem is not None:
                    write(span, clip, step, partial(_raise, problem))
                    clip.release()
            sound = [pair for pair, problem in zip(batch, problems, strict=True) if problem is None]
            while sound:
                some, sound = sound[:most], sound[most:]
                if _run_batch(step, some, model, op, placement, usage):
                    most = _fitting[repr(op)] = max(1, len(some) // 2)


def _prepared(batch: Sequence[Pair], model: Model) -> list[Exception | None]:
    """In the other thread: what went wrong with each clip, if anything."""
    problems: list[Exception | None] = []
    for _, clip in batch:
        try:
            model.prepare(clip)
            problems.append(None)
        except Exception as error:
            problems.append(error)
    return problems


def _run_batch(
    step: Step, batch: Sequence[Pair], model: Model, op: ModelOp, placement: Placement, usage: Usage
) -> bool:
    """Measure one batch; returns whether memory ran out."""
    began, halvings = time.monotonic(), usage.halvings
    results = _measured([clip for _, clip in batch], model, usage)
    usage.busy_s += time.monotonic() - began
    for (span, clip), result in zip(batch, results, strict=True):
        write(span, clip, step, result)
        clip.release()
    usage.clips += len(batch)
    usage.batches += 1
    longest_s = max(clip.duration_s for _, clip in batch)
    by_length = int(placement.batch_s // (op.computed_s(longest_s, 1) or placement.batch_s))
    usage.room += max(len(batch), min(placement.batch_clips, by_length))
    usage.heard_s += sum(clip.duration_s for _, clip in batch)
    usage.computed_s += op.computed_s(longest_s, len(batch))
    return usage.halvings > halvings


def _measured(clips: Sequence[Clip], model: Model, usage: Usage) -> list[Callable[[], Measures]]:
    """For each clip, what gives its measures or raises its error."""
    try:
        results = list(model.measure(clips))
        if len(results) != len(clips):
            raise ValueError(f"{len(results)} results for {len(clips)} clips")
        return [partial(dict, result) for result in results]
    except Exception as error:
        if isinstance(error, RunError):
            raise  # no clip's fault
        memory = out_of_memory(error)
        # Its traceback holds whatever the model had in its hands.
        alone = error.with_traceback(None)
        alone.__context__ = alone.__cause__ = None
    if len(clips) == 1:
        if memory:
            _free_memory()
        return [partial(_raise, alone)]
    if not memory:
        # One clip of the batch may be at fault: alone, each answers for itself.
        return [result for clip in clips for result in _measured([clip], model, usage)]
    usage.halvings += 1
    _free_memory()
    half = len(clips) // 2
    return _measured(clips[:half], model, usage) + _measured(clips[half:], model, usage)


def out_of_memory(error: Exception) -> bool:
    """Whether a batch was too large, as torch, onnxruntime, CTranslate2 and Python say it."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "out of memory" in str(error).lower()


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _raise(error: Exception) -> Measures:
    raise error
