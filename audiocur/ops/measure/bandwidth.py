"""Effective bandwidth."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.bandwidth import bandwidth_hz
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Bandwidth(ClipOp):
    """Highest frequency with content."""

    name = "bandwidth"

    floor_dbfs: float = -115.0
    range_db: float = 90.0
    percentile: float = 90.0

    writes = (
        Column("bandwidth_hz", pa.float32(), "Hz", "highest frequency with content, null for silence, under 0.1 s"),
    )

    def __post_init__(self) -> None:
        require(-200 <= self.floor_dbfs <= -40, "floor_dbfs", self.floor_dbfs, "dBFS of a bin, -200 to -40")
        require(20 <= self.range_db <= 160, "range_db", self.range_db, "decibels, 20 to 160")
        require(0 <= self.percentile <= 100, "percentile", self.percentile, "percent, 0 to 100")

    def measure(self, clip: Clip) -> Measures:
        highest = bandwidth_hz(
            clip.audio.spectrogram, floor_dbfs=self.floor_dbfs, range_db=self.range_db, percentile=self.percentile
        )
        return {"bandwidth_hz": highest}
