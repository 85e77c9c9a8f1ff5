"""Lyrics heard a second time, by faster-whisper."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.faster_whisper_model import FasterWhisperModel
from audiocur.lyrics.listening import AsrCheck


@dataclass(frozen=True, kw_only=True)
class FasterWhisperCheck(FasterWhisperModel, AsrCheck):
    """Hears clips with lyrics again, and says how far the two texts lie apart."""

    model: str = "small"
