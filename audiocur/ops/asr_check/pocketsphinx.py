"""Lyrics heard a second time, by pocketsphinx."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.lyrics.listening import AsrCheck
from audiocur.lyrics.sphinx import Sphinx


@dataclass(frozen=True, kw_only=True)
class PocketsphinxCheck(Sphinx, AsrCheck):
    """Hears clips with lyrics again, for English speech, and says how far the two texts lie apart."""
