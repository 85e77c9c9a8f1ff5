"""Lossy origin: whether a recording was MP3, AAC, Vorbis or Opus once, whatever it is stored as now."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Samples, Spectrogram
from audiocur.dsp.bandwidth import steady_power
from audiocur.dsp.codec_grid import codec_grid

_LOWEST_RATE_HZ = 32_000  # with less, nobody's low-pass lies above 10 kHz and under what the rate itself needs
_LOWEST_HZ, _HIGHEST_RATIO = 10_000.0, 0.92  # of half the rate: above that end converters' own filters
_SIDE_HZ = 300.0
_SHARP_HZ, _DEEP_HZ = 60.0, 200.0  # widths that the fall is measured over
_MOST_SAG = 0.15  # of fall and sag together; resamplers have 0.2 to 0.4
_HUMP_DB = -12.0  # what lies this far above all before it is a tone and its leakage, not a wall
_FAINTEST = 1e-15  # −150 dBFS a bin, under the rounding of 16 bits and above that of float32
_SILENCE = 1e-14  # what a DC offset leaves in float32
#: Half of the rates that recordings are resampled from, and where the edge of that lies, in parts of it.
_RESAMPLED_HZ = (11_025, 12_000, 16_000, 22_050, 24_000)
_RESAMPLED_RATIO = (0.93, 1.01)
_RESAMPLED_DB = 8.0  # more that a sharp wall must fall there: a faint recording hides how a resampler sags,
_NO_SAG = 0.04  # unless it does not sag at all, in parts of its fall
_CONTENT_DBFS = -115.0  # of a bin


class Lossy(NamedTuple):
    """What `lossy` found; see there."""

    suspect: bool | None
    codec: str | None
    codec_score: float | None
    zeroed_ratio: float | None
    wall_hz: float | None
    wall_db: float | None
    wall_db_per_octave: float | None
    wall_sag_db: float | None
    above_wall_dbfs: float | None


class _Wall(NamedTuple):
    hz: float
    fall_db: float
    fall_db_per_octave: float
    sag_db: float
    above_dbfs: float

    @property
    def clean(self) -> bool:
        """Whether the spectrum holds its level up to the edge."""
        return self.fall_db > 0 and _HUMP_DB <= self.sag_db <= _MOST_SAG * (self.fall_db + self.sag_db)


def lossy(
    mono: Samples,
    spectrogram: Spectrogram,
    *,
    min_score: float = 6.0,
    sharp_db: float = 12.0,
    deep_db: float = 18.0,
) -> Lossy:
    """Whether a clip is a decoded lossy copy, with the evidence.

    In curation: keeps copies of copies, with their warbling cymbals and smeared attacks, out of a set that is sold as
    lossless. Two traces count. The frames of the codec (see `codec_grid`) prove it. So does a wall in the spectrum: a
    codec drops all lines above some frequency, so the spectrum holds its level up to an edge, falls there by
    `sharp_db` within 60 Hz or by `deep_db` within 200 Hz, and never comes back. Position alone proves nothing: gently
    low-passed and dark recordings have no edge, and a resampler's filter sags before its edge, as codecs do not. At
    half of a usual rate (a 32 kHz recording in a 44.1 kHz file) only a sharp edge counts, 8 dB deeper or with no
    sag at all. Above 0.92 of half the clip's own rate converters have their filters, and nothing is looked for.

    It misses what `codec_grid` misses if it is also too dark to show a wall: of clips of 6 s that FFmpeg coded as MP3
    or AAC, one in forty up to 192 kbit/s and one in eight from 256; of Opus one in three. It is wrong about brick-wall
    low-passes above 10 kHz (FIR filters of 500 taps and more, resampling by FFT): these fall as codecs do.

    Args:
        mono: shape (samples,).
        spectrogram: of these samples, the shared one.
        min_score: standard deviations by which a codec's frames must stand out.
        sharp_db: least fall within 60 Hz.
        deep_db: least fall within 200 Hz.

    Returns:
        suspect: None where neither trace can be looked for: silence, pure tones, clips under 0.1 s, and low rates.
        codec, codec_score, zeroed_ratio: see `codec_grid`.
        wall_hz: where the spectrum falls most within 200 Hz, from 10 kHz up; None with the next four for rates under
            32 kHz, for silence and where it falls nowhere. Natural spectra have such a place too; see how far it falls.
        wall_db: how far it falls there, to the loudest 300 Hz above.
        wall_db_per_octave: how steeply.
        wall_sag_db: how far it has sunk within the 300 Hz before.
        above_wall_dbfs: the loudest 300 Hz above, mean power of a bin, re a full-scale sine; rounding to 16 bits is
            near −130.

    Source: walls after D'Alessandro and Shi, MP3 bit rate quality detection through frequency spectrum analysis (ACM
    MM&Sec 2009).

    >>> from audiocur.audio import Audio
    >>> noise = Audio(np.random.default_rng(0).normal(0, 0.1, (1, 44_100)).astype(np.float32), 44_100)
    >>> lossy(noise.mono, noise.spectrogram).suspect
    False
    """
    level = steady_power(spectrogram)
    if level is None or level.max() < _SILENCE:
        return Lossy(*[None] * 9)
    grid = codec_grid(mono, spectrogram, min_score=min_score)
    sharp, deep = _wall(level, spectrogram, _SHARP_HZ), _wall(level, spectrogram, _DEEP_HZ)
    suspect = grid.codec is not None
    if sharp is None or deep is None:
        return Lossy(suspect if grid.score is not None else None, *grid, *[None] * 5)
    rate_hz = spectrogram.rate_hz
    doubted = _may_be_resampled(sharp.hz, rate_hz) and sharp.sag_db > _NO_SAG * sharp.fall_db
    suspect |= sharp.clean and sharp.fall_db >= sharp_db + _RESAMPLED_DB * doubted
    suspect |= deep.clean and deep.fall_db >= deep_db and not _may_be_resampled(deep.hz, rate_hz)
    heard = level[spectrogram.frequencies_hz >= _LOWEST_HZ].max() > 10.0 ** (_CONTENT_DBFS / 10.0)
    judged = suspect or heard or grid.score is not None
    return Lossy(suspect if judged else None, *grid, *(deep if deep.fall_db > 0 else [None] * 5))


def _wall(level: Samples, spectrogram: Spectrogram, width_hz: float) -> _Wall | None:
    """The edge at which 300 Hz lie highest above the loudest 300 Hz that follow it."""
    if spectrogram.rate_hz < _LOWEST_RATE_HZ:
        return None
    frequencies_hz = spectrogram.frequencies_hz
    side, gap = (max(1, round(hz / frequencies_hz[1])) for hz in (_SIDE_HZ, width_hz))
    level = np.maximum(level, np.float32(_FAINTEST))
    # Means of decibels below the edge, so that a single tone is no wall; of power above it, so that one tone is enough.
    below_db = _moving_mean(10.0 * np.log10(level), side)
    above_db = 10.0 * np.log10(np.maximum.accumulate(_moving_mean(level, side)[::-1])[::-1])
    first, end = np.searchsorted(frequencies_hz, (_LOWEST_HZ, _HIGHEST_RATIO * frequencies_hz[-1]))
    edges = np.arange(first, min(end, len(level) - side - gap))  # last bins below
    falls_db = below_db[edges - side + 1] - above_db[edges + gap]
    at = int(falls_db.argmax())
    edge, fall_db = edges[at], float(falls_db[at])
    low_hz, high_hz = frequencies_hz[[edge, edge + gap]]
    return _Wall(
        hz=float(low_hz + high_hz) / 2,
        fall_db=fall_db,
        fall_db_per_octave=fall_db / float(np.log2(high_hz / low_hz)),
        sag_db=float(below_db[edge - 2 * side + 1] - below_db[edge - side + 1]),
        above_dbfs=float(above_db[edge + gap]),
    )


def _moving_mean(values: NDArray[np.floating], length: int) -> NDArray[np.float64]:
    sums = np.cumsum(values, dtype=np.float64)
    return np.append(sums[length - 1], sums[length:] - sums[:-length]) / length


def _may_be_resampled(hz: float, rate_hz: int) -> bool:
    low, high = _RESAMPLED_RATIO
    return any(low * half <= hz <= high * half for half in _RESAMPLED_HZ if 2 * half < rate_hz)
