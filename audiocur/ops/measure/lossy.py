"""Lossy origin."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.lossy import lossy
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip

_CODECS = "Herre and Schug (2000); ISO/IEC 11172-3, 13818-7"
_WALLS = "D'Alessandro and Shi (2009)"


@dataclass(frozen=True, kw_only=True)
class Lossy(ClipOp):
    """Traces of a lossy codec in what is stored as lossless."""

    name = "lossy"

    min_score: float = 6.0
    sharp_db: float = 12.0
    deep_db: float = 18.0

    writes = (
        Column("transcode_suspect", pa.bool_(), "", "whether this was a lossy file once, null where nothing can tell"),
        Column("codec_trace", pa.string(), "", "whose frames were found: mp3, or aac (Vorbis too)", _CODECS),
        Column("codec_score", pa.float32(), "σ", "how far zeros stand out in the best frames", _CODECS),
        Column("codec_zeroed_ratio", pa.float32(), "ratio", "share of coefficients zeroed in these frames", _CODECS),
        Column("wall_hz", pa.float32(), "Hz", "where the spectrum falls most, above 10 kHz, null under 32 kHz", _WALLS),
        Column("wall_db", pa.float32(), "dB", "how far it falls there, never to come back", _WALLS),
        Column("wall_db_per_octave", pa.float32(), "dB/octave", "how steeply it falls there", _WALLS),
        Column("wall_sag_db", pa.float32(), "dB", "how far it sank in 300 Hz before, as resamplers do"),
        Column("above_wall_dbfs", pa.float32(), "dBFS", "loudest 300 Hz above the wall, a bin re a full-scale sine"),
    )

    def __post_init__(self) -> None:
        require(4 <= self.min_score <= 100, "min_score", self.min_score, "standard deviations, 4 to 100")
        require(3 <= self.sharp_db <= 120, "sharp_db", self.sharp_db, "decibels, 3 to 120")
        require(3 <= self.deep_db <= 120, "deep_db", self.deep_db, "decibels, 3 to 120")

    def measure(self, clip: Clip) -> Measures:
        found = lossy(
            clip.audio.mono,
            clip.audio.spectrogram,
            min_score=self.min_score,
            sharp_db=self.sharp_db,
            deep_db=self.deep_db,
        )
        return dict(zip((column.name for column in self.writes), found, strict=True))
