"""Cut out what is spoken or sung."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.dsp.cutting import quiet_clips
from audiocur.errors import require
from audiocur.op import Segmenter
from audiocur.records import Span


@dataclass(frozen=True, kw_only=True)
class Voiced(Segmenter):
    """Voiced regions as clips: joined over short gaps, split at quiet points if too long, left out if too short."""

    reads = ("voiced",)

    min_s: float = 1.0
    max_s: float = 30.0
    max_gap_s: float = 0.5
    pad_s: float = 0.1

    def __post_init__(self) -> None:
        require(self.min_s >= 0.1, "min_s", self.min_s, "0.1 s or more")
        require(self.max_s >= 2 * self.min_s, "max_s", self.max_s, f"at least twice min_s, {2 * self.min_s:g} s")
        require(self.max_gap_s >= 0, "max_gap_s", self.max_gap_s, "0 s or more")
        limit_s = self.max_gap_s / 2  # more would make neighbours overlap
        require(0 <= self.pad_s <= limit_s, "pad_s", self.pad_s, f"0 s to half of max_gap_s, {limit_s:g} s")

    def apply(self, span: Span) -> None:
        audio = span.require_audio()
        voiced: list[tuple[float, float]] = span.annotations["voiced"]
        for phrases in joined(voiced, self.max_gap_s):
            start = max(0, round((phrases[0][0] - self.pad_s) * audio.rate_hz))
            end = min(round((phrases[-1][1] + self.pad_s) * audio.rate_hz), span.num_samples)
            inner = [(a - start / audio.rate_hz, b - start / audio.rate_hz) for a, b in phrases]
            region = audio.samples[:, start:end]
            for a, b in quiet_clips(region, audio.rate_hz, inner, min_s=self.min_s, max_s=self.max_s):
                span.cut(start + a, start + b)


def joined(intervals: list[tuple[float, float]], max_gap_s: float) -> list[list[tuple[float, float]]]:
    """The intervals in groups between which lie more than `max_gap_s`.

    >>> joined([(0.0, 1.0), (1.4, 2.0), (3.0, 4.0)], 0.5)
    [[(0.0, 1.0), (1.4, 2.0)], [(3.0, 4.0)]]
    """
    groups: list[list[tuple[float, float]]] = []
    for start, end in intervals:
        if groups and start - groups[-1][-1][1] <= max_gap_s:
            groups[-1].append((start, end))
        else:
            groups.append([(start, end)])
    return groups
