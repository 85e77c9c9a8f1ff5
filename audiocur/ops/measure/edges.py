"""Edges."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.edges import edges
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Edges(ClipOp):
    """Whether a clip begins or ends in the middle of a sound."""

    name = "edges"

    within_db: float = 20.0
    silence_dbfs: float = -60.0

    writes = (
        Column("abrupt_start", pa.bool_(), "", "whether it begins in mid-sound, null for silence and under 0.1 s"),
        Column("abrupt_end", pa.bool_(), "", "whether it ends in mid-sound, null for silence and under 0.1 s"),
    )

    def __post_init__(self) -> None:
        require(0 < self.within_db <= 60, "within_db", self.within_db, "decibels, above 0 and at most 60")
        require(-120 <= self.silence_dbfs < 0, "silence_dbfs", self.silence_dbfs, "dBFS RMS, -120 to 0")

    def measure(self, clip: Clip) -> Measures:
        audio = clip.audio
        found = edges(audio.samples, audio.levels, within_db=self.within_db, silence_dbfs=self.silence_dbfs)
        return {"abrupt_start": found.abrupt_start, "abrupt_end": found.abrupt_end}
