"""Ops that say when each word is sung."""
