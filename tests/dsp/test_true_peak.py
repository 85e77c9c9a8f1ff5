"""The cases of EBU Tech 3341, and the block search against interpolating everything."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur.dsp.levels import amplitude_db
from audiocur.dsp.true_peak import _channel_peak, _interpolated_peak, _interpolator, true_peak


def case(divisor, amplitude, phase_degrees, rate_hz=48_000):
    """A sine of a fraction of the rate, with fades of 10 ms."""
    n = np.arange(rate_hz // 2)
    fade = np.minimum(1, np.minimum(n, n[::-1]) / (0.01 * rate_hz))
    return (amplitude * fade * np.sin(2 * np.pi * n / divisor + np.radians(phase_degrees))).astype(np.float32)


@pytest.mark.parametrize(
    ("divisor", "amplitude", "phase_degrees", "expected_dbtp"),
    [(4, 0.50, 0, -6), (4, 0.50, 45, -6), (6, 0.50, 60, -6), (8, 0.50, 67.5, -6), (4, 1.41, 45, 3)],
)
def test_tech_3341(divisor, amplitude, phase_degrees, expected_dbtp):
    samples = np.stack([case(divisor, amplitude, phase_degrees)] * 2)
    read_dbtp = amplitude_db(true_peak(samples))
    assert expected_dbtp - 0.4 <= read_dbtp <= expected_dbtp + 0.2


def everything(x, oversampling):
    """The same interpolation at every point there is, without any bound."""
    interpolated = _interpolated_peak(x[np.newaxis], _interpolator(oversampling)) if len(x) >= 24 else 0.0
    return max(float(np.abs(x).max(initial=0.0)), interpolated)


SIGNALS = {
    "noise": lambda rng, n: rng.normal(0, 0.2, n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "signs": lambda rng, n: rng.choice([-1.0, 1.0], n),
    "walk": lambda rng, n: np.cumsum(rng.normal(0, 0.01, n)),
    "clipped": lambda rng, n: np.clip(np.cumsum(rng.normal(0, 0.2, n)), -0.8, 0.8),
    "impulse": lambda rng, n: np.eye(1, n, n // 3)[0],
    "nyquist": lambda rng, n: 0.5 * (-1.0) ** np.arange(n),
    "sine": lambda rng, n: np.sin(rng.uniform(0, 3) * np.arange(n)),
}


@settings(deadline=None, max_examples=150)
@given(
    signal=st.sampled_from(sorted(SIGNALS)),
    length=st.integers(1, 3000),
    oversampling=st.sampled_from([4, 7, 8]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_block_search_is_exact(signal, length, oversampling, seed):
    x = SIGNALS[signal](np.random.default_rng(seed), length).astype(np.float32)
    assert _channel_peak(x, _interpolator(oversampling)) == everything(x, oversampling)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), oversampling=st.sampled_from([4, 5, 16]))
def test_no_point_exceeds_its_bound(seed, oversampling):
    interpolator = _interpolator(oversampling)
    heard = np.random.default_rng(seed).uniform(-1, 1, 24)
    value = np.abs(heard[11:13]).max()
    bend = np.abs(np.diff(heard, 2)).max()
    assert np.abs(interpolator.taps @ heard).max() <= interpolator.value_gain * value + interpolator.bend_gain * bend


def test_the_bound_is_met_by_the_worst_samples():
    # Samples whose second differences all have the sign of the filter's coefficient come close to the bound, so it is
    # no larger than it must be.
    interpolator = _interpolator(4)
    taps = interpolator.taps[1].astype(float)
    worst = np.sign(taps)
    bound = interpolator.value_gain + interpolator.bend_gain * np.abs(np.diff(worst, 2)).max()
    assert np.abs(taps @ worst) > 0.7 * bound


def test_agrees_with_a_polyphase_resampler():
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
    low = scipy.signal.sosfilt(scipy.signal.butter(8, 0.6, output="sos"), noise).astype(np.float32)
    upsampled = scipy.signal.resample_poly(low.astype(float), 4, 1, window=("kaiser", 10.0))
    assert true_peak(low[np.newaxis]) == pytest.approx(np.abs(upsampled[100:-100]).max(), rel=2e-3)


def test_is_at_least_the_sample_peak():
    impulse = np.zeros((2, 1000), np.float32)
    impulse[1, 500] = -0.75
    assert true_peak(impulse) == 0.75


def test_a_cut_shows_no_overshoot():
    # As a whole this signal would overshoot at its hard ends; a clip cut from a longer recording has none there.
    assert true_peak(np.full((1, 500), 0.9, np.float32)) == pytest.approx(0.9, rel=1e-5)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 55])
def test_short_and_silent(length):
    assert true_peak(np.zeros((2, length), np.float32)) == 0.0
