import numpy as np
import pytest

from audiocur.dsp import edges as module
from audiocur.dsp.levels import levels


def edges(samples, rate_hz=44_100, **options):
    samples = np.atleast_2d(samples).astype(np.float32)
    return module.edges(samples, levels(samples, rate_hz), **options)


def sustained(rate_hz=44_100, seed=0):
    """Two seconds in the middle of a chord."""
    rng = np.random.default_rng(seed)
    t = np.arange(2 * rate_hz) / rate_hz
    chord = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in (110.0, 220.0, 277.2, 659.3))
    return 0.1 * chord + 0.001 * rng.standard_normal(len(t))


def faded(x, rate_hz, seconds=0.02):
    ramp = np.minimum(1, np.arange(len(x)) / (seconds * rate_hz))
    return x * ramp


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_cut_and_faded(rate_hz, gain, seed):
    x = gain * sustained(rate_hz, seed)
    assert edges(x, rate_hz) == (True, True)
    assert edges(faded(x, rate_hz), rate_hz) == (False, True)
    assert edges(faded(x[::-1], rate_hz)[::-1], rate_hz) == (True, False)


def test_a_note_that_begins_with_the_clip_and_dies_away():
    t = np.arange(88_200) / 44_100
    pluck = np.minimum(1, t / 0.004) * np.exp(-3 * t) * np.sin(2 * np.pi * 220 * t)
    assert edges(0.5 * pluck) == (False, False)


def test_it_is_enough_that_one_channel_is_cut():
    assert edges(np.stack([faded(sustained(), 44_100), sustained(seed=1)])) == (True, True)


def test_zeros_that_a_decoder_put_before_are_passed_over():
    x = sustained()
    assert edges(np.append(np.zeros(1105), x)) == (True, True)
    assert edges(np.append(np.zeros(1105), faded(x, 44_100))) == (False, True)
    assert edges(np.append(np.zeros(22_050), x)) == (False, True)


def test_a_cut_in_a_pause_is_not_abrupt():
    x = sustained()
    x[:22_050] *= 1e-3
    assert edges(x) == (False, True)


def test_parameters():
    x = sustained()
    x[:4410] *= 0.05
    assert edges(x).abrupt_start is False
    assert edges(x, within_db=40.0).abrupt_start is True
    assert edges(0.01 * sustained(), silence_dbfs=-30.0) == (False, False)


@pytest.mark.parametrize("samples", [np.zeros(44_100), np.full(44_100, 0.3), np.ones(100), np.zeros((2, 0))])
def test_undefined(samples):
    assert edges(samples) == (None, None)
