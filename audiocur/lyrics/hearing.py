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

    def given(self, clip: Clip) -> bool:
        """Whether it has what it takes of a clip: not where the op that makes it was not asked, by its `when`."""
        return all(name in clip.features for name in self.takes)

    def prepare(self, clip: Clip) -> None:
        if self.given(clip):
            _ = self.sound(clip)

    def sound(self, clip: Clip) -> Samples:
        """What it hears, 16 kHz, shape (samples,)."""
        return clip.features["vocals"] if self.on is On.vocals else clip.audio.mono_16k
