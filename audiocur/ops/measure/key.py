"""Key and tuning."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.key import key
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Key(ClipOp):
    """Musical key and tuning."""

    name = "key"

    silence_dbfs: float = -60.0

    writes = (
        Column(
            "key",
            pa.string(),
            "",
            "tonic and mode, as in A minor or Eb major, null for silence and under 0.1 s",
            "Krumhansl 1990, with the profiles of Albrecht and Shanahan 2013",
        ),
        Column(
            "key_confidence",
            pa.float32(),
            "ratio",
            "how well it fits, and better than the next, 0 to 1, null with key",
        ),
        Column("tuning_cents", pa.float32(), "cents", "of A4 over 440 Hz, -50 to 50, null with key"),
    )

    def __post_init__(self) -> None:
        require(-120 <= self.silence_dbfs < 0, "silence_dbfs", self.silence_dbfs, "dBFS RMS, -120 to 0")

    def measure(self, clip: Clip) -> Measures:
        found = key(clip.audio.spectrogram, silence_dbfs=self.silence_dbfs)
        return {"key": found.name, "key_confidence": found.confidence, "tuning_cents": found.tuning_cents}
