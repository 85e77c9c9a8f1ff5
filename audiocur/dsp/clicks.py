"""Clicks: single impulses that do not belong to the sound around them."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from audiocur.audio import Samples

_BLOCK_S = 0.00073
_CHUNK = 32_768  # samples that are worked on at a time: they stay in a core's own cache
_AROUND = 34  # blocks, 25 ms: an impulse that comes again within that is a wave, or crackle too dense to count
_CLEAR = 3  # blocks beside the loudest that may still be part of the click
_SCREEN = 4.0  # times the energy of any block around
_ORDER = 12
_AROUND_S, _CLICK_S, _BESIDE_S = 0.025, 0.0012, 0.006
_BEYOND_DOUBT = 2.5  # times as much alone as asked for, 8 dB: no attack is, whatever changes
_LEVEL_RATIO = 4.0  # 12 dB: a note that is easily predicted begins here
_FAINTEST = 2.5e-4  # −72 dBFS: eight steps of 16-bit audio
_REGULAR = 1e-9


def clicks_per_s(
    samples: Samples, rate_hz: int, *, threshold_db: float = 28.0, alone_db: float = 14.0, change_db: float = 3.0
) -> float | None:
    """Clicks a second: scratches of vinyl, bad edits, lost samples, pops of a plug; up to about 1 ms long.

    In curation: one in a clip is a blemish, one a second a scratched record. A click is what a linear prediction from
    the sound around it (25 ms on either side) misses by `threshold_db` more than it misses the rest. A drum does that
    too, so a click must also be alone (`alone_db` over any other error there: waves with edges and the pulses of a
    voice repeat within 25 ms), and leave no trace: in the 6 ms before and after, the prediction errs by the same
    amount, within `change_db`, and the level is the same within 12 dB. What drums, plosives and castanets begin goes
    on for longer than 1 ms.

    It is wrong about attacks that are impulses by themselves (a metronome, a dry wood block, the tick of an old drum
    machine): they are clicks, made on purpose. Clicks at an attack or within noise louder than they are, crackle denser
    than about 20 a second, and the first and last 25 ms of a clip are not heard.

    Args:
        samples: shape (channels, samples), full scale 1.
        rate_hz: sampling rate.
        threshold_db: of the error's peak, over its RMS around.
        alone_db: of the error's peak, over its largest value around.
        change_db: how much the error's RMS may differ after and before.

    Returns:
        clicks a second, those of several channels at the same time counted once; 0.0 for silence, None for clips of
        less than 0.06 s and rates under 4 kHz.

    Source: Vaseghi, "Advanced Digital Signal Processing and Noise Reduction" (2008), chapter on impulsive noise, for
    the error of a linear prediction; the screening and what tells attacks are our own.

    >>> tone = 0.1 * np.sin(0.05 * np.arange(44_100)) + np.random.default_rng(0).normal(0, 0.001, 44_100)
    >>> tone[20_000] += 0.1
    >>> clicks_per_s(tone[None].astype(np.float32), 44_100)
    1.0
    """
    block, num_samples = round(_BLOCK_S * rate_hz), samples.shape[1]
    if block < 3 or num_samples < block * 2 * (_AROUND + _CLEAR + 1):
        return None
    found: list[int] = []
    for channel in samples:
        for at in _suspects(channel, block).tolist():
            near = _AROUND_S * rate_hz
            if near + _ORDER < at < num_samples - near and _is_click(
                channel, at, rate_hz, threshold_db, alone_db, change_db
            ):
                found.append(at)
    count = int((np.diff(np.sort(found)) > 3 * block).sum()) + (len(found) > 0)
    return float(count * rate_hz / num_samples)


def _suspects(channel: Samples, block: int) -> NDArray[np.intp]:
    """Where the second difference, a crude prediction error, has an isolated peak of energy."""
    blocks = (len(channel) - 2) // block
    energy = np.empty(blocks, np.float32)
    ones = np.ones(block, np.float32)
    step = max(1, _CHUNK // block)
    for i in range(0, blocks, step):
        chunk = channel[i * block : min(i + step, blocks) * block + 2]
        change = chunk[1:] - chunk[:-1]
        error = (change[1:] - change[:-1]).reshape(-1, block)
        np.square(error, out=error)
        energy[i : i + step] = error @ ones
    largest = _largest(energy, _AROUND - _CLEAR + 1)
    at = np.arange(_AROUND + _CLEAR, blocks - _AROUND - _CLEAR)
    before, after = largest[at - _AROUND], largest[at + _CLEAR]
    here = energy[at]
    beside = np.maximum(energy[at - 1], energy[at + 1])
    alone = (here > _SCREEN * np.maximum(before, after)) & (here >= beside) & (here > np.square(_FAINTEST))
    suspects: NDArray[np.intp] = at[alone] * block + 1 + block // 2
    return suspects


def _largest(values: Samples, width: int) -> Samples:
    """The largest of each and those that follow it, so many in all; one for each that is followed by enough."""
    largest, seen = values, 1
    while seen < width:
        further = min(seen, width - seen)  # the largest of twice as many, or of those that are left
        largest, seen = np.maximum(largest[:-further], largest[further:]), seen + further
    return largest


def _is_click(channel: Samples, at: int, rate_hz: int, threshold_db: float, alone_db: float, change_db: float) -> bool:
    around, click, beside = (round(seconds * rate_hz) for seconds in (_AROUND_S, _CLICK_S, _BESIDE_S))
    near = channel[at - around - _ORDER : at + around].astype(np.float64)
    near -= near.mean()
    # The click itself, bridged by a line, takes no part in the prediction.
    bridged, first, last = near.copy(), around + _ORDER - click, around + _ORDER + click
    bridged[first:last] = np.linspace(near[first - 1], near[last], last - first)
    correlation = np.array([bridged[k:] @ bridged[: len(bridged) - k] for k in range(_ORDER + 1)])
    correlation[0] = correlation[0] * (1.0 + _REGULAR) + 1e-12
    prediction = scipy.linalg.solve_toeplitz(correlation[:-1], correlation[1:])
    error = np.abs(np.convolve(near, np.append(1.0, -prediction), "valid"))
    peak_at = around - click + int(error[around - click : around + click].argmax())
    peak = error[peak_at]
    before, after = error[: peak_at - click], error[peak_at + click + 1 :]
    rms = _rms(np.append(before, after))
    rms_before, rms_after = _rms(before[-beside:]), _rms(after[:beside])
    change = max(rms_before, rms_after) / max(min(rms_before, rms_after), 1e-9)
    over = peak / max(before.max(), after.max(), 1e-9)
    at = peak_at + _ORDER
    levels = [_rms(side) for side in (near[at - click - beside : at - click], near[at + click : at + click + beside])]
    return bool(
        peak > _FAINTEST
        and peak > rms * 10.0 ** (threshold_db / 20.0)
        and over > 10.0 ** (alone_db / 20.0)
        and (change < 10.0 ** (change_db / 20.0) or over > _BEYOND_DOUBT * 10.0 ** (alone_db / 20.0))
        and max(levels) < _LEVEL_RATIO * min(levels)
    )


def _rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
