"""Clicks."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.clicks import clicks_per_s
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Clicks(ClipOp):
    """Single impulses that do not belong to the sound around them: scratches, bad edits, lost samples."""

    name = "clicks"

    threshold_db: float = 28.0
    alone_db: float = 14.0
    change_db: float = 3.0

    writes = (Column("clicks_per_s", pa.float32(), "1/s", "clicks a second, null under 0.06 s and under 3.5 kHz"),)

    def __post_init__(self) -> None:
        require(15 <= self.threshold_db <= 80, "threshold_db", self.threshold_db, "decibels, 15 to 80")
        require(6 <= self.alone_db <= 60, "alone_db", self.alone_db, "decibels, 6 to 60")
        require(0.5 <= self.change_db <= 20, "change_db", self.change_db, "decibels, 0.5 to 20")

    def measure(self, clip: Clip) -> Measures:
        rate = clicks_per_s(
            clip.audio.samples,
            clip.audio.rate_hz,
            threshold_db=self.threshold_db,
            alone_db=self.alone_db,
            change_db=self.change_db,
        )
        return {"clicks_per_s": rate}
