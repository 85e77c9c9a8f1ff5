"""DC offset: how far a recording's zero line is off."""

from __future__ import annotations

import numpy as np

from audiocur.audio import Samples


def dc_offset(samples: Samples) -> float | None:
    """Largest distance of a channel's mean from zero.

    In curation: more than about 0.01 points to a faulty converter or a bad edit; it wastes headroom and clicks at every
    cut. It is wrong for clips of a few periods of a low tone, whose mean need not be zero.

    Args:
        samples: shape (channels, samples), full scale 1.

    Returns:
        0 to 1, never negative; None for no samples.

    >>> round(dc_offset(np.array([[0.1, -0.1], [0.0, -0.1]], np.float32)), 3)
    0.05
    """
    if not samples.size:
        return None
    return float(np.abs(samples.mean(axis=1, dtype=np.float64)).max())
