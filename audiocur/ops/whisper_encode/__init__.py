"""The first part of a Whisper, for a device of its own."""
