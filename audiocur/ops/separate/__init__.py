"""Ops that take a clip apart into stems."""
