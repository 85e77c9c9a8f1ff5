"""Lyrics by Whisper."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.listening import Asr
from audiocur.lyrics.whisper_model import WhisperWhole


@dataclass(frozen=True, kw_only=True)
class Whisper(WhisperWhole, Asr):
    """Lyrics by openai-whisper, all windows of a batch of clips at once, greedily and without fallbacks.

    Source: Radford et al. 2022, "Robust speech recognition via large-scale weak supervision".
    """
