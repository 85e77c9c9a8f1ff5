"""Music, as against speech, animals and noise."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.music import music_ratio
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Music(ClipOp):
    """How much of the sounding time of a clip is music, as against speech, animals and noise."""

    name = "music"

    min_s: float = 2.0
    silence_dbfs: float = -60.0

    writes = (
        Column(
            "music_ratio",
            pa.float32(),
            "ratio",
            "share of the sounding time that is music, null for silence, short clips and rates below 8 kHz",
        ),
    )

    def __post_init__(self) -> None:
        require(2 <= self.min_s <= 60, "min_s", self.min_s, "seconds, 2 to 60")
        require(-120 <= self.silence_dbfs < 0, "silence_dbfs", self.silence_dbfs, "dBFS RMS, -120 to 0")

    def measure(self, clip: Clip) -> Measures:
        ratio = music_ratio(clip.audio.spectrogram, min_s=self.min_s, silence_dbfs=self.silence_dbfs)
        return {"music_ratio": ratio}
