"""Levels in decibels, and the frames they are taken over."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Mean square of what counts as nothing at all: −120 dBFS, below the last bit of 20-bit audio.
NOTHING = 1e-12


def amplitude_db(amplitude: float) -> float | None:
    """Decibels of an amplitude ratio, None for zero.

    >>> amplitude_db(0.1), amplitude_db(0.0)
    (-20.0, None)
    """
    return 20.0 * math.log10(amplitude) if amplitude > 0 else None


def frame_edges(num_samples: int, frame_s: float, rate_hz: int, *, whole: bool = False) -> NDArray[np.intp]:
    """First samples of consecutive frames, and the end of the last one.

    Edges are rounded to samples one by one, so frames that are no whole number of samples (100 ms at 11,025 Hz) do not
    drift.

    Args:
        num_samples: length of the signal.
        frame_s: length of a frame in seconds; frames are never shorter than a sample.
        rate_hz: sampling rate.
        whole: leave out a last frame that is not complete, instead of letting it be shorter.

    Returns:
        shape (frames + 1,), from 0; only the 0 where there is no frame.

    >>> frame_edges(2500, 0.1, 10_000), frame_edges(2500, 0.1, 10_000, whole=True)
    (array([   0, 1000, 2000, 2500]), array([   0, 1000, 2000]))
    """
    frame = max(1.0, frame_s * rate_hz)
    # The small excess keeps a last whole frame whose edge is a rounding error past the end.
    frames = int(num_samples / frame + 1e-9)
    edges: NDArray[np.intp] = np.rint(np.arange(frames + 1) * frame).astype(np.intp)
    if not whole and edges[-1] < num_samples:
        edges = np.append(edges, num_samples)
    return edges
