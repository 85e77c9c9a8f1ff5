"""audiocur: audio dataset curation for music generation."""

__version__ = "0.1.0"
