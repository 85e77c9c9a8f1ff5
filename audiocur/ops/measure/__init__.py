"""Operators that measure, one family of columns a file."""
