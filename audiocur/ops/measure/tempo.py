"""Tempo and beats."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.tempo import tempo
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Tempo(ClipOp):
    """Tempo, how regular it is, and the beats."""

    name = "tempo"

    min_bpm: float = 40.0
    max_bpm: float = 240.0
    min_s: float = 4.0
    silence_dbfs: float = -60.0

    writes = (
        Column("tempo_bpm", pa.float32(), "BPM", "beats a minute, null without onsets and for short clips"),
        Column("tempo_confidence", pa.float32(), "ratio", "how alike the onsets of one beat and the next are, 0 to 1"),
        Column("beats_s", pa.list_(pa.float32()), "s", "times of the beats, from the clip's start"),
    )

    def __post_init__(self) -> None:
        require(20 <= self.min_bpm <= 200, "min_bpm", self.min_bpm, "BPM, 20 to 200")
        require(2 * self.min_bpm <= self.max_bpm <= 400, "max_bpm", self.max_bpm, "BPM, twice min_bpm to 400")
        require(1 <= self.min_s <= 60, "min_s", self.min_s, "seconds, 1 to 60")
        require(-120 <= self.silence_dbfs < 0, "silence_dbfs", self.silence_dbfs, "dBFS RMS, -120 to 0")

    def measure(self, clip: Clip) -> Measures:
        found = tempo(
            clip.audio.spectrogram,
            min_bpm=self.min_bpm,
            max_bpm=self.max_bpm,
            min_s=self.min_s,
            silence_dbfs=self.silence_dbfs,
        )
        return {"tempo_bpm": found.bpm, "tempo_confidence": found.confidence, "beats_s": found.beats_s}
