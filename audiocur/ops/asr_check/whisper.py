"""Lyrics heard a second time, by another Whisper."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.listening import AsrCheck
from audiocur.lyrics.whisper_model import WhisperWhole


@dataclass(frozen=True, kw_only=True)
class WhisperCheck(WhisperWhole, AsrCheck):
    """Hears clips with lyrics again, and says how far the two texts lie apart.

    Source: SongGen (Liu et al. 2025) hears with large-v2 and large-v3 and drops a clip over a distance of 0.2.
    """

    model: str = "small"
