"""Silence: how much of a clip is too quiet to hear, and how much of that lies at its ends."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audiocur.dsp.levels import Levels


class Silence(NamedTuple):
    """What `silence` found; see there."""

    ratio: float | None
    leading_s: float | None
    trailing_s: float | None


def silence(levels: Levels, *, threshold_dbfs: float = -60.0) -> Silence:
    """Share of the time in frames of 20 ms whose level lies under a threshold in every channel, and that at the ends.

    In curation: drops clips that are mostly pause, gap or fade. Levels are RMS re full scale (a full-scale sine reads
    −3 dBFS), with the clip's DC offset taken off first. The threshold is absolute, so it is wrong where the noise of an
    old recording is louder than the threshold (pauses do not count) and where quiet music lies under it.

    Args:
        levels: of the clip.
        threshold_dbfs: RMS level under which a frame is silent.

    Returns:
        ratio: 0 to 1.
        leading_s: seconds before the first frame that is not silent, exact to a frame; the clip's length where all are.
        trailing_s: seconds after the last one. All None for no samples.

    Source: our own.

    >>> from audiocur.dsp.levels import levels
    >>> noise = np.where(np.arange(40_000) < 8_000, 0.0, np.tile([0.5, -0.5], 20_000)).astype(np.float32)
    >>> silence(levels(noise[None], 40_000))
    Silence(ratio=0.2, leading_s=0.2, trailing_s=0.0)
    """
    if not levels.num_samples:
        return Silence(None, None, None)
    pairs = np.arange(0, levels.power.shape[1], 2)  # 20 ms hold a whole period, or half of one, of the lowest tones
    lengths = np.add.reduceat(levels.lengths, pairs)
    energy = np.add.reduceat(levels.power * levels.lengths, pairs, axis=1)
    heard = (energy >= 10.0 ** (threshold_dbfs / 10.0) * lengths).any(axis=0)
    ratio = float(lengths[~heard].sum() / levels.num_samples)
    first = int(heard.argmax()) if heard.any() else len(heard)
    last = len(heard) - int(heard[::-1].argmax()) if heard.any() else 0
    return Silence(ratio, _seconds(lengths[:first], levels), _seconds(lengths[last:], levels))


def _seconds(lengths: np.ndarray, levels: Levels) -> float:
    return float(lengths.sum() / levels.rate_hz)
