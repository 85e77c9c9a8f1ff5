"""Whisper's decoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audiocur.lyrics.listening import Asr
from audiocur.lyrics.transcript import Transcript
from audiocur.lyrics.whisper_model import Loaded, WhisperText
from audiocur.lyrics.windowed import Cut, Window
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class WhisperDecode(WhisperText, Asr):
    """Whisper's decoder: lyrics from what `whisper_encode` made, the same as `asr=whisper` finds."""

    name = "whisper_decode"
    without = "encoder"

    @property
    def takes(self) -> tuple[str, ...]:
        """What the encoder made, and the stem where that is what it heard."""
        return ("whisper", "whisper_cuts", *super().takes)

    def heard(self, clips: Sequence[Clip], model: Loaded) -> list[Transcript]:
        import torch

        cuts: list[list[Cut]] = [
            [(start, end) for start, end in clip.features["whisper_cuts"].tolist()] for clip in clips
        ]

        def features(batch: Sequence[Window]) -> torch.Tensor:
            of_windows = [torch.from_numpy(clips[clip].features["whisper"][at]) for clip, at in batch]
            return torch.stack(of_windows).to(model.whisper.device, model.dtype)

        return self.transcripts(clips, cuts, features, model)
