"""Dynamics: how far peaks stand above the level, by which a crushed master is known."""

from __future__ import annotations

import math

from audiocur.dsp.levels import NOTHING, Levels


def crest_factor_db(levels: Levels) -> float | None:
    """Peak over RMS of the channel that has most power, about its mean.

    In curation: a square wave has 0 dB, a sine 3, a crushed master 6 to 9, music as it was played 12 to 20, lone drums
    25. It does not tell crushing from music that is dense by nature (an organ, a distorted guitar, a pad has 6 to 12),
    one click raises it, and a long pause raises it by the share of the pause.

    Args:
        levels: of the clip.

    Returns:
        decibels, 0 and more; None for silence and for no samples.

    Source: the usual definition, 20 log10(peak / RMS); also called peak factor.

    >>> import numpy as np
    >>> from audiocur.dsp.levels import levels
    >>> tone = np.sin(2 * np.pi * 441 / 44_100 * np.arange(44_100, dtype=np.float32))[None]
    >>> round(crest_factor_db(levels(tone, 44_100)), 2)
    3.01
    """
    if not levels.num_samples:
        return None
    power = levels.channel_power
    channel = int(power.argmax())
    if power[channel] <= NOTHING:
        return None
    mean = levels.mean[channel]
    peak = max(levels.highest[channel].max() - mean, mean - levels.lowest[channel].min())
    return max(0.0, 20.0 * math.log10(peak / math.sqrt(power[channel])))


def peak_to_loudness_db(true_peak_dbtp: float | None, loudness_lufs: float | None) -> float | None:
    """Peak-to-loudness ratio: true peak over integrated loudness.

    In curation: what streaming services turn up or down is loudness, so this is the headroom a master spends on its
    peaks: crushed ones have 6 to 9, careful ones 12 and more. As the gate of the loudness leaves pauses out, it is
    steadier than the crest factor; it is wrong in the same ways otherwise. The ratio is the same at any gain.

    Args:
        true_peak_dbtp: dBTP.
        loudness_lufs: LUFS.

    Returns:
        decibels (or LU, which are the same); None where either is.

    Source: the usual definition, called PLR; true peak and integrated loudness are those of ITU-R BS.1770-5.

    >>> peak_to_loudness_db(-1.0, -14.0), peak_to_loudness_db(None, None)
    (13.0, None)
    """
    if true_peak_dbtp is None or loudness_lufs is None:
        return None
    return true_peak_dbtp - loudness_lufs
