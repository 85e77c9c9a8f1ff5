"""Tempo, beats and bars."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.tempo import tempo
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Tempo(ClipOp):
    """Tempo, how regular it is, the beats and the bars."""

    name = "tempo"

    min_bpm: float = 40.0
    max_bpm: float = 240.0
    min_s: float = 4.0
    silence_dbfs: float = -60.0

    writes = (
        Column(
            "tempo_bpm",
            pa.float32(),
            "BPM",
            "beats a minute, null for silence, without a pulse and under min_s",
            "Peeters 2005; level of the metre our own",
        ),
        Column(
            "tempo_confidence",
            pa.float32(),
            "ratio",
            "how alike one beat is to the next, 0 to 1, null with tempo_bpm",
        ),
        Column(
            "tempo_alternatives_bpm",
            pa.list_(pa.float32()),
            "BPM",
            "other levels of the metre that may be the beat, the likeliest first",
        ),
        Column(
            "beats_s",
            pa.list_(pa.float32()),
            "s",
            "of the beats, from the clip's start, null with tempo_bpm",
            "Ellis 2007",
        ),
        Column("downbeats_s", pa.list_(pa.float32()), "s", "those that begin a bar, null where bars are not clear"),
        Column("beats_per_bar", pa.int8(), "beats", "2 (6/8 too), 3 or 4, null where bars are not clear"),
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
        return {
            "tempo_bpm": found.bpm,
            "tempo_confidence": found.confidence,
            "tempo_alternatives_bpm": found.alternatives_bpm,
            "beats_s": found.beats_s,
            "downbeats_s": found.downbeats_s,
            "beats_per_bar": found.beats_per_bar,
        }
