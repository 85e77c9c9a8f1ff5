"""Drop-outs: where a recording stands still, or says the same twice, because samples got lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Samples

_NEAR_S = 0.01
_FAINTEST = 1e-3  # RMS, −60 dBFS: what is quieter than that on either side is no music to drop out of
_SIDES_RATIO = 6.0  # 15 dB between before and after; a note that ends and one that begins differ more, mostly
_JUMP, _STEEP = 0.1, 0.5  # of the RMS beside it, and of its steps': a wave that is not at one of them is at the other
_INSIDE = 0.9  # of the extremes beside it: further out it is a clipped peak or the top of a square wave
_STANDING = 0.3  # share of repeated samples beside it: more is a square wave, or no audio to begin with
_GRID = 16  # samples; every one in so many is looked at for repeated buffers
_BUFFERS = (64, 128, 256, 480, 512, 576, 960, 1024, 1152, 2048, 4096)  # of audio drivers, 10 ms packets, MPEG frames
_SLACK = 2  # samples by which a repeated buffer may seem longer, by chance
_SHORT_BUFFER = 256  # waves of so short a period are common, so these must also begin or end with a jump
_KINK = 4.0  # times the usual step
_GATE_S, _GATED, _IN_TIME, _MOSTLY = 0.02, 8, 0.05, 0.8  # what makes a rhythm of them
_CLOSED = 0.15  # of the time a gate is closed; lost buffers come to less


class Dropouts(NamedTuple):
    """What `dropouts` found; see there."""

    times: int
    total_s: float


def dropouts(samples: Samples, rate_hz: int, *, min_s: float = 0.001, max_s: float = 0.2) -> Dropouts:
    """Stretches inside music where the signal stands still, or repeats its last buffer.

    In curation: finds what a full disk, a busy processor or a lost packet left in a recording. One is a fault, and
    nothing that a model should learn; recorded music has none.

    Standing still is a run of equal samples of `min_s` to `max_s`, zeros or the last value held, with music of about
    the same level on either side, which the run interrupts in mid-wave: the wave leaves it with a jump or steeply and,
    unless the last value is held, was broken off in the same way. So pauses between songs, fades, gated notes that end
    in a fade or are followed by something of another level, clipped peaks and square waves are none. What is cut off in
    mid-wave and goes on in mid-wave within `max_s` is one, also where it was done on purpose (stutter effects), but not
    where it is cut off again and again at one distance, as a gated synthesizer is. Longer gaps are left to `silence`. A
    repeat is a buffer of a usual size (64 to 4096 samples) that is followed by itself, once or more often, and then by
    something else.

    It is wrong about drop-outs that were filled with noise or by a decoder's concealment, and about copies in a lossy
    format, resampled or with dither: nothing is exactly equal there.

    Args:
        samples: shape (channels, samples), full scale 1.
        rate_hz: sampling rate.
        min_s: the shortest run that counts, seconds.
        max_s: the longest.

    Returns:
        times: stretches, those of several channels at the same time counted once; 0 for silence.
        total_s: their length together.

    Source: our own; runs of equal samples are the usual criterion.

    >>> noise = np.random.default_rng(0).normal(0, 0.1, (1, 44_100)).astype(np.float32)
    >>> noise[0, 10_000:10_441] = 0.0
    >>> dropouts(noise, 44_100)
    Dropouts(times=1, total_s=0.01)
    """
    shortest, longest = max(8, round(min_s * rate_hz)), round(max_s * rate_hz)
    found: list[tuple[int, int]] = []
    for channel in samples:
        found += [run for run in _runs(channel, shortest) if _interrupts(channel, *run, longest, rate_hz)]
    if samples.size:
        loudest = samples[int(np.argmax(np.abs(samples[:, :: 8 * _GRID]).sum(axis=1)))]
        found += [run for run in _repeats(loudest) if run[1] - run[0] <= longest]
    if _gated(found, rate_hz):
        return Dropouts(0, 0.0)
    count = total = reached = 0
    for start, stop in sorted(found):
        count += start >= reached
        total += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return Dropouts(count, total / rate_hz)


def _gated(found: Sequence[tuple[int, int]], rate_hz: int) -> bool:
    """Whether they come at multiples of one distance, so many and so long that it is no chance."""
    starts = np.unique([start for start, _ in found])
    distances = np.diff(starts)
    distances = distances[distances > _GATE_S * rate_hz]  # not of two channels, or of one place found twice
    lengths = {start: stop - start for start, stop in found}
    if len(distances) < _GATED or sum(lengths.values()) < _CLOSED * (starts[-1] - starts[0]):
        return False
    steps = distances / np.quantile(distances, 0.1)
    return bool(np.mean(np.abs(steps - np.rint(steps)) < _IN_TIME) > _MOSTLY)


def _runs(channel: Samples, shortest: int) -> Iterator[tuple[int, int]]:
    """Runs of at least so many equal samples."""
    # Three samples on a grid of a third of the length lie in every such run, and one half way between two of them.
    grid = shortest // 3
    coarse = channel[::grid].copy()
    equal = coarse[1:] == coarse[:-1]
    at = np.flatnonzero(equal[1:] & equal[:-1])
    at = at[channel[at * grid + grid // 2] == coarse[at]]
    for first, last in _together(at):
        start, stop = max(0, (first - 1) * grid + 1), min(len(channel), (last + 3) * grid)
        differs = np.flatnonzero(channel[start:stop] != coarse[first + 1])
        edges = np.concatenate([[start - 1], start + differs, [stop]])
        longest = int(np.diff(edges).argmax())
        run = int(edges[longest]) + 1, int(edges[longest + 1])
        if run[1] - run[0] >= shortest:
            yield run


def _interrupts(channel: Samples, start: int, stop: int, longest: int, rate_hz: int) -> bool:
    """Whether a run of equal samples interrupts a sound."""
    near = max(8, round(_NEAR_S * rate_hz))
    before, after = channel[max(0, start - near) : start], channel[stop : stop + near]
    if stop - start > longest or min(len(before), len(after)) < near // 2:
        return False
    rms = [float(np.sqrt(np.mean(np.square(side)))) for side in (before, after)]
    if min(rms) < _FAINTEST or max(rms) > _SIDES_RATIO * min(rms):
        return False
    if max(np.mean(side[1:] == side[:-1]) for side in (before, after)) > _STANDING:
        return False
    value = float(channel[start])
    extreme = float(max(before.max(), after.max()) if value > 0 else -min(before.min(), after.min()))
    if not _breaks(after, value, rms[1]) or abs(value) > _INSIDE * extreme:
        return False
    return _breaks(before[::-1], value, rms[0]) or abs(value) >= _JUMP * min(rms)


def _breaks(side: Samples, value: float, rms: float) -> bool:
    """Whether the wave that begins here, seen from the run, leaves the run's value at once: by a jump, or steeply."""
    steps = np.diff(side)
    steep = abs(float(steps[0])) >= _STEEP * float(np.sqrt(np.mean(np.square(steps))))
    return steep or abs(float(side[0]) - value) >= _JUMP * rms


def _repeats(channel: Samples) -> Iterator[tuple[int, int]]:
    """Buffers that are followed by themselves."""
    coarse = channel[::_GRID].copy()
    for lag in _BUFFERS:
        step = lag // _GRID
        at = np.flatnonzero(coarse[step:] == coarse[:-step])
        for first, last in _together(at):
            if last - first + 2 < step:
                continue
            start, stop = max(0, (first - 1) * _GRID), min(len(channel) - lag, (last + 2) * _GRID)
            same = channel[start + lag : stop + lag] == channel[start:stop]
            edges = np.concatenate([[-1], np.flatnonzero(~same), [len(same)]])
            longest = int(np.diff(edges).argmax())
            begin, length = start + lag + int(edges[longest]) + 1, int(np.diff(edges)[longest]) - 1
            if length >= lag and (length % lag) <= _SLACK and _is_buffer(channel, begin, begin + length, lag):
                yield begin, begin + length


def _is_buffer(channel: Samples, start: int, stop: int, lag: int) -> bool:
    """Whether what is repeated is music, and no wave of that period."""
    buffer = channel[start - lag : start]
    if np.sqrt(np.mean(np.square(buffer))) < _FAINTEST or np.mean(buffer[1:] == buffer[:-1]) > _STANDING:
        return False
    if stop >= len(channel):
        return False
    jump = max(abs(float(channel[at] - channel[at - 1])) for at in (start, stop))
    usual = float(np.sqrt(np.mean(np.square(np.diff(buffer)))))
    return lag >= _SHORT_BUFFER or jump > _KINK * usual


def _together(at: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """First and last of each group of consecutive numbers."""
    if len(at):
        breaks = np.flatnonzero(np.diff(at) > 1)
        yield from zip(at[np.append(0, breaks + 1)].tolist(), at[np.append(breaks, len(at) - 1)].tolist(), strict=True)
