"""Clipping: how much of a recording sits flat against the ceiling of a converter or an editor."""

from __future__ import annotations

import numpy as np

from audiocur.audio import Samples

_STEP_16_BIT = 2.0**-15
_CORNER = 6.0  # tolerances; the argument is in `clipped_ratio`


def clipped_ratio(samples: Samples, *, min_run: int = 3, tolerance_db: float = 0.01) -> float | None:
    """Share of samples that lie in flat runs at their channel's highest or lowest value.

    In curation: finds recordings overdriven on the way in and masters pushed through a hard clipper. The ceiling is
    each channel's own, top and bottom apart, so it is found as well where the level was turned down afterwards or the
    recording has a DC offset. It is wrong about audio that was clipped first and coded lossily or filtered later (the
    plateaus ripple: it reads too little), and about square waves, which are flat on purpose.

    A run counts if at least `min_run` consecutive samples lie within `tolerance_db` of the ceiling (never less than
    one step of 16-bit audio) and the signal falls away from it steeply on either side: by more than six such tolerances
    from the run to the first sample outside, or from there to the second. That spares the rounded tops of clean low
    tones: where three samples of a parabola lie within t of its top, its next steps are at most 3 t and 5 t.

    Args:
        samples: shape (channels, samples), full scale 1.
        min_run: samples; at least 3.
        tolerance_db: decibels.

    Returns:
        0 to 1; 0.0 for silence, None for no samples.

    >>> tone = np.sin(2 * np.pi * 440 / 44_100 * np.arange(44_100, dtype=np.float32))[None]
    >>> clipped_ratio(tone), round(clipped_ratio(np.clip(1.2 * tone, -0.9, 0.9)), 2)
    (0.0, 0.46)
    """
    if not samples.size:
        return None
    clipped = 0
    for channel in samples:
        highest, lowest = channel.max(), channel.min()
        peak = max(abs(float(highest)), abs(float(lowest)))
        tolerance = max(_STEP_16_BIT, peak * (1.0 - 10.0 ** (-tolerance_db / 20.0)))
        clipped += _samples_in_runs(channel, channel >= highest - tolerance, min_run, _CORNER * tolerance)
        clipped += _samples_in_runs(channel, channel <= lowest + tolerance, min_run, _CORNER * tolerance)
    return clipped / samples.size


def _samples_in_runs(channel: Samples, flat: np.ndarray, min_run: int, corner: float) -> int:
    at = np.flatnonzero(flat)
    if not len(at):
        return 0
    breaks = np.flatnonzero(np.diff(at) > 1)
    first, last = at[np.append(0, breaks + 1)], at[np.append(breaks, len(at) - 1)]
    lengths = last - first + 1
    long = lengths >= min_run
    if not long.any():
        return 0
    first, last, lengths = first[long], last[long], lengths[long]
    # At the clip's own ends there is no step to see; such a run counts by its other side.
    steps = np.abs(np.diff(channel, prepend=channel[:1], append=channel[-1:]))  # steps[i]: from i − 1 to i
    before = np.maximum(steps[first], steps[np.maximum(first - 1, 0)])
    after = np.maximum(steps[last + 1], steps[np.minimum(last + 2, len(channel))])
    return int(lengths[np.maximum(before, after) > corner].sum())
