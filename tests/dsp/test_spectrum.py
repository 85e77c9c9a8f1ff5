import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.dsp.spectrum import spectrum


def of(x, rate_hz=44_100):
    return spectrum(Audio(np.atleast_2d(x).astype(np.float32), rate_hz).spectrogram)


def sine(frequency_hz, amplitude=0.5, seconds=3.0, rate_hz=44_100):
    return amplitude * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(round(seconds * rate_hz)))


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 48_000, 384_000])
@pytest.mark.parametrize("frequency_hz", [200, 1000, 3000])
def test_centroid_of_a_tone(frequency_hz, rate_hz):
    found = of(sine(frequency_hz, rate_hz=rate_hz), rate_hz)
    assert found.centroid_hz == pytest.approx(frequency_hz, rel=0.01)
    assert found.flatness < 0.01


def test_centroid_weighs_power():
    # 1 kHz at twice the amplitude of 2 kHz has four times its power: (4 + 2) / 5 kHz.
    assert of(sine(1000, 0.4) + sine(2000, 0.2)).centroid_hz == pytest.approx(1200, rel=0.01)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 96_000])
def test_white_noise(rate_hz):
    found = of(np.random.default_rng(0).normal(0, 0.1, 3 * rate_hz), rate_hz)
    assert found.centroid_hz == pytest.approx(rate_hz / 4, rel=0.01)
    # Power of noise in a bin is exponentially distributed: geometric over arithmetic mean is exp(-Euler's gamma).
    assert found.flatness == pytest.approx(0.5615, abs=0.01)


def test_flatness_does_not_depend_on_a_low_pass_above_its_range():
    noise = np.fft.rfft(np.random.default_rng(0).normal(0, 0.1, 132_300))
    noise[: len(noise) // 2], full = noise[: len(noise) // 2], noise.copy()
    noise[len(noise) // 2 :] = 0
    assert of(np.fft.irfft(noise)).flatness == pytest.approx(of(np.fft.irfft(full)).flatness, abs=0.01)


def test_silent_frames_are_left_out():
    noise = np.random.default_rng(0).normal(0, 0.1, 88_200)
    padded = np.concatenate([noise, np.zeros(10 * 44_100)])
    assert of(padded).centroid_hz == pytest.approx(of(noise).centroid_hz, rel=0.01)
    assert of(padded).flatness == pytest.approx(of(noise).flatness, abs=0.02)


def test_level_does_not_matter():
    noise = np.random.default_rng(0).normal(0, 0.1, 88_200)
    assert of(noise / 10).centroid_hz == pytest.approx(of(noise).centroid_hz, rel=1e-4)
    assert of(noise / 10).flatness == pytest.approx(of(noise).flatness, rel=1e-4)


@pytest.mark.parametrize("x", [np.zeros(44_100), np.ones(1), np.full(44_100, 0.5), sine(440, seconds=0.09)])
def test_undefined(x):
    assert of(x) == (None, None)
