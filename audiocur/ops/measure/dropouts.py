"""Drop-outs."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.dropouts import dropouts
from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Dropouts(ClipOp):
    """Stretches inside music where samples got lost: it stands still or repeats its last buffer."""

    name = "dropouts"

    min_s: float = 0.001
    max_s: float = 0.2

    writes = (
        Column("dropout_count", pa.int32(), "", "how often the sound stands still or repeats a buffer"),
        Column("dropout_s", pa.float32(), "s", "for how long in all"),
    )

    def __post_init__(self) -> None:
        require(0.0005 <= self.min_s <= 0.1, "min_s", self.min_s, "seconds, 0.0005 to 0.1")
        require(self.min_s < self.max_s <= 10, "max_s", self.max_s, "seconds, more than min_s and at most 10")

    def measure(self, clip: Clip) -> Measures:
        found = dropouts(clip.audio.samples, clip.audio.rate_hz, min_s=self.min_s, max_s=self.max_s)
        return {"dropout_count": found.times, "dropout_s": found.total_s}
