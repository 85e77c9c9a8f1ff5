"""Stereo image."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.stereo import stereo
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Stereo(ClipOp):
    """Correlation, width and balance of the first two channels."""

    name = "stereo"

    writes = (
        Column("stereo_correlation", pa.float32(), "", "correlation of left and right, null for one channel"),
        Column("side_mid_ratio_db", pa.float32(), "dB", "level of the difference over the sum, null for one channel"),
        Column("balance_db", pa.float32(), "dB", "level of right over left, null for one channel"),
    )

    def measure(self, clip: Clip) -> Measures:
        found = stereo(clip.audio.samples)
        return {
            "stereo_correlation": found.correlation,
            "side_mid_ratio_db": found.side_mid_ratio_db,
            "balance_db": found.balance_db,
        }
