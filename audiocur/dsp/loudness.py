"""Programme loudness, its maxima and its range after ITU-R BS.1770-5 and EBU Tech 3341 and 3342."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Samples
from audiocur.dsp.k_weighting import k_weighted
from audiocur.dsp.levels import frame_edges

Power = NDArray[np.float64]

_STEP_S = 0.01
_HOP = 10  # steps: gating blocks of 0.4 s and windows of 3 s advance by 100 ms
_MOMENTARY = 40  # steps, 0.4 s
_SHORT_TERM = 300  # steps, 3 s
_OFFSET_LU = -0.691  # takes back the K-weighting's gain at 997 Hz
_ABSOLUTE_GATE_LUFS = -70.0
_NOTHING = 1e-15  # mean square: digital silence, but for what is left of a filter that rings out

_SURROUND = 1.41  # BS.1770-5, Annex 1, table 3
_CHANNEL_WEIGHTS = {
    5: (1.0, 1.0, 1.0, _SURROUND, _SURROUND),  # L R C Ls Rs
    6: (1.0, 1.0, 1.0, 0.0, _SURROUND, _SURROUND),  # L R C LFE Ls Rs
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, _SURROUND, _SURROUND),  # L R C LFE, behind (beyond 120°), at the sides
}


def step_power(samples: Samples, rate_hz: int) -> Power:
    """K-weighted power in steps of 10 ms: what every loudness here is made of.

    Args:
        samples: shape (channels, samples). Five channels are L R C Ls Rs, six are L R C LFE Ls Rs, eight are
            L R C LFE, back pair, side pair, as in WAV and FLAC; with any other number every channel counts alike.
        rate_hz: sampling rate; the weighting is derived for it.

    Returns:
        shape (steps,), float64: the channels' weighted sum of mean squares in each whole step, full scale 1.

    Source: ITU-R BS.1770-5, Annex 1.

    >>> step_power(np.zeros((2, 441), np.float32), 44_100)
    array([0.])
    """
    weights = _CHANNEL_WEIGHTS.get(len(samples), (1.0,) * len(samples))
    edges = frame_edges(samples.shape[1], _STEP_S, rate_hz, whole=True)
    power = np.zeros(len(edges) - 1)
    for weight, channel in zip(weights, samples, strict=True):
        if weight and len(power):
            weighted = k_weighted(channel[: edges[-1]], rate_hz)
            power += weight * np.add.reduceat(np.square(weighted, out=weighted), edges[:-1])
    return power / np.diff(edges)


def integrated_loudness(power: Power) -> float | None:
    """Integrated loudness, in LUFS.

    In curation: sorts out clips too quiet to learn from and masters crushed to the ceiling, and says what gain would
    level a set. It is wrong where a clip is mostly silence with a short event: the gates then measure the event.

    Args:
        power: from `step_power`.

    Returns:
        LUFS; None for less than 400 ms, and where nothing rises above −70 LUFS.

    Source: ITU-R BS.1770-5, Annex 1: blocks of 400 ms every 100 ms, gates at −70 LUFS and 10 LU under their mean.

    >>> tone = 0.1 * np.sin(2 * np.pi * 997 / 48_000 * np.arange(96_000, dtype=np.float32))
    >>> round(integrated_loudness(step_power(tone[None], 48_000)), 1)
    -23.0
    """
    gated = _gating_blocks(power, _MOMENTARY)
    if not len(gated):
        return None
    return float(_lufs(gated[gated > gated.mean() / 10.0].mean()))


def momentary_max(power: Power) -> float | None:
    """Maximum momentary loudness, in LUFS: of the loudest 400 ms.

    In curation: finds the one loud hit in a quiet clip, which the integrated loudness levels out. It has no gate, so a
    clip that is silent but for its dither has one as well.

    Args:
        power: from `step_power`.

    Returns:
        LUFS; None for less than 400 ms and for digital silence.

    Source: EBU Tech 3341 (2023), section 2.2; windows advance by 10 ms, so that no burst of 400 ms reads more than
    0.06 LU low.

    >>> round(momentary_max(np.append(np.zeros(100), np.full(40, 0.1))), 2)
    -10.69
    """
    return _highest(power, _MOMENTARY)


def short_term_max(power: Power) -> float | None:
    """Maximum short-term loudness, in LUFS: of the loudest 3 s.

    In curation: how loud a clip's loudest phrase is; with the integrated loudness it tells a build-up from a wall of
    sound. It is wrong for clips of little more than 3 s, of which it is the mean.

    Args:
        power: from `step_power`.

    Returns:
        LUFS; None for less than 3 s and for digital silence.

    Source: EBU Tech 3341 (2023), section 2.2, with windows that advance by 10 ms.

    >>> round(short_term_max(np.append(np.zeros(100), np.full(300, 0.1))), 2)
    -10.69
    """
    return _highest(power, _SHORT_TERM)


def loudness_range(power: Power) -> float | None:
    """Loudness range, in LU: how far the loud parts stand above the quiet ones.

    In curation: near 0 for drones and for masters without dynamics, above 20 for clips that mix near-silence and
    climax. It says nothing of dynamics within 3 s (drum hits, plosives), and in clips of a few seconds the windows
    overlap so much that it comes out small. FFmpeg's ebur128 also counts windows that reach back before the start, as
    if silence lay there: for clips of seconds it reads 1 to 2 LU more.

    Args:
        power: from `step_power`.

    Returns:
        LU; None for less than 3 s, and where nothing rises above −70 LUFS.

    Source: EBU Tech 3342 (2023): windows of 3 s every 100 ms, gates at −70 LUFS and 20 LU under their mean, the
    distance from the 10th to the 95th percentile.

    >>> loudness_range(np.full(1000, 0.01))
    0.0
    """
    gated = _gating_blocks(power, _SHORT_TERM)
    if not len(gated):
        return None
    ordered = np.sort(_lufs(gated[gated > gated.mean() / 100.0]))
    low, high = (ordered[round((len(ordered) - 1) * share)] for share in (0.10, 0.95))
    return float(high - low)


def _gating_blocks(power: Power, steps: int) -> Power:
    """Mean power of windows of so many steps every 100 ms, of those above the absolute gate."""
    tenths = power[: len(power) // _HOP * _HOP].reshape(-1, _HOP).mean(axis=1)
    return _above_absolute_gate(_moving_mean(tenths, steps // _HOP))


def _highest(power: Power, steps: int) -> float | None:
    mean = _moving_mean(power, steps)
    highest = mean.max(initial=0.0)
    return float(_lufs(highest)) if highest > _NOTHING else None


def _moving_mean(power: Power, steps: int) -> Power:
    if len(power) < steps:
        return np.empty(0)
    mean: Power = np.lib.stride_tricks.sliding_window_view(power, steps).mean(axis=-1)
    return mean


def _above_absolute_gate(power: Power) -> Power:
    return power[power > 10 ** ((_ABSOLUTE_GATE_LUFS - _OFFSET_LU) / 10)]


def _lufs(power: Power) -> Power:
    lufs: Power = _OFFSET_LU + 10.0 * np.log10(power)
    return lufs
