"""Clipping: how much of a recording sits flat against the ceiling of a converter or an editor, and how often."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Samples
from audiocur.dsp.levels import Levels

_STEP_16_BIT = 2.0**-15
_DITHERED = 4.0  # steps: triangular dither and rounding spread a plateau over at most three
_SHARPEST = 2.0  # tolerances; what dither and rounding may do beside a long plateau


class Clipping(NamedTuple):
    """What `clipping` found; see there."""

    ratio: float | None
    runs_per_s: float | None


def clipping(samples: Samples, levels: Levels, *, min_run: int = 3, tolerance_db: float = 0.01) -> Clipping:
    """Share of samples that lie in flat runs at their channel's highest or lowest value, and how many such runs.

    In curation: finds recordings overdriven on the way in and masters pushed through a hard clipper. The ceiling is
    each channel's own, top and bottom apart, so it is found as well where the level was turned down afterwards or the
    recording has a DC offset. Runs tell more than the share does: overdriven music has from one to some hundred a
    second, clean music none or a chance one. Peaks that only reach full scale, as a limiter leaves them, are no runs.

    It is wrong about audio that was clipped first and coded lossily, filtered or resampled later: the plateaus ripple,
    and it reads nothing or too little. So it does where only a soft part of the clip was clipped, or where something
    louder than the ceiling was added afterwards. Square waves are flat on purpose and read as clipped; so do low tones
    at 8 bits, whose tops are.

    A run counts if at least `min_run` consecutive samples lie within `tolerance_db` of the ceiling (never less than
    four steps of 16-bit audio) and the signal falls away from it steeply on either side: from the run to the first
    sample outside, or from there to the second, by more than the rounded top of a clean tone would. Where 2 m + 1
    samples of a parabola lie within t of its top, its next steps are at most t (2 m + 1) / m² and t (2 m + 3) / m²: 3 t
    and 5 t for three samples. One t more is allowed for noise, and two at least.

    Args:
        samples: shape (channels, samples), full scale 1.
        levels: of the same clip.
        min_run: samples; at least 3.
        tolerance_db: decibels.

    Returns:
        ratio: 0 to 1; 0.0 for silence.
        runs_per_s: runs a second, both sides of all channels together. Both None for no samples.

    Source: our own; runs of equal samples at the extremes are the usual criterion.

    >>> from audiocur.dsp.levels import levels
    >>> tone = np.sin(2 * np.pi * 440 / 44_100 * np.arange(44_100, dtype=np.float32))[None]
    >>> clipping(tone, levels(tone, 44_100))
    Clipping(ratio=0.0, runs_per_s=0.0)
    >>> overdriven = np.clip(1.2 * tone, -0.9, 0.9)
    >>> ratio, runs_per_s = clipping(overdriven, levels(overdriven, 44_100))
    >>> round(ratio, 2), runs_per_s
    (0.46, 880.0)
    """
    if not samples.size:
        return Clipping(None, None)
    clipped = runs = 0
    for channel, highest, lowest in zip(samples, levels.highest, levels.lowest, strict=True):
        peak = max(float(highest.max()), -float(lowest.min()))
        tolerance = max(_DITHERED * _STEP_16_BIT, peak * (1.0 - 10.0 ** (-tolerance_db / 20.0)))
        for reached, sign in ((highest, 1.0), (-lowest, -1.0)):
            floor = np.float32(reached.max() - tolerance)
            if floor <= 0:  # silence is no ceiling
                continue
            found = _runs(channel, levels, reached >= floor, floor, np.float32(sign), min_run, tolerance)
            clipped += int(found.sum())
            runs += len(found)
    return Clipping(clipped / samples.size, runs * levels.rate_hz / levels.num_samples)


def _runs(
    channel: Samples,
    levels: Levels,
    frames: NDArray[np.bool_],
    floor: np.float32,
    sign: np.float32,
    min_run: int,
    tolerance: float,
) -> NDArray[np.intp]:
    """Lengths of the runs above the floor that fall off steeply; only these frames reach it."""
    whole = levels.num_samples // levels.frame
    found = np.flatnonzero(frames[:whole])
    rows, columns = np.nonzero(channel[: whole * levels.frame].reshape(whole, levels.frame)[found] * sign >= floor)
    rest = whole * levels.frame
    at = np.append(found[rows] * levels.frame + columns, rest + np.flatnonzero(channel[rest:] * sign >= floor))
    if not len(at):
        return at
    breaks = np.flatnonzero(np.diff(at) > 1)
    first, last = at[np.append(0, breaks + 1)], at[np.append(breaks, len(at) - 1)]
    lengths = last - first + 1
    long = lengths >= min_run
    first, last, lengths = first[long], last[long], lengths[long]
    half = (lengths - 1) / 2.0
    corner = tolerance * np.maximum(_SHARPEST, 1.0 + (2.0 * half + 3.0) / np.square(half))
    # At the clip's own ends there is no step to see; such a run counts by its other side.
    steps = [_step(channel, at) for at in (first, first - 1, last + 1, last + 2)]
    steep: NDArray[np.intp] = lengths[np.max(steps, axis=0) > corner]
    return steep


def _step(channel: Samples, at: NDArray[np.intp]) -> Samples:
    """How far each of these samples lies from the one before it; 0 beyond the clip's ends."""
    last = len(channel) - 1
    step: Samples = np.abs(channel[np.clip(at, 0, last)] - channel[np.clip(at - 1, 0, last)])
    return step
