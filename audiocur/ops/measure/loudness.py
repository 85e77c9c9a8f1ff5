"""Loudness and true peak."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.levels import amplitude_db
from audiocur.dsp.loudness import integrated_loudness, loudness_range, step_power
from audiocur.dsp.true_peak import true_peak
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Loudness(ClipOp):
    """Loudness after EBU R 128: integrated, range and true peak."""

    name = "loudness"

    oversampling: int = 4  # BS.1770-5, Annex 2: at least 4 at 48 kHz

    writes = (
        Column("loudness_lufs", pa.float32(), "LUFS", "integrated loudness, null for silence and under 0.4 s"),
        Column("loudness_range_lu", pa.float32(), "LU", "loudness range, null for silence and under 3 s"),
        Column("true_peak_dbtp", pa.float32(), "dBTP", "highest level between samples, null for digital silence"),
    )

    def __post_init__(self) -> None:
        require(4 <= self.oversampling <= 16, "oversampling", self.oversampling, "points per sample, 4 to 16")

    def measure(self, clip: Clip) -> Measures:
        power = step_power(clip.audio.samples, clip.audio.rate_hz)
        return {
            "loudness_lufs": integrated_loudness(power),
            "loudness_range_lu": loudness_range(power),
            "true_peak_dbtp": amplitude_db(true_peak(clip.audio.samples, oversampling=self.oversampling)),
        }
