"""Which lines of a transcript are not to be believed: recognisers invent text on silence and on instruments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiocur.audio import VOICE_RATE_HZ, Samples
from audiocur.errors import require
from audiocur.lyrics.hearing import Hearing
from audiocur.lyrics.text import loops, words_of
from audiocur.lyrics.transcript import Segment

#: Level of digital silence, dBFS.
_SILENT_DB = -200.0


@dataclass(frozen=True, kw_only=True)
class Gated(Hearing):
    """What all ops that listen for lyrics do with lines that they had better not believe.

    Each gate is off where its parameter is null. The defaults are Whisper's own where it has one (Radford et al. 2022,
    section 4.5): compression ratio, log-probability with probability of no speech.
    """

    min_voiced_ratio: float | None = 0.2
    min_level_dbfs: float | None = -60.0
    min_level_db: float | None = -40.0
    max_repeats: int | None = 8
    max_compression_ratio: float | None = 2.4
    min_logprob: float | None = -1.0
    max_no_speech_prob: float | None = 0.6
    min_confidence: float | None = None

    def __post_init__(self) -> None:
        ranges = {
            "min_voiced_ratio": (0.0, 1.0, "a ratio, 0 to 1, or null"),
            "min_level_dbfs": (-200.0, 0.0, "dBFS, -200 to 0, or null"),
            "min_level_db": (-200.0, 0.0, "decibels under the clip's level, -200 to 0, or null"),
            "max_repeats": (1, 1000, "a number of times, 1 to 1000, or null"),
            "max_compression_ratio": (1.0, 100.0, "a ratio, 1 to 100, or null"),
            "min_logprob": (-100.0, 0.0, "a log-probability, -100 to 0, or null"),
            "max_no_speech_prob": (0.0, 1.0, "a probability, 0 to 1, or null"),
            "min_confidence": (0.0, 1.0, "a probability, 0 to 1, or null"),
        }
        for key, (least, most, expectation) in ranges.items():
            value = getattr(self, key)
            require(value is None or least <= value <= most, key, value, expectation)

    def withheld(
        self, segments: Sequence[Segment], mono_16k: Samples, voiced: Sequence[Mapping[str, Any]] | None
    ) -> list[str | None]:
        """Why each line is not to be believed, None for those that are.

        Args:
            segments: as heard.
            mono_16k: what was heard, shape (samples,).
            voiced: its intervals with voice, ``{"start_s", "end_s"}``; null where nobody has looked.
        """
        clip_db = level_db(mono_16k)
        looped = in_loop(segments, self.max_repeats) if self.max_repeats else [False] * len(segments)
        return [
            self._reason(segment, in_a_loop, mono_16k, clip_db, voiced)
            for segment, in_a_loop in zip(segments, looped, strict=True)
        ]

    def _reason(
        self,
        segment: Segment,
        looped: bool,
        mono_16k: Samples,
        clip_db: float,
        voiced: Sequence[Mapping[str, Any]] | None,
    ) -> str | None:
        start, end = (max(0, round(s * VOICE_RATE_HZ)) for s in (segment.start_s, segment.end_s))
        heard_db = level_db(mono_16k[start:end])
        if (
            self.min_voiced_ratio is not None
            and voiced is not None
            and voiced_ratio(segment, voiced) < self.min_voiced_ratio
        ):
            return "no voice"
        if (self.min_level_dbfs is not None and heard_db < self.min_level_dbfs) or (
            self.min_level_db is not None and heard_db < clip_db + self.min_level_db
        ):
            return "too quiet"
        if looped:
            return "repeats itself"
        if (
            self.max_compression_ratio is not None
            and segment.compression_ratio is not None
            and segment.compression_ratio > self.max_compression_ratio
        ):
            return "repeats itself"
        unsure = self.min_logprob is not None and segment.logprob < self.min_logprob
        silent = (
            self.max_no_speech_prob is not None
            and segment.no_speech_prob is not None
            and segment.no_speech_prob > self.max_no_speech_prob
        )
        if unsure and silent:
            return "probably no speech"
        return "unsure" if self.min_confidence is not None and math.exp(segment.logprob) < self.min_confidence else None


def voiced_ratio(segment: Segment, voiced: Sequence[Mapping[str, Any]]) -> float:
    """Share of a line that lies in the intervals with voice; for a line without length, 1 inside one and 0 outside.

    >>> line = Segment(start_s=1.0, end_s=3.0, text="hey", logprob=0.0, tokens=1)
    >>> voiced_ratio(line, [{"start_s": 0.0, "end_s": 1.5}, {"start_s": 2.5, "end_s": 9.0}])
    0.5
    """
    if segment.end_s <= segment.start_s:
        return float(any(part["start_s"] <= segment.start_s <= part["end_s"] for part in voiced))
    overlap = sum(max(0.0, min(segment.end_s, p["end_s"]) - max(segment.start_s, p["start_s"])) for p in voiced)
    return float(min(1.0, overlap / (segment.end_s - segment.start_s)))


def level_db(mono: Samples) -> float:
    """Mean level, dBFS (a square wave of full scale has 0); -200 for silence and for nothing at all.

    >>> level_db(np.full(100, 0.1, np.float32))
    -20.0
    """
    if not mono.size:
        return _SILENT_DB
    power = float(np.square(mono, dtype=np.float64).mean())
    return max(_SILENT_DB, round(10 * float(np.log10(power)), 6)) if power > 0 else _SILENT_DB


def in_loop(segments: Sequence[Segment], max_repeats: int) -> list[bool]:
    """Whether each line is part of a phrase that follows itself more than `max_repeats` times, over all lines.

    >>> lines = [Segment(start_s=i, end_s=i + 1, text="Thank you.", logprob=0.0, tokens=2) for i in range(4)]
    >>> in_loop(lines, 3), in_loop(lines, 4)
    ([True, True, True, True], [False, False, False, False])
    """
    words = [words_of(segment.text) for segment in segments]
    owner = [at for at, line in enumerate(words) for _ in line]
    stretches = loops([word for line in words for word in line], max_repeats=max_repeats)
    looped = {owner[at] for start, end in stretches for at in range(start, end)}
    return [at in looped for at in range(len(segments))]
