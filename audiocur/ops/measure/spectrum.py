"""Spectral centroid and flatness."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.spectrum import spectrum
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Spectrum(ClipOp):
    """Where the energy lies, and whether it is tone or noise."""

    name = "spectrum"

    silence_dbfs: float = -60.0
    flatness_max_hz: float = 8000.0

    writes = (
        Column("spectral_centroid_hz", pa.float32(), "Hz", "mean frequency weighted with power, null for silence"),
        Column("spectral_flatness", pa.float32(), "ratio", "0 for tones, 0.56 for white noise, null for silence"),
    )

    def __post_init__(self) -> None:
        require(-120 <= self.silence_dbfs < 0, "silence_dbfs", self.silence_dbfs, "dBFS RMS, -120 to 0")
        require(self.flatness_max_hz >= 100, "flatness_max_hz", self.flatness_max_hz, "Hz, at least 100")

    def measure(self, clip: Clip) -> Measures:
        found = spectrum(clip.audio.spectrogram, silence_dbfs=self.silence_dbfs, flatness_max_hz=self.flatness_max_hz)
        return {"spectral_centroid_hz": found.centroid_hz, "spectral_flatness": found.flatness}
