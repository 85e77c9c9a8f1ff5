"""Lyrics: what recognisers heard, as text with times, and whether it is to be believed. No model lies here itself."""
