"""Lyrics by pocketsphinx."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.listening import Asr
from audiocur.lyrics.sphinx import Sphinx


@dataclass(frozen=True, kw_only=True)
class Pocketsphinx(Sphinx, Asr):
    """Words of the voiced stretches of a clip, for English speech on a machine that can fetch no model."""
