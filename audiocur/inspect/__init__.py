"""Reads a run, never writes one."""
