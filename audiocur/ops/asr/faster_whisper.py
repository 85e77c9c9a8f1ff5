"""Lyrics by faster-whisper."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.faster_whisper_model import FasterWhisperModel
from audiocur.lyrics.listening import Asr


@dataclass(frozen=True, kw_only=True)
class FasterWhisper(FasterWhisperModel, Asr):
    """Lyrics by Whisper on CTranslate2, all windows of a batch of clips at once and without fallbacks."""
