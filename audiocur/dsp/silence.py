"""Silence: how much of a clip is too quiet to hear."""

from __future__ import annotations

import numpy as np

from audiocur.audio import Samples
from audiocur.dsp.levels import frame_edges


def silence_ratio(
    samples: Samples, rate_hz: int, *, threshold_dbfs: float = -60.0, frame_s: float = 0.02
) -> float | None:
    """Share of the time in frames whose level lies under a threshold in every channel.

    In curation: drops clips that are mostly pause, gap or fade. Levels are RMS re full scale (a full-scale sine reads
    −3 dBFS), with the clip's DC offset taken off first. The threshold is absolute, so it is wrong where the noise of an
    old recording is louder than the threshold (pauses do not count) and where quiet music lies under it.

    Args:
        samples: shape (channels, samples), full scale 1.
        rate_hz: sampling rate.
        threshold_dbfs: RMS level under which a frame is silent.
        frame_s: length of a frame, seconds.

    Returns:
        0 to 1; None for no samples.

    >>> noise = np.where(np.arange(40_000) < 8_000, 0.0, np.tile([0.5, -0.5], 20_000)).astype(np.float32)
    >>> silence_ratio(noise[None], 40_000)
    0.2
    """
    if not samples.size:
        return None
    edges = frame_edges(samples.shape[1], frame_s, rate_hz)
    lengths = np.diff(edges)
    threshold = 10.0 ** (threshold_dbfs / 10.0)
    silent = np.ones(len(lengths), bool)
    for channel in samples:
        centred = channel - channel.mean(dtype=np.float64).astype(np.float32)
        np.square(centred, out=centred)
        silent &= np.add.reduceat(centred, edges[:-1]) / lengths < threshold
    return float(lengths[silent].sum() / samples.shape[1])
