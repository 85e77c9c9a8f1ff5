"""DC offset."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.dsp.dc import dc_offset
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Dc(ClipOp):
    """DC offset of the channel that is off most."""

    name = "dc"

    writes = (Column("dc_offset", pa.float32(), "", "largest distance of a channel's mean from zero, full scale 1"),)

    def measure(self, clip: Clip) -> Measures:
        return {"dc_offset": dc_offset(clip.audio.levels)}
