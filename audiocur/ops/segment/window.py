"""Cut by the clock."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.errors import require
from audiocur.op import Segmenter
from audiocur.records import Span


@dataclass(frozen=True, kw_only=True)
class Window(Segmenter):
    """Windows of one length at regular distances; the last may be shorter, if it has `min_s` (or is whole)."""

    length_s: float = 30.0
    hop_s: float | None = None
    min_s: float = 5.0

    def __post_init__(self) -> None:
        require(self.length_s >= 0.1, "length_s", self.length_s, "0.1 s or more")
        require(self.hop_s is None or self.hop_s >= 0.1, "hop_s", self.hop_s, "0.1 s or more, or null for length_s")
        require(self.min_s > 0, "min_s", self.min_s, "over 0 s")

    def apply(self, span: Span) -> None:
        audio = span.require_audio()
        length, least = round(self.length_s * audio.rate_hz), round(min(self.min_s, self.length_s) * audio.rate_hz)
        hop_s = self.length_s if self.hop_s is None else self.hop_s
        index = start = end = 0
        while end < span.num_samples and start + least <= span.num_samples:
            end = min(start + length, span.num_samples)
            span.cut(start, end)
            index += 1
            start = round(index * hop_s * audio.rate_hz)  # not by adding hops: they need not be whole samples
