"""Cut at quiet points and through no phrase."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.dsp.cutting import quiet_clips
from audiocur.errors import require
from audiocur.op import Segmenter
from audiocur.records import Span


@dataclass(frozen=True, kw_only=True)
class Phrase(Segmenter):
    """Tile a span with clips cut at quiet points, and through no voiced phrase that fits into one clip."""

    reads = ("voiced",)

    min_s: float = 5.0
    max_s: float = 30.0

    def __post_init__(self) -> None:
        require(self.min_s >= 0.1, "min_s", self.min_s, "0.1 s or more")
        # Only then can clips tile whatever is long enough: 9.5 s are neither one clip of 5 to 9 s nor two.
        require(self.max_s >= 2 * self.min_s, "max_s", self.max_s, f"at least twice min_s, {2 * self.min_s:g} s")

    def apply(self, span: Span) -> None:
        audio = span.require_audio()
        voiced = span.annotations["voiced"]
        for start, end in quiet_clips(audio.samples, audio.rate_hz, voiced, min_s=self.min_s, max_s=self.max_s):
            span.cut(start, end)
