import numpy as np
import pytest

from audiocur.dsp.clipping import clipped_ratio


def sine(frequency_hz, amplitude=1.0, seconds=2.0, rate_hz=44_100):
    return amplitude * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(round(seconds * rate_hz)))


def as_16_bit(x):
    return (np.round(x * 32767) / 32768).astype(np.float32)[np.newaxis]


@pytest.mark.parametrize("ceiling", [1.0, 0.5, 0.05])
@pytest.mark.parametrize("frequency_hz", [55, 440, 3000])
def test_hard_clipping(frequency_hz, ceiling):
    # Overdriven by a factor 2, a sine is flat above 30 degrees: two thirds of the time.
    samples = as_16_bit(np.clip(2 * ceiling * sine(frequency_hz), -ceiling, ceiling) * 0.999)
    assert clipped_ratio(samples) == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("amplitude", [1.0, 0.3, 0.01, 0.001])
@pytest.mark.parametrize("frequency_hz", [20, 50, 110, 1000, 11_025])
def test_clean_tones(frequency_hz, amplitude):
    assert clipped_ratio(as_16_bit(sine(frequency_hz, amplitude))) == 0
    assert clipped_ratio(sine(frequency_hz, amplitude).astype(np.float32)[np.newaxis]) == 0


def test_one_side_and_one_channel():
    clean = sine(100, 0.5).astype(np.float32)
    half = np.minimum(clean, 0.25)  # flat above 30 degrees on one side: a third of the time
    assert clipped_ratio(np.stack([clean, half])) == pytest.approx(1 / 6, abs=0.01)


def test_dc_offset_does_not_hide_it():
    assert clipped_ratio((np.clip(sine(200), -0.5, 0.5) + 0.3).astype(np.float32)[np.newaxis]) > 0.6


def test_runs_shorter_than_min_run_do_not_count():
    samples = np.zeros((1, 1000), np.float32)
    samples[0, 100:103] = 1.0
    samples[0, 500:504] = 1.0
    # Between the peaks the signal lies flat at its minimum for long, which is a ceiling as well: keep it moving.
    samples[0] -= np.where(samples[0] > 0, 0, np.linspace(0.1, 0.9, 1000, dtype=np.float32))
    assert clipped_ratio(samples, min_run=3) == pytest.approx(7 / 1000)
    assert clipped_ratio(samples, min_run=4) == pytest.approx(4 / 1000)


def test_noise_is_not_clipped():
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 44_100)).astype(np.float32)
    assert clipped_ratio(noise) == 0


@pytest.mark.parametrize("value", [0.0, 0.7, -1.0])
def test_constant_signals_have_no_ceiling(value):
    assert clipped_ratio(np.full((2, 1000), value, np.float32)) == 0


def test_no_samples():
    assert clipped_ratio(np.zeros((1, 0), np.float32)) is None
