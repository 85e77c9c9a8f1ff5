"""What a picture of sound shows stands where it was played."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from audiocur.audio import Audio
from audiocur.inspect.spectrogram import RANGE_DB, envelope, frequency_marks, spectrogram_png, waveform_path


def tone(hz: float, seconds: float = 2.0, rate_hz: int = 44_100, gain: float = 0.5) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def brightness(png: bytes) -> np.ndarray:
    """Steps of brightness, shape (rows, columns), high frequencies first."""
    image = Image.open(io.BytesIO(png))
    assert image.mode == "P"
    return np.asarray(image)


@pytest.mark.parametrize("hz", [100, 440, 1000, 5000, 12_000])
@pytest.mark.parametrize("rate_hz", [44_100, 96_000])
def test_a_tone_is_a_line_at_its_frequency(hz, rate_hz):
    levels = brightness(spectrogram_png(Audio(tone(hz, rate_hz=rate_hz)[None], rate_hz), width_px=64, height_px=200))
    assert levels.shape == (200, 64)
    row = levels[:, 32].argmax()
    mel = np.log10(1 + hz / 700) / np.log10(1 + rate_hz / 2 / 700)
    assert abs((200 - row - 0.5) / 200 - mel) < 0.02
    assert (levels.max(axis=0)[2:-2] >= 62).all()  # all along, but for the edges


def test_marks_stand_where_tones_do():
    for (name, share), hz in zip(frequency_marks(44_100), (200, 1000, 5000, 16_000), strict=True):
        levels = brightness(spectrogram_png(Audio(tone(hz)[None], 44_100), width_px=16, height_px=400))
        assert abs(1 - (levels[:, 8].argmax() + 0.5) / 400 - share) < 0.02, name
    assert [name for name, _ in frequency_marks(8000)] == ["200 Hz", "1 kHz"]


@pytest.mark.parametrize("seconds", [1.0, 30.0])
def test_a_click_stands_at_its_time(seconds):
    samples = np.zeros(round(seconds * 8000), np.float32)
    samples[len(samples) // 4] = 1.0  # in long audio as well, though its columns are longer than a window
    levels = brightness(spectrogram_png(Audio(samples[None], 8000), width_px=100, height_px=32))
    assert abs(int(levels.max(axis=0).argmax()) - 25) <= 1
    assert levels[:, 60:].max() == 0


def test_a_click_between_windows_of_long_audio_is_seen():
    for place in np.linspace(0, 8000 * 300 - 1, 23).astype(int):
        samples = np.zeros(8000 * 300, np.float32)
        samples[place] = 1.0
        assert brightness(spectrogram_png(Audio(samples[None], 8000), width_px=50, height_px=16)).max() == 63


def test_steps_are_even_in_decibels():
    samples = np.concatenate([tone(1000, gain=0.5), tone(1000, gain=0.005)])  # 40 dB apart
    levels = brightness(spectrogram_png(Audio(samples[None], 44_100), width_px=40, height_px=64)).max(axis=0)
    assert levels[10] == 63
    assert abs((63 - int(levels[30])) * RANGE_DB / 63 - 40) < 1.5


def test_what_channels_cancel_is_seen():
    one = tone(1000)
    assert brightness(spectrogram_png(Audio(np.stack([one, -one]), 44_100))).max() == 63


def test_silence_is_black():
    assert brightness(spectrogram_png(Audio(np.zeros((2, 44_100), np.float32), 44_100))).max() == 0
    whisper = Audio(tone(1000, gain=1e-5)[None], 44_100)  # -100 dBFS
    assert brightness(spectrogram_png(whisper)).max() < 40


@pytest.mark.parametrize("num_samples", [1, 2, 100, 5000])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 192_000])
def test_audio_of_any_length(num_samples, rate_hz):
    audio = Audio(np.full((1, num_samples), 0.5, np.float32), rate_hz)
    assert brightness(spectrogram_png(audio, width_px=30, height_px=20)).shape == (20, 30)
    assert waveform_path(audio, width=30).endswith("Z")


def test_the_envelope_has_every_peak():
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 10_007)).astype(np.float32)
    samples[1, 5003], samples[0, 77] = 0.9, -0.8
    low, high = envelope(Audio(samples, 44_100), 640)
    assert high.max() == np.float32(0.9)
    assert abs(int(high.argmax()) - 5003 * 640 / 10_007) <= 1
    assert low.min() == np.float32(-0.8)
    assert envelope(Audio(samples[:, :10], 44_100), 640).shape == (2, 640)


def test_it_is_quick():
    audio = Audio(np.random.default_rng(0).normal(0, 0.1, (2, 441_000)).astype(np.float32), 44_100)
    spectrogram_png(audio)
    took_s = []
    for _ in range(5):
        began = time.thread_time()
        spectrogram_png(audio)
        took_s.append(time.thread_time() - began)
    assert min(took_s) < 0.05  # 0.013 on an idle machine
