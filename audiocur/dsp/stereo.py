"""Stereo: whether two channels differ, and how."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from audiocur.audio import Samples
from audiocur.dsp.levels import NOTHING, Levels

_CLOSE = 0.99  # correlation from which the difference is taken sample by sample, for as one of powers it is rounded
_BLOCK = 65_536
_ASIDE_DB = 18.0  # of level between the ears' two signals, from which on sound lies wholly at one side


class Stereo(NamedTuple):
    """What `stereo` found; see there."""

    image: str | None
    correlation: float | None
    side_mid_ratio_db: float | None
    balance_db: float | None


def stereo(
    samples: Samples,
    levels: Levels,
    *,
    mono_correlation: float = 0.9995,
    inverted_correlation: float = -0.5,
    dead_db: float = 30.0,
) -> Stereo:
    """Image, correlation, width and balance of the first two channels, left and right in every usual layout.

    In curation: tells stereo from what only has two channels. One channel twice is "dual mono" at whatever level each
    has, since correlation does not hear level, and with noise or dither up to 36 dB below it. A channel `dead_db` below
    the other, or 18 dB if it holds the same, leaves "left only" or "right only": from there on sound lies at one side.
    "inverted" is a recording of which one channel's polarity is reversed; it sounds hollow and vanishes in mono.
    Further channels are not heard.

    A single answer for a whole clip is wrong where the image changes within it. Stereo effects that widen beyond the
    loudspeakers can correlate as little as reversed polarity, and true stereo with a weak centre, reversed, correlates
    more than −0.5 and is missed. A dead channel whose noise is loud, or a mono recording through two noisy channels
    (a cassette), reads as stereo.

    Levels under −120 dBFS count as −120 dBFS, so that both ratios are finite: two equal channels have the side/mid
    ratio of their level to that floor, about −100 dB, and so has the balance of a dead channel.

    Args:
        samples: shape (channels, samples), full scale 1.
        levels: of the same clip.
        mono_correlation: from this correlation up there is one channel, twice.
        inverted_correlation: down from this one a channel is reversed.
        dead_db: decibels between the channels from which one is dead.

    Returns:
        image: "stereo", "dual mono", "inverted", "left only" or "right only"; None for one channel and for silence.
        correlation: Pearson's, −1 to 1; None for one channel, and where either channel is constant.
        side_mid_ratio_db: level of (left − right) / 2 over (left + right) / 2; 0 dB where the channels have nothing in
            common. None for one channel and for silence.
        balance_db: level of the right channel over the left one's. None for one channel and for silence.

    Source: our own; for where differences of level put a sound, Blauert, "Spatial Hearing" (1997).

    >>> from audiocur.dsp.levels import levels
    >>> left = np.sin(np.arange(1000, dtype=np.float32))
    >>> for right in left, -left, 0 * left:
    ...     pair = np.stack([left, right])
    ...     stereo(pair, levels(pair, 44_100))[:2]
    ('dual mono', 1.0)
    ('inverted', -1.0)
    ('left only', None)
    """
    if samples.shape[0] < 2 or not levels.num_samples:
        return Stereo(None, None, None, None)
    left, right = levels.channel_power[:2].tolist()
    if max(left, right) <= NOTHING:
        return Stereo(None, None, None, None)
    common = float(levels.common @ (levels.lengths / levels.num_samples))
    correlation = None
    if min(left, right) > NOTHING:
        correlation = min(1.0, max(-1.0, common / math.sqrt(left * right)))
    side, middle = left + right - 2.0 * common, left + right + 2.0 * common
    if correlation is not None and correlation > _CLOSE:
        side = _power_of_sum(samples, levels, -1.0)
    elif correlation is not None and correlation < -_CLOSE:
        middle = _power_of_sum(samples, levels, 1.0)
    balance_db = _ratio_db(right, left)
    one = correlation is not None and correlation >= mono_correlation
    if abs(balance_db) >= (_ASIDE_DB if one else dead_db):
        image = "left only" if balance_db < 0 else "right only"
    elif one:
        image = "dual mono"
    elif correlation is not None and correlation <= inverted_correlation:
        image = "inverted"
    else:
        image = "stereo"
    return Stereo(image, correlation, _ratio_db(side, middle), balance_db)


def _power_of_sum(samples: Samples, levels: Levels, sign: float) -> float:
    """Mean square of left + right, or of left − right, about its mean."""
    mean = np.float32(levels.mean[0] + sign * levels.mean[1])
    total = 0.0
    for start in range(0, levels.num_samples, _BLOCK):
        left, right = samples[:2, start : start + _BLOCK]
        mixed = (left + right if sign > 0 else left - right) - mean
        total += float(np.einsum("i,i", mixed, mixed))
    return total / levels.num_samples


def _ratio_db(power: float, reference: float) -> float:
    return 10.0 * math.log10(max(power, NOTHING) / max(reference, NOTHING))
