"""Beats, placed on the onsets of a clip whose tempo is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

_TIGHTNESS = 100.0  # Ellis's; how much a beat off the steady pulse costs
_SHARPEN_FRAMES = 2


def beat_frames(rises: Curve, period: float) -> Curve:
    """Beats: the path through the clip that is best both in onset strength and in keeping the period.

    In curation: places `beats_s`, and with it the bars that `segment=beat` cuts between. It is wrong where the tempo
    given is, and where nothing sounds on most beats: beats then slide to what does.

    Args:
        rises: onset strength, shape (frames,), not constant.
        period: frames from one beat to the next, 3 or more.

    Returns:
        shape (beats,), in frames and fractions of them, rising; without the beats before the first and after the last
        strong onset.

    Source: Ellis, "Beat tracking by dynamic programming" (2007).

    >>> rises = np.zeros(100)
    >>> rises[10::20] = 1.0
    >>> beat_frames(rises, 20.0).tolist()
    [10.0, 30.0, 50.0, 70.0, 90.0]
    """
    span = int(np.ceil(period))
    strength = np.convolve(rises, np.exp(-0.5 * np.square(np.arange(-span, span + 1) * 32.0 / period)), "same")
    strength /= strength.std()
    gaps = np.arange(round(period / 2), round(2 * period) + 1)
    cost = _TIGHTNESS * np.square(np.log(gaps / period))
    score = np.zeros(gaps[-1] + len(strength))  # preceded by the widest gap, so that a path may begin anywhere
    before = np.empty(len(strength), np.intp)
    # No beat depends on one closer than the narrowest gap, so that many frames are worked through at a time.
    for start in range(0, len(strength), gaps[0]):
        at = np.arange(start, min(start + gaps[0], len(strength)))
        options = score[gaps[-1] + at[:, np.newaxis] - gaps] - cost
        choice = options.argmax(axis=1)
        score[gaps[-1] + at] = strength[at] + options[np.arange(len(at)), choice]
        before[at] = at - gaps[choice]
    beat = len(strength) - span + int(score[-span:].argmax())
    path = []
    while beat >= 0:
        path.append(beat)
        beat = int(before[beat])
    frames = np.array(path[::-1])
    strong = np.flatnonzero(strength[frames] > 0.5 * np.sqrt(np.mean(np.square(strength[frames]))))
    # At periods of a few frames two beats may have the same peak near them.
    return np.unique([_summit(strength, frame) for frame in frames[strong[0] : strong[-1] + 1]])


def _summit(strength: Curve, frame: int) -> float:
    """The nearest peak by a parabola through three frames; the frame itself where there is none near it."""
    first = max(1, frame - _SHARPEN_FRAMES)
    near = strength[first : min(frame + _SHARPEN_FRAMES + 1, len(strength) - 1)]
    peak = first + int(near.argmax())
    left, top, right = strength[peak - 1 : peak + 2]
    if not (left <= top > right or left < top >= right):
        return float(frame)
    return float(peak + 0.5 * (left - right) / (left - 2.0 * top + right))
