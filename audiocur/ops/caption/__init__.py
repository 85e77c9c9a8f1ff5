"""Operators that describe a clip in a sentence."""
