"""The demo library: a small band, its songs, and what went wrong with some of their recordings."""
