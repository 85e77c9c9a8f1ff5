"""Operators that listen for lyrics; all write the same columns."""
