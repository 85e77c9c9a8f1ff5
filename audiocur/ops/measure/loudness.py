"""Loudness and true peak."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.levels import amplitude_db
from audiocur.dsp.loudness import integrated_loudness, loudness_range, momentary_max, short_term_max, step_power
from audiocur.dsp.true_peak import true_peak
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip

_BS_1770 = "ITU-R BS.1770-5"
_TECH_3341, _TECH_3342 = "EBU Tech 3341 (2023)", "EBU Tech 3342 (2023)"


@dataclass(frozen=True, kw_only=True)
class Loudness(ClipOp):
    """Loudness after EBU R 128: integrated, highest momentary and short-term, range, and true peak."""

    name = "loudness"

    oversampling: int = 4  # BS.1770-5, Annex 2: at least 4 at 48 kHz

    writes = (
        Column(
            "loudness_lufs", pa.float32(), "LUFS", "integrated loudness, null for silence and under 0.4 s", _BS_1770
        ),
        Column(
            "loudness_momentary_max_lufs",
            pa.float32(),
            "LUFS",
            "loudness of the loudest 0.4 s, null for digital silence and under 0.4 s",
            _TECH_3341,
        ),
        Column(
            "loudness_short_term_max_lufs",
            pa.float32(),
            "LUFS",
            "loudness of the loudest 3 s, null for digital silence and under 3 s",
            _TECH_3341,
        ),
        Column("loudness_range_lu", pa.float32(), "LU", "loudness range, null for silence and under 3 s", _TECH_3342),
        Column(
            "true_peak_dbtp", pa.float32(), "dBTP", "highest level between samples, null for digital silence", _BS_1770
        ),
    )

    def __post_init__(self) -> None:
        require(4 <= self.oversampling <= 16, "oversampling", self.oversampling, "points per sample, 4 to 16")

    def measure(self, clip: Clip) -> Measures:
        power = step_power(clip.audio.samples, clip.audio.rate_hz)
        return {
            "loudness_lufs": integrated_loudness(power),
            "loudness_momentary_max_lufs": momentary_max(power),
            "loudness_short_term_max_lufs": short_term_max(power),
            "loudness_range_lu": loudness_range(power),
            "true_peak_dbtp": amplitude_db(true_peak(clip.audio.samples, oversampling=self.oversampling)),
        }
