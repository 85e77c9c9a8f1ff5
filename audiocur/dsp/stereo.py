"""Stereo: whether two channels differ, and how."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from audiocur.audio import Samples
from audiocur.dsp.levels import NOTHING


class Stereo(NamedTuple):
    """What `stereo` found; see there."""

    correlation: float | None
    side_mid_ratio_db: float | None
    balance_db: float | None


def stereo(samples: Samples) -> Stereo:
    """Correlation, width and balance of the first two channels, left and right in every usual layout.

    In curation: a correlation above 0.9995 is mono in two channels, a negative one sounds hollow and vanishes in mono
    (reversed polarity), a balance of many decibels is a dead channel. A single figure for a whole clip is wrong where
    the image changes within it.

    Levels under −120 dBFS count as −120 dBFS, so that both ratios are finite: two equal channels have the side/mid
    ratio of their level to that floor, about −100 dB, and so has the balance of a dead channel.

    Args:
        samples: shape (channels, samples), full scale 1.

    Returns:
        correlation: Pearson's, −1 to 1; None for one channel, and where either channel is constant.
        side_mid_ratio_db: level of (left − right) / 2 over (left + right) / 2; 0 dB where the channels have nothing in
            common. None for one channel and for silence.
        balance_db: level of the right channel over the left one's. None for one channel and for silence.

    >>> left = np.sin(np.arange(1000, dtype=np.float32))
    >>> stereo(np.stack([left, left])).correlation, stereo(np.stack([left, -left])).correlation
    (1.0, -1.0)
    """
    if samples.shape[0] < 2 or not samples.shape[1]:
        return Stereo(None, None, None)
    left, right = (channel - channel.mean(dtype=np.float64).astype(np.float32) for channel in samples[:2])
    left_power, right_power = _power(left), _power(right)
    if max(left_power, right_power) <= NOTHING:
        return Stereo(None, None, None)
    correlation = None
    if min(left_power, right_power) > NOTHING:
        common = float(np.mean(left * right)) / math.sqrt(left_power * right_power)
        correlation = min(1.0, max(-1.0, common))
    return Stereo(
        correlation, _ratio_db(_power(left - right), _power(left + right)), _ratio_db(right_power, left_power)
    )


def _power(x: Samples) -> float:
    return float(np.mean(np.square(x)))


def _ratio_db(power: float, reference: float) -> float:
    return 10.0 * math.log10(max(power, NOTHING) / max(reference, NOTHING))
