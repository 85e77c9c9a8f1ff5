import numpy as np
import pytest

from audiocur.dsp.clipping import clipping
from audiocur.dsp.levels import levels


def clipped_ratio(samples, rate_hz=44_100, **options):
    return clipping(samples, levels(samples, rate_hz), **options).ratio


def runs_per_s(samples, rate_hz=44_100):
    return clipping(samples, levels(samples, rate_hz)).runs_per_s


def music(rate_hz=44_100, seconds=4.0, seed=0):
    """Plucked chords and a little noise: peaks of many sizes."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (110.0, 220.0, 277.2, 329.6))
    return 0.2 * np.exp(-4 * (t % 0.5)) * chord + 0.01 * rng.standard_normal(len(t))


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
    assert clipping(np.zeros((1, 0), np.float32), levels(np.zeros((1, 0), np.float32), 44_100)) == (None, None)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000, 96_000])
def test_runs_are_counted(rate_hz):
    # A sine at 100 Hz reaches each ceiling a hundred times a second.
    samples = as_16_bit(np.clip(2 * sine(100, rate_hz=rate_hz), -0.9, 0.9))
    assert runs_per_s(samples, rate_hz) == pytest.approx(200, abs=1)
    assert runs_per_s(np.repeat(samples, 2, axis=0), rate_hz) == pytest.approx(400, abs=2)


@pytest.mark.parametrize("dither", [False, True])
@pytest.mark.parametrize("gain", [1.0, 0.5, 0.1])
def test_clipping_is_found_after_a_gain_and_16_bits(gain, dither):
    overdriven = np.clip(4 * music(), -0.9, 0.9) * gain
    found = runs_per_s(overdriven.astype(np.float32)[np.newaxis])
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, len(overdriven))).sum(axis=0) / 32767 if dither else 0.0
    assert found > 50
    assert runs_per_s(as_16_bit(overdriven + noise)) == pytest.approx(found, rel=0.15)


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.01])
def test_dithered_music_that_never_reached_a_ceiling_has_no_runs(gain):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, len(music()))).sum(axis=0) / 32767
    assert runs_per_s(as_16_bit(gain * music() + noise)) == 0


def test_a_soft_limiter_leaves_no_runs():
    assert runs_per_s(as_16_bit(0.9 * np.tanh(2 * music()))) == 0


def test_peaks_that_touch_full_scale_are_no_runs():
    # What a limiter with a look-ahead leaves: many peaks at one level, each a sample or two wide.
    t = np.arange(88_200) / 44_100
    held = np.sin(2 * np.pi * 997 * t) + 0.3 * np.sin(2 * np.pi * 3011 * t)
    for period in range(0, len(held), 441):
        held[period : period + 441] /= np.abs(held[period : period + 441]).max()
    assert runs_per_s(as_16_bit(held)) == 0


def test_a_square_wave_is_flat_on_purpose_and_reads_as_clipped():
    assert clipped_ratio(as_16_bit(0.5 * np.sign(sine(110) + 1e-9))) > 0.99


@pytest.mark.parametrize("num_samples", [1, 2, 3, 5, 440, 441, 442])
def test_any_length(num_samples):
    samples = np.sign(np.random.default_rng(0).normal(size=(2, num_samples))).astype(np.float32)
    ratio, runs = clipping(samples, levels(samples, 44_100))
    assert 0 <= ratio <= 1
    assert 0 <= runs <= 2 * 44_100


def test_silence_with_one_glitch_is_no_ceiling():
    silent = np.zeros((1, 4 * 44_100), np.float32)
    silent[0, 50_000] = 0.5
    assert clipping(silent, levels(silent, 44_100)).ratio == 0.0
