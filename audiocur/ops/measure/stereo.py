"""Stereo image."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.stereo import stereo
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Stereo(ClipOp):
    """Image, correlation, width and balance of the first two channels."""

    name = "stereo"

    mono_correlation: float = 0.9995
    inverted_correlation: float = -0.5
    dead_db: float = 30.0

    writes = (
        Column(
            "stereo_image",
            pa.string(),
            "",
            '"stereo", "dual mono", "inverted", "left only" or "right only", null for one channel and for silence',
        ),
        Column(
            "stereo_correlation",
            pa.float32(),
            "",
            "of left and right, null for one channel or a constant one",
        ),
        Column(
            "side_mid_ratio_db",
            pa.float32(),
            "dB",
            "level of the difference over the sum, null with stereo_image",
        ),
        Column("balance_db", pa.float32(), "dB", "level of right over left, null with stereo_image"),
    )

    def __post_init__(self) -> None:
        require(0.5 <= self.mono_correlation <= 1, "mono_correlation", self.mono_correlation, "a number from 0.5 to 1")
        key, limit = "inverted_correlation", self.inverted_correlation
        require(-1 <= limit <= -0.1, key, limit, "a number from -1 to -0.1")
        require(18 <= self.dead_db <= 100, "dead_db", self.dead_db, "decibels, 18 to 100")

    def measure(self, clip: Clip) -> Measures:
        found = stereo(
            clip.audio.samples,
            clip.audio.levels,
            mono_correlation=self.mono_correlation,
            inverted_correlation=self.inverted_correlation,
            dead_db=self.dead_db,
        )
        return {
            "stereo_image": found.image,
            "stereo_correlation": found.correlation,
            "side_mid_ratio_db": found.side_mid_ratio_db,
            "balance_db": found.balance_db,
        }
