"""Silence."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.silence import silence
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Silence(ClipOp):
    """How much of a clip is too quiet to hear, in all and at its ends."""

    name = "silence"

    threshold_dbfs: float = -60.0

    writes = (
        Column("silence_ratio", pa.float32(), "ratio", "share of the clip in frames under the threshold"),
        Column("leading_silence_s", pa.float32(), "s", "silence at the start, the clip's length where all is silent"),
        Column("trailing_silence_s", pa.float32(), "s", "silence at the end, the clip's length where all is silent"),
    )

    def __post_init__(self) -> None:
        require(-120 <= self.threshold_dbfs < 0, "threshold_dbfs", self.threshold_dbfs, "dBFS RMS, -120 to 0")

    def measure(self, clip: Clip) -> Measures:
        found = silence(clip.audio.levels, threshold_dbfs=self.threshold_dbfs)
        return {
            "silence_ratio": found.ratio,
            "leading_silence_s": found.leading_s,
            "trailing_silence_s": found.trailing_s,
        }
