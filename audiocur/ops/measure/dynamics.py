"""Dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.dynamics import crest_factor_db, peak_to_loudness_db
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Dynamics(ClipOp):
    """How far peaks stand above the level; stands after loudness."""

    name = "dynamics"

    reads = ("true_peak_dbtp", "loudness_lufs")
    writes = (
        Column("crest_factor_db", pa.float32(), "dB", "peak over RMS of the strongest channel, null for silence"),
        Column(
            "peak_to_loudness_db",
            pa.float32(),
            "dB",
            "true peak over integrated loudness, null where there is none",
            "ITU-R BS.1770-5",
        ),
    )

    def measure(self, clip: Clip) -> Measures:
        peak_dbtp, loudness_lufs = clip.measures.get("true_peak_dbtp"), clip.measures.get("loudness_lufs")
        return {
            "crest_factor_db": crest_factor_db(clip.audio.levels),
            "peak_to_loudness_db": peak_to_loudness_db(peak_dbtp, loudness_lufs),
        }
