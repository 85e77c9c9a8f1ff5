"""No lyrics."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.transcript import COLUMNS
from audiocur.op import ClipOp, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class NoLyrics(ClipOp):
    """Null lyrics for all clips, where no recogniser is at hand: none are better than invented ones."""

    name = "asr"
    writes = COLUMNS
    advice = "lyrics: none were listened for; asr=pocketsphinx hears English speech, asr=whisper (models=base) singing"

    def measure(self, clip: Clip) -> Measures:
        return dict.fromkeys(column.name for column in COLUMNS)
