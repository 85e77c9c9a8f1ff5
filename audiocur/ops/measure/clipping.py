"""Clipping."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.clipping import clipping
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Clipping(ClipOp):
    """Flat runs at the ceiling: the share of samples in them, and how many there are."""

    name = "clipping"

    min_run: int = 3
    tolerance_db: float = 0.01

    writes = (
        Column("clipped_ratio", pa.float32(), "ratio", "share of samples in flat runs at a channel's extremes"),
        Column("clipped_runs_per_s", pa.float32(), "1/s", "flat runs at a channel's extremes, of all channels"),
    )

    def __post_init__(self) -> None:
        require(3 <= self.min_run <= 1000, "min_run", self.min_run, "samples, 3 to 1000")
        require(0 < self.tolerance_db <= 1, "tolerance_db", self.tolerance_db, "decibels, above 0 and at most 1")

    def measure(self, clip: Clip) -> Measures:
        audio = clip.audio
        found = clipping(audio.samples, audio.levels, min_run=self.min_run, tolerance_db=self.tolerance_db)
        return {"clipped_ratio": found.ratio, "clipped_runs_per_s": found.runs_per_s}
