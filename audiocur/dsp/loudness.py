"""Programme loudness and loudness range after ITU-R BS.1770-5 and EBU Tech 3342."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from audiocur.audio import Samples
from audiocur.dsp.levels import frame_edges

Power = NDArray[np.float64]

_STEP_S = 0.1  # gating blocks of 0.4 s and windows of 3 s both advance by this
_MOMENTARY_STEPS = 4
_SHORT_TERM_STEPS = 30
_OFFSET_LU = -0.691  # takes back the K-weighting's gain at 997 Hz
_ABSOLUTE_GATE_LUFS = -70.0

# The analogue prototypes behind the 48 kHz coefficients in BS.1770-5, Annex 1, tables 1 and 2: the bilinear transform
# at 48 kHz gives those tables back to 1e-9.
_SHELF_HZ, _SHELF_DB = 1681.974450955533, 3.999843853973347
_SHELF_Q, _SHELF_EXPONENT = 0.7071752369554196, 0.4996667741545416
_REFERENCE_HZ = 997.0
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773

_SURROUND = 1.41  # BS.1770-5, Annex 1, table 3
_CHANNEL_WEIGHTS = {
    5: (1.0, 1.0, 1.0, _SURROUND, _SURROUND),  # L R C Ls Rs
    6: (1.0, 1.0, 1.0, 0.0, _SURROUND, _SURROUND),  # L R C LFE Ls Rs
}


def step_power(samples: Samples, rate_hz: int) -> Power:
    """K-weighted power in steps of 100 ms: what loudness and loudness range are both made of.

    Args:
        samples: shape (channels, samples). Five channels are L R C Ls Rs, six are L R C LFE Ls Rs; with any other
            number every channel counts alike.
        rate_hz: sampling rate; the weighting is derived for it.

    Returns:
        shape (steps,), float64: the channels' weighted sum of mean squares in each whole step, full scale 1.

    Source: ITU-R BS.1770-5, Annex 1.

    >>> step_power(np.zeros((2, 4410), np.float32), 44_100)
    array([0.])
    """
    channels = samples.shape[0]
    weights = np.array(_CHANNEL_WEIGHTS.get(channels, (1.0,) * channels))
    edges = frame_edges(samples.shape[1], _STEP_S, rate_hz, whole=True)
    sos = k_weighting(rate_hz)
    state = np.zeros((len(sos), channels, 2))
    power = np.empty(len(edges) - 1)
    # A second at a time stays in the cache. Double precision: at 384 kHz the poles of the high-pass lie within 1e-3 of
    # 1, where rounding the coefficients to single precision moves its corner.
    for i in range(0, len(power), 10):
        at = edges[i : i + 11]
        weighted, state = scipy.signal.sosfilt(sos, samples[:, at[0] : at[-1]].astype(np.float64), zi=state)
        # After seconds of digital silence the state would decay into subnormal numbers, which are many times slower.
        state[np.abs(state) < 1e-30] = 0.0
        np.square(weighted, out=weighted)
        energy = np.add.reduceat(weighted, at[:-1] - at[0], axis=1)
        power[i : i + 10] = (weights[:, np.newaxis] * energy).sum(axis=0) / np.diff(at)
    return power


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
    gated = _above_absolute_gate(_moving_mean(power, _MOMENTARY_STEPS))
    if not len(gated):
        return None
    return float(_lufs(gated[gated > gated.mean() / 10.0].mean()))


def loudness_range(power: Power) -> float | None:
    """Loudness range, in LU: how far the loud parts stand above the quiet ones.

    In curation: near 0 for drones and for masters without dynamics, above 20 for clips that mix near-silence and
    climax. It says nothing of dynamics within 3 s (drum hits, plosives), and in clips of a few seconds the windows
    overlap so much that it comes out small.

    Args:
        power: from `step_power`.

    Returns:
        LU; None for less than 3 s, and where nothing rises above −70 LUFS.

    Source: EBU Tech 3342 (2023): windows of 3 s every 100 ms, gates at −70 LUFS and 20 LU under their mean, the
    distance from the 10th to the 95th percentile.

    >>> loudness_range(np.full(100, 0.01))
    0.0
    """
    gated = _above_absolute_gate(_moving_mean(power, _SHORT_TERM_STEPS))
    if not len(gated):
        return None
    ordered = np.sort(_lufs(gated[gated > gated.mean() / 100.0]))
    low, high = (ordered[round((len(ordered) - 1) * share)] for share in (0.10, 0.95))
    return float(high - low)


@lru_cache(maxsize=16)
def k_weighting(rate_hz: int) -> NDArray[np.float64]:
    """The K-weighting filter at a sampling rate: a high shelf for the head and a high-pass, as second-order sections.

    A tone reads the same at every rate. So the bilinear transform, which bends the frequency axis, is pinned where
    997 Hz falls at 48 kHz (pinned at the corner, it would read 0.2 dB low at 8 kHz); and the high-pass keeps the gain
    it has at 48 kHz (the published numerator is 1, −2, 1, which is 0.04 dB off unity; at 8 kHz it would be 0.26 dB).
    A section whose corner lies above half the rate is left out.

    Returns:
        shape (sections, 6), for `scipy.signal.sosfilt`.

    Source: ITU-R BS.1770-5, Annex 1, tables 1 and 2.

    >>> np.round(k_weighting(48_000), 4)
    array([[ 1.5351, -2.6917,  1.1984,  1.    , -1.6907,  0.7325],
           [ 1.    , -2.    ,  1.    ,  1.    , -1.99  ,  0.9901]])
    """
    sections = []
    if rate_hz > 2 * _SHELF_HZ:
        k, gain = _tangent(_SHELF_HZ, rate_hz), 10 ** (_SHELF_DB / 20)
        damped, bent = k / _SHELF_Q, gain**_SHELF_EXPONENT * k / _SHELF_Q
        numerator = (gain + bent + k * k, 2 * (k * k - gain), gain - bent + k * k)
        sections.append([*numerator, 1 + damped + k * k, 2 * (k * k - 1), 1 - damped + k * k])
    if rate_hz > 2 * _HIGH_PASS_HZ:
        k, at_48k = _tangent(_HIGH_PASS_HZ, rate_hz), _tangent(_HIGH_PASS_HZ, 48_000)
        gain = 1 + at_48k / _HIGH_PASS_Q + at_48k * at_48k
        damped = k / _HIGH_PASS_Q
        sections.append([gain, -2 * gain, gain, 1 + damped + k * k, 2 * (k * k - 1), 1 - damped + k * k])
    sos = np.array(sections or [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    normalised: NDArray[np.float64] = sos / sos[:, 3:4]
    return normalised


def _tangent(corner_hz: float, rate_hz: int) -> float:
    """A corner on the bent axis of the bilinear transform."""
    pinned_hz = min(_REFERENCE_HZ, corner_hz)
    at_48k = math.tan(math.pi * corner_hz / 48_000) / math.tan(math.pi * pinned_hz / 48_000)
    return at_48k * math.tan(math.pi * pinned_hz / rate_hz)


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
