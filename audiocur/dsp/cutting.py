"""Where to cut a recording into clips: at quiet points, and never through a phrase that fits into one clip."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Samples

Interval = tuple[int, int]

FRAME_S = 0.02  # two periods of 100 Hz, and short enough to fall between two notes
STEP_FRAMES = 5  # one candidate for a cut every 0.1 s, at the quietest of five frames

# Partitions are compared by what their clips cost, in whole numbers so that sums are exact. For each of its ends a clip
# pays the amplitude there, 0 to 100,000, so the aims rank: leave nothing uncut, tear no phrase oftener than need be,
# cut where it is quiet.
UNCUT = 10**8  # each sample in no clip
TEAR = 10**9  # each end inside a voiced interval that is too long for one clip
FORBIDDEN = 10**12  # inside one that fits


def rms(samples: Samples, frame_samples: int) -> NDArray[np.float64]:
    """Root mean square of each frame, over all channels.

    It decides where a clip may begin and end: at the quietest frames in reach. Power is averaged over the channels
    without a down-mix, so that channels in opposite phase do not pass for silence. It is wrong where a quiet place is
    no pause: the middle of a held, soft note, or the gap between two drum strokes of one bar.

    Args:
        samples: shape (channels, samples), full scale ±1.
        frame_samples: length of a frame; the last may be shorter.

    Returns:
        Shape (ceil(samples / frame_samples),), full scale 1 (a square wave), 0 for digital silence.

    >>> rms(np.array([[1, -1, 0.5, -0.5, 0.25], [1, -1, -0.5, 0.5, 0.25]], np.float32), 2).tolist()
    [1.0, 0.5, 0.25]
    """
    channels, num_samples = samples.shape
    full = num_samples // frame_samples
    frames = samples[:, : full * frame_samples].reshape(channels, full, frame_samples)
    power = np.einsum("cfs,cfs->f", frames, frames) / (channels * frame_samples)
    rest = samples[:, full * frame_samples :]
    if rest.size:
        power = np.append(power, np.square(rest).mean())
    root: NDArray[np.float64] = np.sqrt(power, dtype=np.float64)
    return root


def best_clips(
    amplitude: NDArray[np.float64],
    *,
    frame_samples: int,
    num_samples: int,
    voiced: Sequence[Interval],
    min_samples: int,
    max_samples: int,
) -> list[Interval]:
    """The partition of a recording into clips whose cuts, taken together, are the quietest.

    It decides what every training example begins and ends with. A voiced interval no longer than `max_samples` is
    never cut: where it and its neighbours cannot be tiled by clips of allowed lengths, the shortest possible stretch is
    left in no clip. A longer one is cut as seldom as may be, at its quietest points. A recording without voice is tiled
    without remainder if it has `min_samples` or more and `max_samples` is at least twice that. It is wrong where
    phrases are not voiced: an instrumental melody is cut at its quietest, not at its cadence.

    What a cut costs is the amplitude there and not its level in dB: one more cut in a rest is then cheaper than one cut
    in the middle of a note, at any loudness, while 60 and 80 dB below full scale are as good as each other.

    Dynamic programming over one candidate every 0.1 s (the quietest of five frames), the edges of the voiced intervals
    and the points of equal division, which keep a partition possible. Of equally good clips the longer comes later.

    Args:
        amplitude: shape (frames,), of each frame, full scale 1, as from `rms`.
        frame_samples: samples in a frame.
        num_samples: samples in the recording.
        voiced: stretches [start, end) in samples, disjoint and in order.
        min_samples: shortest clip.
        max_samples: longest clip.

    Returns:
        Clips [start, end), disjoint and in order.

    >>> amplitude = np.array([0.1, 0.1, 0.1, 0.01, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    >>> best_clips(amplitude, frame_samples=10, num_samples=100, voiced=[], min_samples=20, max_samples=80)
    [(0, 35), (35, 100)]
    >>> best_clips(amplitude, frame_samples=10, num_samples=100, voiced=[(30, 60)], min_samples=20, max_samples=80)
    [(0, 30), (30, 100)]
    """
    positions, costs = _candidates(amplitude, frame_samples, num_samples, voiced, max_samples)
    first = np.searchsorted(positions, positions - max_samples, side="left").tolist()
    stop = np.searchsorted(positions, positions - min_samples, side="right").tolist()
    lost = (np.diff(positions, prepend=0) * UNCUT).tolist()
    opened = np.zeros(len(positions), np.int64)  # what all up to here costs at least, if a clip begins here
    total, start_of = 0, [-1] * len(positions)
    for i, cost in enumerate(costs.tolist()):
        total += lost[i]  # if no clip ends here, what lies since the last candidate is in none
        if first[i] < stop[i]:
            j = first[i] + int(opened[first[i] : stop[i]].argmin())
            if (closed := int(opened[j]) + cost) <= total:
                total, start_of[i] = closed, j
        opened[i] = total + cost
    clips: list[Interval] = []
    i = len(positions) - 1
    while i > 0:
        if (j := start_of[i]) >= 0:
            clips.append((int(positions[j]), int(positions[i])))
            i = j
        else:
            i -= 1
    return clips[::-1]


def _candidates(
    amplitude: NDArray[np.float64], frame_samples: int, num_samples: int, voiced: Sequence[Interval], max_samples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where a clip may begin or end, in order and with both ends of the recording, and what each place costs."""
    intervals = np.array(voiced, np.int64).reshape(-1, 2)
    fits = intervals[:, 1] - intervals[:, 0] <= max_samples
    loudness = np.round(amplitude * 100_000).astype(np.int64)

    def price(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        costs = loudness[positions // frame_samples] + TEAR * _inside(positions, intervals[~fits])
        return np.where(_inside(positions, intervals[fits]), FORBIDDEN, costs)

    centres = np.arange(num_samples // frame_samples) * frame_samples + frame_samples // 2
    costs = np.pad(price(centres), (0, -len(centres) % STEP_FRAMES), constant_values=FORBIDDEN)
    quietest = costs.reshape(-1, STEP_FRAMES).argmin(axis=1) + np.arange(0, len(costs), STEP_FRAMES)
    parts = -(-num_samples // max_samples)
    division = np.arange(1, parts) * num_samples // parts
    inner = np.unique(np.concatenate((centres[quietest], intervals.ravel(), division)))
    inner = inner[(inner > 0) & (inner < num_samples)]
    costs = price(inner)
    allowed = costs < FORBIDDEN
    return np.concatenate(([0], inner[allowed], [num_samples])), np.pad(costs[allowed], 1)


def _inside(positions: NDArray[np.int64], intervals: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which positions lie strictly inside one of the intervals, shape (n, 2), disjoint and in order."""
    end_of_last_begun = np.append(0, intervals[:, 1])[np.searchsorted(intervals[:, 0], positions, side="left")]
    inside: NDArray[np.bool_] = positions < end_of_last_begun
    return inside


def quiet_clips(
    samples: Samples, rate_hz: int, voiced_s: Sequence[tuple[float, float]], *, min_s: float, max_s: float
) -> list[Interval]:
    """`best_clips` of a recording, in seconds: clips of `min_s` to `max_s`, [start, end) in samples.

    Args:
        samples: shape (channels, samples), full scale ±1.
        rate_hz: sampling rate.
        voiced_s: voiced intervals [start, end) in seconds, disjoint and in order.
        min_s: shortest clip; holds to the sample.
        max_s: longest clip; holds to the sample.

    >>> beeps = np.ones((1, 8000), np.float32) * (np.arange(8000) % 2500 < 2200)
    >>> [(start / 1000, end / 1000) for start, end in quiet_clips(beeps, 1000, [], min_s=2, max_s=4)]
    [(0.0, 2.21), (2.21, 4.71), (4.71, 8.0)]
    """
    num_samples = samples.shape[1]
    frame_samples = max(1, round(FRAME_S * rate_hz))
    bounds = [(round(start * rate_hz), min(round(end * rate_hz), num_samples)) for start, end in voiced_s]
    return best_clips(
        rms(samples, frame_samples),
        frame_samples=frame_samples,
        num_samples=num_samples,
        voiced=[(start, end) for start, end in bounds if start < end],
        # Rounded first: 0.07 s at 100 Hz are 7 samples, not the 7.000000000000001 of the product.
        min_samples=math.ceil(round(min_s * rate_hz, 6)),
        max_samples=math.floor(round(max_s * rate_hz, 6)),
    )
