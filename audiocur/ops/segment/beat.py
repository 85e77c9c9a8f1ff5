"""Cut on downbeats, in whole bars."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.dsp.barlines import bar_clips, bar_lines
from audiocur.dsp.cutting import quiet_clips
from audiocur.errors import require
from audiocur.op import Segmenter
from audiocur.records import Span


@dataclass(frozen=True, kw_only=True)
class Beat(Segmenter):
    """Tile a span with clips of whole bars, cut just before downbeats, and at quiet points where there is no pulse."""

    min_s: float = 5.0
    max_s: float = 30.0
    bars: int = 4

    def __post_init__(self) -> None:
        require(self.min_s >= 0.1, "min_s", self.min_s, "0.1 s or more")
        require(self.max_s >= 2 * self.min_s, "max_s", self.max_s, f"at least twice min_s, {2 * self.min_s:g} s")
        require(1 <= self.bars <= 64, "bars", self.bars, "1 to 64")

    def apply(self, span: Span) -> None:
        if not span.num_samples:
            return
        audio = span.require_audio()
        samples, rate_hz, limits = audio.samples, audio.rate_hz, {"min_s": self.min_s, "max_s": self.max_s}
        runs = bar_lines(audio)
        if runs:
            clips = bar_clips(samples, rate_hz, runs, bars=self.bars, **limits)
        else:  # no pulse
            clips = quiet_clips(samples, rate_hz, [], **limits)
        for start, end in clips:
            span.cut(start, end)
