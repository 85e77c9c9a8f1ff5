"""Opens a span of a recording."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from typing import ClassVar

import numpy as np

from audiocur.audio import Audio, Samples
from audiocur.decoding.fetched import FetchedFile
from audiocur.decoding.header import Header, Limits
from audiocur.decoding.recording import Recording, open_file
from audiocur.errors import RowError, require
from audiocur.op import Decoder
from audiocur.records import Source, Span
from audiocur.storage.objects import Facts


class Truncated(StrEnum):
    """What to do with a recording whose data ends before the length its header promises."""

    FAIL = "fail"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Decode(Decoder):
    """Decodes a span of a recording, exact to the sample."""

    name: ClassVar[str] = "decode"

    span_s: float = 600.0
    span_mb: int = 256
    min_rate_hz: int = 4_000
    max_rate_hz: int = 768_000
    max_channels: int = 8
    truncated: Truncated = Truncated.FAIL
    timeout_s: float | None = 600.0

    def __post_init__(self) -> None:
        require(self.span_s >= 1, "span_s", self.span_s, "at least 1 s")
        require(self.span_mb >= 1, "span_mb", self.span_mb, "at least 1 MB")
        require(self.min_rate_hz >= 1, "min_rate_hz", self.min_rate_hz, "at least 1 Hz")
        require(self.max_rate_hz >= self.min_rate_hz, "max_rate_hz", self.max_rate_hz, "at least min_rate_hz")
        require(self.max_channels >= 1, "max_channels", self.max_channels, "at least 1")
        good = self.timeout_s is None or self.timeout_s > 0
        require(good, "timeout_s", self.timeout_s, "seconds above 0, or null to wait for ever")
        require(self.truncated in tuple(Truncated), "truncated", self.truncated, f"one of {', '.join(Truncated)}")

    def span_samples(self, header: Header) -> int:
        """How many samples a span of such a recording holds: the header alone decides."""
        in_memory = self.span_mb * 1_000_000 // (header.channels * 4)
        return max(1, min(round(self.span_s * header.rate_hz), in_memory))

    def apply(self, span: Span) -> None:
        if span.source.problem is not None:
            raise RowError(span.source.problem)
        limits = Limits(min_rate_hz=self.min_rate_hz, max_rate_hz=self.max_rate_hz, max_channels=self.max_channels)
        with open_file(span.source.path) as file:
            _require_unchanged(file, span.source)
            if span.index == 0:
                span.content_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            with Recording(file, limits) as recording:
                self._decode(span, recording)

    def _decode(self, span: Span, recording: Recording) -> None:
        header = recording.header
        length = self.span_samples(header)
        span.rate_hz, span.channels, span.start_sample = header.rate_hz, header.channels, span.index * length
        span.expected_spans = _num_spans(header.num_samples, length)
        samples, span.last = recording.read(span.start_sample, length)
        span.num_samples = samples.shape[1]
        if span.last and span.start_sample + samples.shape[1] == 0:
            raise RowError("holds no audio samples")
        if span.last and samples.size and self.truncated == Truncated.FAIL:
            header.require_whole(span.start_sample + samples.shape[1])
        if span.index == 0 and not span.last and header.num_samples is None:
            span.expected_spans = _num_spans(recording.count_samples(), length)
        if samples.size:
            samples, span.gain_db = _within_full_scale(samples)
            span.audio = Audio(samples, header.rate_hz)


def _num_spans(num_samples: int | None, span_samples: int) -> int:
    return max(1, -(-(num_samples or 0) // span_samples))


def _require_unchanged(file: BufferedReader, source: Source) -> None:
    status = os.fstat(file.fileno())
    same_size = source.size is None or source.size == status.st_size
    facts = file.facts if isinstance(file, FetchedFile) else Facts(status.st_size, status.st_mtime_ns)
    if not same_size or source.mtime_ns not in (None, facts.mtime_ns) or source.etag not in (None, facts.etag):
        raise RowError("changed while the run was going on")


def _within_full_scale(samples: Samples) -> tuple[Samples, float]:
    """Scale down what lossy decoders and float files bring beyond full scale; clipping it would be damage."""
    peak = max(samples.max(), -samples.min())
    if not np.isfinite(peak):
        raise RowError("contains NaN or infinite samples")
    if peak <= 1:
        return samples, 0.0
    samples /= peak
    # As the ledger will hold it: a rule over it judges the same now and later.
    return samples, float(np.float32(-20 * math.log10(peak)))
