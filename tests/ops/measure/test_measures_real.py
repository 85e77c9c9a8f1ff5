"""Measures of real recordings whose key, tempo or band is known."""

import numpy as np
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.dsp.bandwidth import bandwidth_hz
from audiocur.dsp.key import key
from audiocur.dsp.loudness import integrated_loudness, step_power
from audiocur.dsp.spectrum import spectrum
from audiocur.dsp.tempo import tempo


@pytest.fixture
def load(real_audio):
    def load(pattern, start_s=0.0, seconds=30.0):
        found = sorted(real_audio.rglob(pattern))
        if not found:
            pytest.skip(f"{real_audio} holds no {pattern}")
        with soundfile.SoundFile(found[0]) as file:
            file.seek(round(start_s * file.samplerate))
            samples = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True)
            return Audio(np.ascontiguousarray(samples.T), file.samplerate)

    return load


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("Hungarian_Dance_number_5*.ogg", "G minor"),
        ("Kevin_MacLeod_-_P_I_Tchaikovsky*.ogg", "E minor"),
        ("*sax-tenor-d-minor.wav", "D minor"),
    ],
)
def test_key(load, pattern, name):
    found = key(load(pattern).spectrogram)
    assert found.name == name
    assert found.confidence > 0.6


@pytest.mark.parametrize(
    ("pattern", "bpm"),
    [
        ("admiralbob77*.ogg", 136),
        ("Kevin_MacLeod_-_Vibe_Ace.ogg", 130),
        ("*sax-tenor-e-major.wav", 140),
        ("dubstep.flac", 140),
        ("*sweet-waltz*.ogg", 150),
    ],
)
def test_tempo(load, pattern, bpm):
    found = tempo(load(pattern).spectrogram)
    assert found.bpm == pytest.approx(bpm, rel=0.01)
    assert found.confidence > 0.2


@pytest.mark.parametrize(("pattern", "beats"), [("*sweet-waltz*.ogg", 3), ("Kevin_MacLeod_-_Vibe_Ace.ogg", 4)])
def test_bars(load, pattern, beats):
    found = tempo(load(pattern).spectrogram)
    assert found.beats_per_bar == beats
    bars = np.diff(found.downbeats_s) * found.bpm / 60
    assert np.median(bars) == pytest.approx(beats, rel=0.02)


@pytest.mark.parametrize("pattern", ["198-209-0000.ogg", "3436-172162-0000.ogg", "5703-47212-0000.ogg"])
def test_speech_has_neither_beat_nor_key(load, pattern):
    spectrogram = load(pattern).spectrogram
    found = tempo(spectrogram)
    assert found.confidence < 0.15
    assert found.beats_per_bar is None
    assert key(spectrogram).confidence < 0.6


def test_speech_recorded_at_16_khz(load):
    assert bandwidth_hz(load("198-209-0000.ogg").spectrogram) == pytest.approx(8000, rel=0.06)


def test_a_bird_is_brighter_than_a_whale(load):
    bird, whale = (
        spectrum(load(pattern).spectrogram) for pattern in ("*robin-single*.ogg", "glacier-bay-humpback.ogg")
    )
    assert bird.centroid_hz > 4000
    assert whale.centroid_hz < 1000


def test_a_crushed_master_is_loud(load):
    audio = load("dubstep.flac")
    assert -14 < integrated_loudness(step_power(audio.samples, audio.rate_hz)) < -5
