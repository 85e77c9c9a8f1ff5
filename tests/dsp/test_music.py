"""Music told from what is not, on rendered sounds and on recordings."""

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from audiocur.audio import Audio
from audiocur.dsp.music import evidence, music_ratio
from audiocur.sources.synth import instruments, treatments
from audiocur.sources.synth.song import Band, Groove, Song, render

RATE_HZ, SECONDS = 44_100, 8.0
T = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ


def of(samples, rate_hz=RATE_HZ, **limits):
    return music_ratio(Audio(np.atleast_2d(samples).astype(np.float32), rate_hz).spectrogram, **limits)


def evidence_of(samples):
    return evidence(Audio(np.atleast_2d(samples).astype(np.float32), RATE_HZ).spectrogram)


def rng():
    return np.random.default_rng(0)


def coloured(slope):
    spectrum = np.fft.rfft(rng().standard_normal(len(T)))
    noise = np.fft.irfft(spectrum * np.maximum(np.fft.rfftfreq(len(T), 1 / RATE_HZ), 20) ** (slope / 2), len(T))
    return 0.1 * noise / noise.std()


def played(events, instrument):
    """(start in seconds, length, Hz) of each note."""
    mix = 1e-4 * rng().standard_normal(len(T) + 8 * RATE_HZ)
    for start_s, length_s, hz in events:
        sound = instrument(float(hz), length_s, RATE_HZ)
        mix[round(start_s * RATE_HZ) :][: len(sound)] += 0.2 * sound
    return mix[: len(T)]


def melody(tuning=1.0):
    steps = rng().choice([0, 2, 4, 5, 7, 9, 11, 12], round(SECONDS / 0.4))
    return played([(0.4 * i, 0.36, tuning * 330 * 2 ** (step / 12)) for i, step in enumerate(steps)], instruments.lead)


def chords(instrument=instruments.electric_piano):
    roots = (0, -4, 3, -2)
    notes = [(2 * i, 2.0, 220 * 2 ** ((root + step) / 12)) for i, root in enumerate(roots) for step in (0, 4, 7)]
    return played(notes, instrument)


def drums():
    kick, snare = instruments.kick(RATE_HZ), instruments.snare(RATE_HZ, rng())
    mix = 1e-4 * rng().standard_normal(len(T) + RATE_HZ)
    for beat in range(round(SECONDS / 0.5)):
        for at, sound in ((0.0, snare if beat % 2 else kick), (0.25, 0.2 * snare)):
            mix[round((0.5 * beat + at) * RATE_HZ) :][: len(sound)] += 0.5 * sound
    return mix[: len(T)]


def song(groove, band):
    whole = Song(tempo_bpm=112, tonic=2, minor=True, bars=5, groove=groove, band=band)
    return render(whole, RATE_HZ, rng()).mean(axis=0)[: len(T)]


def gliding(low_hz, high_hz, partials, calls_s):
    """Calls whose pitch rises and falls, as of animals."""
    mix, at = 0.002 * rng().standard_normal(len(T) + RATE_HZ), 0.1
    random = rng()
    while at < SECONDS:
        x = np.linspace(0, 1, round(calls_s * RATE_HZ))
        hz = random.uniform(low_hz, high_hz) * np.exp(0.4 * np.sin(np.pi * x) + random.uniform(-0.4, 0.4) * x)
        phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
        sound = sum(np.sin(k * phase) / k for k in range(1, partials + 1)) * np.sin(np.pi * x)
        mix[round(at * RATE_HZ) :][: len(sound)] += 0.2 * sound
        at += calls_s + random.uniform(0.1, 0.6)
    return mix[: len(T)]


def engine():
    turns = np.interp(T, np.linspace(0, SECONDS, 30), rng().normal(0, 0.15, 30))
    sawtooth = scipy.signal.sawtooth(2 * np.pi * np.cumsum(70 * np.exp(turns)) / RATE_HZ)
    return 0.1 * scipy.signal.sosfilt(scipy.signal.butter(1, 900, fs=RATE_HZ, output="sos"), sawtooth) + coloured(-1.2)


def claps(per_second):
    mix, decay = np.zeros(len(T) + 2000), np.exp(-300 * np.arange(2000) / RATE_HZ)
    for at in rng().integers(0, len(T), round(per_second * SECONDS)):
        mix[at : at + 2000] += rng().standard_normal(2000) * decay
    return 0.1 * mix[: len(T)]


def siren():
    return 0.3 * np.sin(2 * np.pi * np.cumsum(800 * np.exp(0.4 * scipy.signal.sawtooth(2 * np.pi * T, 0.5))) / RATE_HZ)


def crickets():
    wings = np.sin(2 * np.pi * 4500 * T) * np.maximum(0, np.sin(2 * np.pi * 35 * T)) * (T % 0.6 < 0.1)
    return 0.2 * wings + 0.02 * coloured(-1)


def hum():
    return sum(0.1 / k * np.sin(2 * np.pi * 50 * k * T) for k in range(1, 20)) + 0.01 * coloured(-1)


MUSIC = {
    "melody": melody,
    "chords": chords,
    "pad": lambda: chords(instruments.pad),
    "plucked": lambda: chords(instruments.pluck),
    "drums": drums,
    "ballad": lambda: song(Groove.BALLAD, Band.STRINGS),
    "house": lambda: song(Groove.HOUSE, Band.KEYS),
}
OTHER = {
    "speech": lambda: treatments.speech(RATE_HZ),
    "white noise": lambda: coloured(0.0),
    "brown noise": lambda: coloured(-2.0),
    "birds": lambda: gliding(2000, 5000, 1, 0.15),
    "dogs": lambda: gliding(300, 700, 12, 0.3),
    "whales": lambda: gliding(100, 500, 10, 1.2),
    "engine": engine,
    "fire": lambda: claps(10),
    "applause": lambda: claps(300),
    "siren": siren,
    "sweep": lambda: 0.3 * scipy.signal.chirp(T, 100, SECONDS, 8000, "logarithmic"),
    "crickets": crickets,
    "hum": hum,
}


@pytest.mark.parametrize("kind", MUSIC)
def test_music(kind):
    assert of(MUSIC[kind]()) > 0.8


@pytest.mark.parametrize("kind", OTHER)
def test_not_music(kind):
    assert of(OTHER[kind]()) < 0.25


def test_the_share_of_the_time():
    noise, music = coloured(-1.0), chords()
    assert of(np.concatenate([noise, noise, music, music])) == pytest.approx(0.5, abs=0.1)
    assert of(np.concatenate([music, noise, noise, noise])) == pytest.approx(0.25, abs=0.1)


def test_of_the_sounding_time():
    music = chords()
    assert of(np.concatenate([np.zeros(10 * RATE_HZ), music, np.zeros(10 * RATE_HZ)])) > 0.8


@pytest.mark.parametrize("db", [0, -6])
@pytest.mark.parametrize("kind", ["chords", "melody", "drums"])
def test_speech_over_music_is_music(kind, db):
    speech, music = treatments.speech(RATE_HZ)[: 7 * RATE_HZ], MUSIC[kind]()[: 7 * RATE_HZ]
    assert of(0.1 * speech / speech.std() + 0.1 * music / music.std() * 10 ** (db / 20)) > 0.5


@pytest.mark.parametrize("kind", ["melody", "drums", "speech", "brown noise"])
def test_level_does_not_matter(kind):
    samples = (MUSIC | OTHER)[kind]()
    expected = of(samples)
    assert of(0.1 * samples) == pytest.approx(expected, abs=0.01)
    assert of(np.round(0.1 * samples * 32_767) / 32_767) == pytest.approx(expected, abs=0.05)
    dither = rng().uniform(-0.5, 0.5, len(samples)) + rng().uniform(-0.5, 0.5, len(samples))
    assert of(np.round(0.1 * samples * 32_767 + dither) / 32_767) == pytest.approx(expected, abs=0.05)
    assert of(np.stack([samples, 0.5 * samples])) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 48_000, 96_000, 384_000])
def test_any_rate(rate_hz):
    for kind in ("melody", "drums"):
        assert of(soxr.resample(MUSIC[kind](), RATE_HZ, rate_hz), rate_hz) > 0.8
    for kind in ("speech", "white noise", "whales"):
        assert of(soxr.resample(OTHER[kind](), RATE_HZ, rate_hz), rate_hz) < 0.25


def test_narrow_speech_in_a_wide_file():
    narrow = soxr.resample(treatments.speech(16_000), 16_000, 48_000)
    assert of(narrow, 48_000) < 0.25


@pytest.mark.parametrize(
    "samples",
    [np.zeros(5 * RATE_HZ), np.full(5 * RATE_HZ, 1e-4), np.ones(1), chords()[: round(1.9 * RATE_HZ)], np.zeros(1000)],
    ids=["silence", "faint dc", "one sample", "too short", "shorter than a window"],
)
def test_undefined(samples):
    assert of(samples) is None


def test_limits():
    assert of(chords(), min_s=9.0) is None
    assert of(1e-3 * chords(), silence_dbfs=-40.0) is None
    assert of(soxr.resample(chords(), RATE_HZ, 4000), 4000) is None


@pytest.mark.parametrize(
    "samples",
    [np.eye(1, 3 * RATE_HZ, RATE_HZ)[0], np.full(3 * RATE_HZ, 0.5), np.sign(rng().standard_normal(3 * RATE_HZ))],
    ids=["one click", "dc", "square noise"],
)
def test_odd_audio_is_not_music(samples):
    found = of(samples)
    assert found is None or found < 0.25


def test_the_same_every_time():
    assert of(melody()) == of(melody())


def test_what_is_held():
    assert evidence_of(chords()).held.min() > 0.3
    assert evidence_of(chords()).later.min() > 0.2
    assert evidence_of(coloured(0.0)).held.max() < 0.06
    assert evidence_of(gliding(100, 500, 10, 1.2)).later.max() < 0.06


@pytest.mark.parametrize("cents", [0, 20, 50])
def test_the_grid_has_any_tuning(cents):
    assert evidence_of(melody(2 ** (cents / 1200))).grid.min() > 0.5


def test_pitches_off_every_grid():
    hz = 330 * 2 ** rng().uniform(0, 1, 20)
    anywhere = played([(0.4 * i, 0.36, each) for i, each in enumerate(hz)], instruments.lead)
    assert evidence_of(anywhere).grid.max() < 0.75 * evidence_of(melody()).grid.min()


def test_a_pulse():
    assert evidence_of(drums()).pulse.min() > 0.4
    assert evidence_of(claps(10)).pulse.max() < 0.1


def test_nothing_changes():
    assert evidence_of(hum()).frozen.min() > 0.9
    assert evidence_of(chords()).frozen.max() == 0.0


def test_windows():
    found = evidence_of(chords())
    assert found.centre_s == pytest.approx([2.55, 3.55, 4.55], abs=0.1)
    assert all(len(values) == 3 for values in found)


READINGS_AND_ANIMALS = ("198-209", "3436-172162", "5703-47212", "jfk", "456440", "glacier", "pibble")


def test_recordings(real_audio):
    for path in sorted(real_audio.glob("*.*")):
        if path.suffix in (".ogg", ".flac"):
            samples, rate_hz = soundfile.read(path, frames=30 * 48_000, dtype="float32", always_2d=True)
            music = not path.name.startswith(READINGS_AND_ANIMALS)
            assert (of(samples.T, rate_hz) > 0.5) == music, path.name
