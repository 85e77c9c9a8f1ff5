"""Where a recording's energy lies, and whether it is tone or noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audiocur.audio import DC_BINS, Spectrogram

_SMALLEST_POWER = np.float32(1e-20)  # −200 dB: keeps the logarithm finite in bins that hold nothing


class Spectrum(NamedTuple):
    """What `spectrum` found; see there."""

    centroid_hz: float | None
    flatness: float | None


def spectrum(spectrogram: Spectrogram, *, silence_dbfs: float = -60.0, flatness_max_hz: float = 8000.0) -> Spectrum:
    """Centroid and flatness over the frames that are not silent.

    In curation: the centroid tells dull from bright (an orchestra 400–900 Hz, dense pop 1–3 kHz), and flatness tones
    (near 0) from noise (0.56 for white noise, seen through single frames). Both are measured on the mono view, so what
    two channels cancel is not heard; DC and frames at the clip's edges are left out. Flatness stops at
    `flatness_max_hz`, which every codec keeps: otherwise the low-pass of a lossy copy, not the sound, would decide it.
    A recording low-passed below that still reads too low.

    Args:
        spectrogram: the shared spectrogram.
        silence_dbfs: frames under this RMS level are left out.
        flatness_max_hz: upper end of the range that flatness is taken over.

    Returns:
        centroid_hz: mean frequency weighted with power, so loud frames count for more.
        flatness: geometric over arithmetic mean of the power in a frame, averaged over frames; 0 to 1. Both None where
            every frame is silent, and for clips shorter than a window (about 0.1 s).

    Source: flatness after Gray and Markel (1974), centroid as in MPEG-7 audio.

    >>> from audiocur.audio import Audio
    >>> tone = np.sin(2 * np.pi * 1000 / 44_100 * np.arange(44_100, dtype=np.float32))[None]
    >>> centroid_hz, flatness = spectrum(Audio(tone, 44_100).spectrogram)
    >>> round(centroid_hz), flatness < 0.001
    (1000, True)
    """
    power, level = spectrogram.power[DC_BINS:, spectrogram.clear], spectrogram.mean_square[spectrogram.clear]
    heard = level > 10.0 ** (silence_dbfs / 10.0)
    if not heard.any():
        return Spectrum(None, None)
    if not heard.all():
        power = power[:, heard]
    total = power.sum(axis=1).astype(np.float64)
    frequencies_hz = spectrogram.frequencies_hz[DC_BINS:]
    centroid_hz = float((frequencies_hz * total).sum() / total.sum())
    band = np.maximum(power[: np.searchsorted(frequencies_hz, flatness_max_hz, side="right")], _SMALLEST_POWER)
    flatness = float(np.mean(np.exp(np.log(band).mean(axis=0)) / band.mean(axis=0)))
    return Spectrum(centroid_hz, min(1.0, flatness))
