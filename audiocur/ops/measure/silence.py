"""Silence."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.silence import silence_ratio
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Silence(ClipOp):
    """Share of a clip that is too quiet to hear."""

    name = "silence"

    threshold_dbfs: float = -60.0
    frame_s: float = 0.02

    writes = (Column("silence_ratio", pa.float32(), "ratio", "share of the clip in frames under the threshold"),)

    def __post_init__(self) -> None:
        require(-120 <= self.threshold_dbfs < 0, "threshold_dbfs", self.threshold_dbfs, "dBFS RMS, -120 to 0")
        require(0.01 <= self.frame_s <= 0.05, "frame_s", self.frame_s, "seconds, 0.01 to 0.05")

    def measure(self, clip: Clip) -> Measures:
        audio = clip.audio
        ratio = silence_ratio(audio.samples, audio.rate_hz, threshold_dbfs=self.threshold_dbfs, frame_s=self.frame_s)
        return {"silence_ratio": ratio}
