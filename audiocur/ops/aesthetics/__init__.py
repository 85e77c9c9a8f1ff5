"""Operators that rate a clip as listeners would."""
