"""Operators that say in words what is known of a clip."""
