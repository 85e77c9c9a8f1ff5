"""Key and tuning of rendered cadences."""

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.dsp.key import key, spectral_peaks

RATE_HZ = 22_050
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MINOR_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")

# Degrees of the scale. The last of the minor ones has the raised leading note in its dominant.
PROGRESSIONS = {
    "major": ((0, 3, 4, 0), (0, 4, 5, 3), (1, 4, 0, 0), (0, 5, 3, 4)),
    "minor": ((0, 3, 4, 0), (0, 3, "V", 0)),
}


def tone(semitones_from_a4, seconds=1.0, overtone_slope=1.0):
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hz = 440 * 2 ** (semitones_from_a4 / 12)
    waves = [np.sin(2 * np.pi * hz * h * t + h * h) / h**overtone_slope for h in range(1, 9) if hz * h < RATE_HZ / 2]
    return sum(waves) * np.exp(-1.5 * t) * np.minimum(1, t / 0.005)


def cadence(tonic, mode, progression, *, tuning_cents=0.0, overtone_slope=1.0):
    scale, parts = (MAJOR if mode == "major" else MINOR), []
    for degree in progression * 2:
        raised, degree = degree == "V", 4 if degree == "V" else degree
        notes = [scale[(degree + third) % 7] + 12 * ((degree + third) // 7) for third in (0, 2, 4)]
        notes[1] += raised
        pitches = [tonic - 9 + tuning_cents / 100 + note for note in (*notes, scale[degree] - 24)]
        parts.append(sum(tone(pitch, overtone_slope=overtone_slope) for pitch in pitches))
    samples = np.concatenate(parts)
    return 0.5 * samples / np.abs(samples).max()


def of(samples, rate_hz=RATE_HZ):
    return key(Audio(np.atleast_2d(samples).astype(np.float32), rate_hz).spectrogram)


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize(
    ("mode", "index"), [(mode, i) for mode, all_ in PROGRESSIONS.items() for i in range(len(all_))]
)
def test_known_key(mode, index, tonic):
    found = of(cadence(tonic, mode, PROGRESSIONS[mode][index]))
    names = MAJOR_NAMES if mode == "major" else MINOR_NAMES
    assert found.name == f"{names[tonic]} {mode}"
    assert found.confidence > 0.6
    assert found.tuning_cents == pytest.approx(0, abs=2)


@pytest.mark.parametrize("overtone_slope", [0.5, 1.5])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_timbre(mode, overtone_slope):
    found = of(cadence(2, mode, PROGRESSIONS[mode][0], overtone_slope=overtone_slope))
    assert found.name == f"D {mode}"


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_dominant_that_lasts_does_not_become_the_tonic(mode):
    dominant = 4 if mode == "major" else "V"
    found = of(cadence(2, mode, (0, 3, dominant, dominant, dominant, dominant, 0)))
    assert found.name == f"D {mode}"


@pytest.mark.parametrize("overtone_slope", [0.3, 2.0])
def test_overtones_do_not_count_as_notes(overtone_slope):
    found = of(cadence(0, "major", (0, 3, 0, 4, 0), overtone_slope=overtone_slope))
    assert found.name == "C major"
    assert found.confidence > 0.5


@pytest.mark.parametrize("tuning_cents", [-40, -15, 10, 44])
def test_tuning(tuning_cents):
    found = of(cadence(7, "major", (0, 3, 4, 0), tuning_cents=tuning_cents))
    assert found.name == "G major"
    assert found.tuning_cents == pytest.approx(tuning_cents, abs=2)


@pytest.mark.parametrize("rate_hz", [8000, 48_000, 96_000, 384_000])
def test_any_rate(rate_hz):
    import soxr

    found = of(soxr.resample(cadence(9, "minor", (0, 3, "V", 0)), RATE_HZ, rate_hz), rate_hz)
    assert found.name == "A minor"


def test_level_does_not_matter():
    samples = cadence(4, "major", (0, 3, 4, 0))
    assert of(samples / 64).name == of(samples).name
    assert of(samples / 64).confidence == pytest.approx(of(samples).confidence, abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_has_no_key(seed):
    assert of(np.random.default_rng(seed).normal(0, 0.1, 10 * RATE_HZ)).confidence < 0.2


def test_a_single_note_is_hardly_a_key():
    found = of(np.tile(tone(0), 5))
    assert found.name.startswith("A ")
    assert found.confidence < 0.6


@pytest.mark.parametrize(
    "samples", [np.zeros(5 * RATE_HZ), np.full(5 * RATE_HZ, 0.5), np.ones(1), tone(0, seconds=0.05)], ids=str
)
def test_undefined(samples):
    assert of(samples) == (None, None, None)


@pytest.mark.parametrize("hz", [82.4, 220.0, 329.6, 1000.0])
def test_peaks_lie_between_bins(hz):
    samples = np.sin(2 * np.pi * hz / RATE_HZ * np.arange(3 * RATE_HZ)).astype(np.float32)
    peaks = spectral_peaks(Audio(samples[np.newaxis], RATE_HZ).spectrogram)
    cents = 100 * (peaks.pitch[peaks.amplitude > 0.5] - 12 * np.log2(hz / 440))
    assert np.abs(cents).max() < 8
    assert np.median(peaks.amplitude) == pytest.approx(1, abs=0.15)
