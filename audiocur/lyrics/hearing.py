"""What a recogniser is given to hear: the clip, or the singer alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from audiocur.audio import Samples
from audiocur.op import ModelOp
from audiocur.records import Clip


class On(StrEnum):
    """Of a clip."""

    mix = "mix"  # as it is
    vocals = "vocals"  # the stem that `separate` finds in it


@dataclass(frozen=True, kw_only=True)
class Hearing(ModelOp):
    """An op that hears the mix, or the vocal stem; which of them gives better lyrics depends on both models."""

    on: On = On.mix

    @property
    def takes(self) -> tuple[str, ...]:
        """The stem, where that is what it hears."""
        return ("vocals",) if self.on is On.vocals else ()

    def prepare(self, clip: Clip) -> None:
        _ = self.sound(clip)

    def sound(self, clip: Clip) -> Samples:
        """What it hears, 16 kHz, shape (samples,)."""
        return clip.features["vocals"] if self.on is On.vocals else clip.audio.mono_16k
