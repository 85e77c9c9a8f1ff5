"""Operators that cut spans into clips, one in a pipeline."""
