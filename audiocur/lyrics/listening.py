"""What `asr` and `asr_check` are, whatever the recogniser: a choice of either brings `heard` and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from audiocur.lyrics.gates import Gated
from audiocur.lyrics.text import relative_distance
from audiocur.lyrics.transcript import COLUMNS, Transcript, row, text_of
from audiocur.op import Column, Measures
from audiocur.records import Clip

CHECK_COLUMNS = (
    Column(
        "lyrics_check", pa.string(), "", "what a second recogniser hears; null where it hears nothing to be believed"
    ),
    Column(
        "lyrics_edit_distance",
        pa.float32(),
        "ratio",
        "edit distance of lyrics and lyrics_check over the longer, 0 the same, 1 nothing in common; null with either",
        "Liu et al. 2025 (SongGen): at most 0.2, for the best 0.05",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Listener(Gated):
    """A recogniser, with gates for what it hears."""

    reads: ClassVar[tuple[str, ...]] = ("voiced",)

    def heard(self, clips: Sequence[Clip], model: Any) -> list[Transcript]:
        """What is heard in each clip."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Asr(Listener):
    """Listens for lyrics."""

    name = "asr"
    writes = COLUMNS

    def measure_batch(self, clips: Sequence[Clip], model: Any) -> Sequence[Measures]:
        return [
            row(transcript, self.withheld(transcript.segments, self.sound(clip), clip.measures["voiced"]))
            for clip, transcript in zip(clips, self.heard(clips, model), strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class AsrCheck(Listener):
    """Listens a second time where lyrics were found, and says how far what it hears lies from them."""

    name = "asr_check"
    reads = ("voiced", "lyrics")
    writes = CHECK_COLUMNS

    def prepare(self, clip: Clip) -> None:
        if clip.measures["lyrics"]:
            super().prepare(clip)

    def measure_batch(self, clips: Sequence[Clip], model: Any) -> Sequence[Measures]:
        with_lyrics = [clip for clip in clips if clip.measures["lyrics"]]
        checks: dict[str, str | None] = {}
        for clip, transcript in zip(with_lyrics, self.heard(with_lyrics, model), strict=True):
            withheld = self.withheld(transcript.segments, self.sound(clip), clip.measures["voiced"])
            checks[clip.clip_id] = text_of(
                [line for line, reason in zip(transcript.segments, withheld, strict=True) if reason is None]
            )
        return [_compared(clip.measures["lyrics"], checks.get(clip.clip_id)) for clip in clips]


def _compared(lyrics: str | None, check: str | None) -> Measures:
    distance = relative_distance(lyrics, check) if lyrics and check else None
    return {"lyrics_check": check, "lyrics_edit_distance": distance}
