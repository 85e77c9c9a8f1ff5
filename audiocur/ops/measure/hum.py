"""Mains hum."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.hum import hum
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Hum(ClipOp):
    """Whether mains hum lies under the clip, of which grid, and how strong it is."""

    name = "hum"

    min_db: float = -50.0

    writes = (
        Column("hum_hz", pa.float32(), "Hz", "frequency of the grid, 50 or 60, null without hum and under 4 s"),
        Column("hum_db", pa.float32(), "dB", "level of the hum over the clip's, null with hum_hz"),
    )

    def __post_init__(self) -> None:
        require(-100 <= self.min_db <= 0, "min_db", self.min_db, "decibels, -100 to 0")

    def measure(self, clip: Clip) -> Measures:
        found = hum(clip.audio.mono, clip.audio.rate_hz, min_db=self.min_db)
        return {"hum_hz": found.hz, "hum_db": found.level_db}
