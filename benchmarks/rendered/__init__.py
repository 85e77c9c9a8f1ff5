"""Rendered material with a known truth, for `accuracy.py`."""
