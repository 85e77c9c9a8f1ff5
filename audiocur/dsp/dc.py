"""DC offset: how far a recording's zero line is off."""

from __future__ import annotations

import numpy as np

from audiocur.dsp.levels import Levels


def dc_offset(levels: Levels) -> float | None:
    """Largest distance of a channel's mean from zero.

    In curation: more than about 0.01 points to a faulty converter or a bad edit; it wastes headroom and clicks at every
    cut. It is wrong for clips of a few periods of a low tone, whose mean need not be zero, it reads music whose wave is
    lopsided (brass, voice) up to about 0.003 off, and an offset that comes and goes within the clip too small.

    Args:
        levels: of the clip.

    Returns:
        0 to 1, never negative; None for no samples.

    Source: our own; the mean is what the term says.

    >>> from audiocur.dsp.levels import levels
    >>> round(dc_offset(levels(np.array([[0.1, -0.1], [0.0, -0.1]], np.float32), 8000)), 3)
    0.05
    """
    if not levels.num_samples:
        return None
    return float(np.abs(levels.mean).max())
