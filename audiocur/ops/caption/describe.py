"""A caption from the tags."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class Describe(ClipOp):
    """The tags as one line: "instrumental, 120 BPM, A minor, wide stereo"."""

    name = "caption"

    reads = ("tags",)
    writes = (Column("caption", pa.string(), "", "what is known of the clip, null where nothing is"),)

    def measure(self, clip: Clip) -> Measures:
        return {"caption": ", ".join(clip.measures["tags"]) or None}
