"""The second part of a Whisper, for a device of its own."""
