"""Levels: decibels, the frames they are taken over, and one pass over the samples that many measures share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Mean square of what counts as nothing at all: −120 dBFS, below the last bit of 20-bit audio.
NOTHING = 1e-12

_FRAME_S = 0.01
_BLOCK = 64  # frames: of two channels at 48 kHz they take 250 kB, which stays in a core's own cache


@dataclass(frozen=True)
class Levels:
    """Mean, power and extremes of a clip, in frames of 10 ms.

    Attributes:
        rate_hz: sampling rate.
        frame: samples in a frame; the last frame may be shorter.
        num_samples: samples in each channel.
        mean: DC offset of each channel, shape (channels,).
        power: mean square about that mean, shape (channels, frames), float32.
        highest, lowest: extremes of the samples as they are, shape (channels, frames), float32.
        common: mean product of the first two channels about their means, shape (frames,); zeros for one channel.
    """

    rate_hz: int
    frame: int
    num_samples: int
    mean: NDArray[np.float64]
    power: NDArray[np.float32]
    highest: NDArray[np.float32]
    lowest: NDArray[np.float32]
    common: NDArray[np.float32]

    @property
    def lengths(self) -> NDArray[np.intp]:
        """Samples in each frame, shape (frames,)."""
        return np.minimum(self.frame, self.num_samples - self.frame * np.arange(self.power.shape[1]))

    @property
    def channel_power(self) -> NDArray[np.float64]:
        """Mean square of each channel about its mean, shape (channels,); there must be samples."""
        power: NDArray[np.float64] = (self.power * (self.lengths / self.num_samples)).sum(axis=1)
        return power


def levels(samples: NDArray[np.float32], rate_hz: int) -> Levels:
    """Take the levels of a clip; `Audio.levels` keeps them.

    In curation: decides nothing itself; silence, stereo image, DC offset, dynamics, clipping and edges are read from
    it, so that the samples are gone through once for all of them.

    Args:
        samples: shape (channels, samples), full scale 1.
        rate_hz: sampling rate.

    Returns:
        Levels; without frames where there are no samples.

    >>> found = levels(np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), 8000)
    >>> found.mean, found.power
    (array([0.5, 0.5]), array([[0.0625],
           [0.    ]], dtype=float32))
    """
    num_samples = samples.shape[1]
    frame = max(1, round(_FRAME_S * rate_hz))
    frames = -(-num_samples // frame)
    whole = num_samples // frame
    # Rows that lie apart in memory, as those of a file do, would be summed in another order, and round otherwise.
    rows = [np.ascontiguousarray(row) for row in samples]
    parts = [(slice(0, whole), [row[: whole * frame].reshape(whole, frame) for row in rows])]
    if whole < frames:
        parts.append((slice(whole, frames), [row[np.newaxis, whole * frame :] for row in rows]))
    sums = [[float(part.sum(axis=1).sum(dtype=np.float64)) for part in channels] for _, channels in parts]
    mean = np.sum(sums, axis=0) / max(1, num_samples)
    power, highest, lowest = (np.zeros((len(rows), frames), np.float32) for _ in range(3))
    common = np.zeros(frames, np.float32)
    for at, channels in parts:
        for i in range(at.start, at.stop, _BLOCK):
            here = slice(i, min(i + _BLOCK, at.stop))
            centred = []
            for channel, part in enumerate(channels):
                block = part[i - at.start : i - at.start + _BLOCK]
                block.max(axis=1, out=highest[channel, here])
                block.min(axis=1, out=lowest[channel, here])
                centred.append(block - np.float32(mean[channel]))
                power[channel, here] = _mean_product(centred[-1], centred[-1])
            if len(centred) > 1:
                common[here] = _mean_product(centred[0], centred[1])
    return Levels(rate_hz, frame, num_samples, mean, power, highest, lowest, common)


def _mean_product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    products: NDArray[np.float32] = np.matmul(a[:, np.newaxis], b[:, :, np.newaxis])[:, 0, 0]
    return products / np.float32(a.shape[1])


def amplitude_db(amplitude: float) -> float | None:
    """Decibels of an amplitude ratio, None for zero.

    >>> amplitude_db(0.1), amplitude_db(0.0)
    (-20.0, None)
    """
    return 20.0 * math.log10(amplitude) if amplitude > 0 else None


def frame_edges(num_samples: int, frame_s: float, rate_hz: int, *, whole: bool = False) -> NDArray[np.intp]:
    """First samples of consecutive frames, and the end of the last one.

    Edges are rounded to samples one by one, so frames that are no whole number of samples (100 ms at 11,025 Hz) do not
    drift.

    Args:
        num_samples: length of the signal.
        frame_s: length of a frame in seconds; frames are never shorter than a sample.
        rate_hz: sampling rate.
        whole: leave out a last frame that is not complete, instead of letting it be shorter.

    Returns:
        shape (frames + 1,), from 0; only the 0 where there is no frame.

    >>> frame_edges(2500, 0.1, 10_000), frame_edges(2500, 0.1, 10_000, whole=True)
    (array([   0, 1000, 2000, 2500]), array([   0, 1000, 2000]))
    """
    frame = max(1.0, frame_s * rate_hz)
    # The small excess keeps a last whole frame whose edge is a rounding error past the end.
    frames = int(num_samples / frame + 1e-9)
    edges: NDArray[np.intp] = np.rint(np.arange(frames + 1) * frame).astype(np.intp)
    if not whole and edges[-1] < num_samples:
        edges = np.append(edges, num_samples)
    return edges
