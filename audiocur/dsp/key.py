"""Musical key and tuning, from the spectral peaks of the shared spectrogram."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Spectrogram

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 2000.0  # below, bins are wider than semitones; above, overtones outnumber notes
_RANGE_DB = 50.0  # peaks further under the clip's loudest are left out
_A4_HZ = 440.0
_A = 9  # pitch class of A, counted from C

_CLEAR_MARGIN = 0.1  # between the best key's correlation and the next one's
_CLEAR_RELIEF = 0.125  # standard deviation over mean of the pitch classes' roots: noise has 0.015, music 0.2 to 0.75

_MIDDLE_C = -9.0  # semitones from A4
_OVERTONE_SLOPE = 0.5  # octaves to halve an amplitude: two, above middle C, where more and more peaks are overtones

# The spelling with fewer accidentals.
_MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")

# How often each degree, from the tonic in semitones, occurs: Albrecht and Shanahan (2013), table 2.
_MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
_MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)


class Key(NamedTuple):
    """What `key` found; see there."""

    name: str | None
    confidence: float | None
    tuning_cents: float | None


class Peaks(NamedTuple):
    """Spectral peaks of a clip: pitch in semitones from A4 = 440 Hz, and amplitude; both of shape (peaks,)."""

    pitch: NDArray[np.float64]
    amplitude: NDArray[np.float64]


def key(spectrogram: Spectrogram, *, silence_dbfs: float = -60.0) -> Key:
    """Key and tuning.

    In curation: labels tonal music, and tells recordings whose pitch was shifted (tuning far from 0). One key is
    assumed for the clip: it is wrong across a modulation. Usual errors are the relative key (A minor for C major: the
    same notes), the parallel one and the fifth; a loop of Am–F–C–G is in either of two keys, and the measure may say
    the other one. A single held note, or drums, have a key by name only, with low confidence.

    The peaks of all frames are folded into twelve pitch classes, after the tuning is taken off, and compared with how
    often each degree occurs in major and minor keys: root with root, so that one long note does not outweigh the rest.

    Args:
        spectrogram: the shared spectrogram.
        silence_dbfs: clips under this RMS level have no key.

    Returns:
        name: tonic and mode, "A minor", "Eb major", spelled with fewer accidentals.
        confidence: 0 to 1. The correlation with the best key's profile, less where the next key is close behind or
            where the pitch classes hardly differ.
        tuning_cents: of A4 over 440 Hz, −50 to 50. All None for silence, clips shorter than a window (about 0.1 s) and
            clips without peaks between 60 and 2000 Hz.

    Source: Krumhansl's key-finding method (1990) with the profiles of Albrecht and Shanahan, "The use of large corpora
    to train a new type of key-finding algorithm" (2013).

    >>> from audiocur.audio import Audio
    >>> t = np.arange(44_100) / 44_100
    >>> chords = [(220, 262, 330), (294, 349, 440), (330, 415, 494), (220, 262, 330)]
    >>> cadence = np.concatenate([sum(np.sin(2 * np.pi * hz * t) for hz in chord) for chord in chords])
    >>> key(Audio(cadence[None].astype(np.float32), 44_100).spectrogram).name
    'A minor'
    """
    level = spectrogram.mean_square[spectrogram.clear]
    if not len(level) or level.mean() <= 10.0 ** (silence_dbfs / 10.0):
        return Key(None, None, None)
    peaks = spectral_peaks(spectrogram)
    if not len(peaks.pitch):
        return Key(None, None, None)
    tuning = float(np.angle(np.sum(peaks.amplitude * np.exp(2j * np.pi * peaks.pitch)))) / (2 * np.pi)
    classes = np.sqrt(_pitch_classes(peaks, tuning))
    deviation = classes - classes.mean()
    relief = float(classes.std() / classes.mean())
    correlation = (_PROFILES * deviation).mean(axis=1) / max(float(classes.std()), np.finfo(float).tiny)
    second, best = np.argsort(correlation, kind="stable")[-2:]
    margin = float(correlation[best] - correlation[second])
    confidence = max(0.0, float(correlation[best])) * min(1.0, margin / _CLEAR_MARGIN, relief / _CLEAR_RELIEF)
    mode, tonic = divmod(int(best), 12)
    name = f"{_MINOR_NAMES[tonic]} minor" if mode else f"{_MAJOR_NAMES[tonic]} major"
    return Key(name, min(1.0, confidence), 100.0 * tuning)


def spectral_peaks(spectrogram: Spectrogram) -> Peaks:
    """Local maxima over frequency from 60 to 2000 Hz, in all frames clear of the clip's edges.

    Pitch is placed between bins by a parabola through the logarithms of power, which is right to a few cents for tones
    that stand alone and are longer than a window; tones closer than three bins (about 30 Hz) merge.

    Args:
        spectrogram: the shared spectrogram.

    Returns:
        pitch in semitones from A4 = 440 Hz and amplitude, of peaks within 50 dB of the loudest one.

    >>> from audiocur.audio import Audio
    >>> tone = np.sin(2 * np.pi * 220 / 44_100 * np.arange(44_100, dtype=np.float32))[None]
    >>> float(np.round(spectral_peaks(Audio(tone, 44_100).spectrogram).pitch.mean(), 1))
    -12.0
    """
    frequencies_hz = spectrogram.frequencies_hz
    first, end = np.searchsorted(frequencies_hz, (_LOWEST_HZ, min(_HIGHEST_HZ, float(frequencies_hz[-2]))))
    first = max(int(first), 1)
    power = spectrogram.power[first - 1 : end + 1, spectrogram.clear].T
    inner = power[:, 1:-1]
    threshold = float(inner.max(initial=0.0)) * 10.0 ** (-_RANGE_DB / 10.0)
    frame, at = np.nonzero((inner > power[:, :-2]) & (inner >= power[:, 2:]) & (inner > threshold))
    left, top, right = (np.log(np.maximum(power[frame, at + i], threshold * 1e-6, dtype=np.float64)) for i in range(3))
    between = 0.5 * (left - right) / (left - 2.0 * top + right)
    frequency_hz = (first + at + between) * (spectrogram.rate_hz / spectrogram.n_fft)
    return Peaks(12.0 * np.log2(frequency_hz / _A4_HZ), np.exp(0.5 * top))


def _pitch_classes(peaks: Peaks, tuning: float) -> NDArray[np.float64]:
    """Amplitude in each pitch class from C on; a peak between two semitones hardly counts, a high one less."""
    pitch = peaks.pitch - tuning
    semitone = np.rint(pitch)
    weight = peaks.amplitude * np.square(np.cos(np.pi * (pitch - semitone)))
    weight *= np.exp2(-_OVERTONE_SLOPE / 12.0 * np.maximum(peaks.pitch - _MIDDLE_C, 0.0))
    classes = np.zeros(12)
    np.add.at(classes, (semitone.astype(np.intp) + _A) % 12, weight)
    return classes


def _standardised(profile: tuple[float, ...]) -> NDArray[np.float64]:
    roots = np.sqrt(profile)
    keys = np.array([np.roll(roots, tonic) for tonic in range(12)])
    standardised: NDArray[np.float64] = (keys - roots.mean()) / roots.std()
    return standardised


_PROFILES = np.concatenate([_standardised(_MAJOR), _standardised(_MINOR)])
