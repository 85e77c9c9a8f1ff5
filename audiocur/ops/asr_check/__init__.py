"""Operators that hear the lyrics a second time."""
