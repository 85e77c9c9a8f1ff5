"""What several tests share: small ops with known answers, planned spans, and real audio where there is some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from audiocur.audio import Audio
from audiocur.errors import RowError
from audiocur.op import ClipOp, Column, Decoder, Device, Encoder, ModelOp, Segmenter
from audiocur.records import Clip, Source, Span, Stored


@pytest.fixture(scope="session")
def real_audio() -> Path:
    """The folder of real recordings that AUDIOCUR_REAL_AUDIO names."""
    named = os.environ.get("AUDIOCUR_REAL_AUDIO")
    if not named:
        pytest.skip("AUDIOCUR_REAL_AUDIO names no folder of real recordings")
    return Path(named)


@dataclass(frozen=True, kw_only=True)
class Tone(Decoder):
    """A decoder that needs no file: spans of 10 s of a tone at 1 kHz, `spans` of them."""

    span_s: float = 10.0
    spans: int = 1

    def apply(self, span: Span) -> None:
        if "undecodable" in span.source.uri:
            raise RowError("not audio")
        span.rate_hz, span.channels, span.expected_spans = 1000, 1, self.spans
        span.start_sample = span.index * 10_000
        if span.index >= self.spans:
            span.last = True
            return
        span.num_samples, span.last = 10_000, span.index == self.spans - 1
        span.audio = Audio(np.full((1, 10_000), 0.1 * (span.index + 1), np.float32), 1000)


@dataclass(frozen=True, kw_only=True)
class Halves(Segmenter):
    """Two clips a span."""

    def apply(self, span: Span) -> None:
        span.cut(0, span.num_samples // 2)
        span.cut(span.num_samples // 2, span.num_samples)


@dataclass(frozen=True, kw_only=True)
class Start(ClipOp):
    """Writes the clip's start; `raises` and `wrong` misbehave on the clips that start there."""

    name = "start"
    writes = (Column("measured_start_s", pa.float64(), "s", "start"),)
    raises_at_s: float | None = None
    unusable_at_s: float | None = None
    undeclared_at_s: float | None = None
    infinite_at_s: float | None = None

    def measure(self, clip: Clip) -> dict[str, Any]:
        if clip.start_s == self.raises_at_s:
            raise ZeroDivisionError("a bug")
        if clip.start_s == self.unusable_at_s:
            raise RowError("unusable")
        if clip.start_s == self.undeclared_at_s:
            return {"something_else": 1}
        return {"measured_start_s": float("inf") if clip.start_s == self.infinite_at_s else clip.start_s}


@dataclass(frozen=True, kw_only=True)
class Raw(Encoder):
    """Stores the samples as they are."""

    def measure(self, clip: Clip) -> dict[str, Any]:
        audio = clip.audio
        clip.store(Stored(audio.samples.tobytes(), "raw", audio.rate_hz, audio.channels, audio.num_samples))
        return {}


@dataclass(frozen=True, kw_only=True)
class Counting(ModelOp):
    """A model that says how many clips it was given at once; `raises_at_s` spoils the batch that holds that clip."""

    name = "counting"
    writes = (Column("batch", pa.int32(), "clips", "clips in the batch"), Column("model", pa.string(), "", "its name"))
    raises_at_s: float | None = None

    def load(self, device: Device) -> str:
        return "loaded"

    def prepare(self, clip: Clip) -> None:
        """It hears nothing."""

    def measure_batch(self, clips: Sequence[Clip], model: str) -> list[dict[str, Any]]:
        if any(clip.start_s == self.raises_at_s for clip in clips):
            raise MemoryError("too much")
        return [{"batch": len(clips), "model": model} for _ in clips]


class Ops:
    """The small ops, for tests to build pipelines from."""

    Tone, Halves, Start, Raw, Counting = Tone, Halves, Start, Raw, Counting


@pytest.fixture
def ops() -> type[Ops]:
    return Ops


@pytest.fixture
def make_spans():
    """Planned spans of `count` sources, one each."""

    def make(count: int = 1, uri: str = "song {}.wav", **fields: Any) -> list[Span]:
        return [
            Span(source=Source(source_id=f"{i:016x}", uri=uri.format(i), path=b"", size=1000, mtime_ns=1), **fields)
            for i in range(count)
        ]

    return make
