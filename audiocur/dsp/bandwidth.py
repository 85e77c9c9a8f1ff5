"""Effective bandwidth: how high a recording's content reaches, whatever its sampling rate promises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import DC_BINS, Samples, Spectrogram

_BANDS_PER_OCTAVE = 24
_SIXTH = _BANDS_PER_OCTAVE // 6
_LOWEST_WALL_HZ = 1000.0
_STEEP_DB = 7.0  # in a sixth of an octave, 42 dB an octave: steeper than music falls for long
_WALL_DB = 40.0
_RETURN_DB = 6.0
_EDGE_DB = 4.0


def bandwidth_hz(
    spectrogram: Spectrogram, *, floor_dbfs: float = -115.0, range_db: float = 90.0, percentile: float = 90.0
) -> float | None:
    """Highest frequency with content above the noise floor.

    In curation: finds telephone speech in 48 kHz files, up-sampled records and strongly compressed copies, which teach
    a model to generate dull sound. By itself it does not prove a lossy copy: dark masters end as low. Measured on the
    mono view; wrong where hiss louder than the floor fills the spectrum (reads full), and for a few steady tones over
    faint noise (reads the highest tone).

    Power is averaged over half-second groups of frames, so that noise is smooth; of each bin the groups' percentile is
    taken, so that a click or an edit, which fills the whole spectrum for an instant, does not count. Content is what
    exceeds both `floor_dbfs` and the loudest bin less `range_db`. If the spectrum falls by 40 dB at more than 42 dB an
    octave and never comes back, that is a filter, and the measure is its edge: what lies above is the filter's leakage.
    Frames at the clip's edges are left out: where a clip is cut inside a sound, the cut itself is broadband.

    Args:
        spectrogram: the shared spectrogram.
        floor_dbfs: power of a bin, re a full-scale sine; dither of 16-bit audio lies near −124.
        range_db: decibels under the loudest bin that content may lie.
        percentile: of the groups' power in each bin.

    Returns:
        Hz, at most half the rate; None for silence and for clips shorter than a window (about 0.1 s).

    >>> from audiocur.audio import Audio
    >>> noise = np.random.default_rng(0).normal(0, 0.1, (1, 44_100)).astype(np.float32)
    >>> bandwidth_hz(Audio(noise, 44_100).spectrogram) > 22_000
    True
    """
    level = steady_power(spectrogram, percentile=percentile)
    if level is None:
        return None
    threshold = max(10.0 ** (floor_dbfs / 10.0), float(level.max()) * 10.0 ** (-range_db / 10.0))
    content = np.flatnonzero(level > threshold)
    if not len(content):
        return None
    frequencies_hz = spectrogram.frequencies_hz
    edge_hz = _filter_edge_hz(np.maximum(level, threshold), frequencies_hz)
    highest_hz = float(frequencies_hz[content[-1]])
    return highest_hz if edge_hz is None else min(edge_hz, highest_hz)


def steady_power(spectrogram: Spectrogram, *, percentile: float = 90.0) -> Samples | None:
    """Power of each bin, free of what lasts an instant: a percentile over half-second groups of frames.

    In curation: the spectrum that `bandwidth_hz` and `lossy` judge. Loud passages decide it: what is heard in less than
    a tenth of the clip, at the default percentile, is left out.

    Args:
        spectrogram: the shared spectrogram.
        percentile: of the groups' power in each bin.

    Returns:
        Shape (bins,), DC at 0; None for clips shorter than a window (about 0.1 s).

    >>> from audiocur.audio import Audio
    >>> steady_power(Audio(np.ones((1, 44_100), np.float32), 44_100).spectrogram).shape
    (2049,)
    """
    means = spectrogram.group_power
    if means is None:
        return None
    rank = int((means.shape[1] - 1) * percentile / 100.0)
    level: Samples = np.partition(means, rank, axis=1)[:, rank]
    level[:DC_BINS] = 0.0
    return level


def _filter_edge_hz(level: Samples, frequencies_hz: NDArray[np.float64]) -> float | None:
    """Where a low-pass filter cuts, None where the spectrum ends without one."""
    octaves = np.log2(frequencies_hz[-1] / _LOWEST_WALL_HZ)
    if octaves <= 0:
        return None
    limits = _LOWEST_WALL_HZ * 2.0 ** (np.arange(int(octaves * _BANDS_PER_OCTAVE) + 1) / _BANDS_PER_OCTAVE)
    starts = np.searchsorted(frequencies_hz, limits)
    band_db = 10.0 * np.log10(np.add.reduceat(level, starts) / np.diff(np.append(starts, len(level))))
    steep = band_db[:-_SIXTH] - band_db[_SIXTH:] >= _STEEP_DB
    turns = np.flatnonzero(np.diff(steep.astype(np.int8), prepend=0, append=0))
    for top, bottom in zip(turns[::2], turns[1::2] + _SIXTH - 1, strict=True):
        falls = band_db[top] - band_db[bottom] >= _WALL_DB
        if falls and band_db[bottom:].max() <= band_db[bottom] + _RETURN_DB:
            passed = level[starts[top] : starts[bottom]] > 10.0 ** ((band_db[top] - _EDGE_DB) / 10.0)
            return float(frequencies_hz[starts[top] + np.flatnonzero(passed)[-1]])
    return None
