import numpy as np
import pytest
import scipy.signal

from audiocur.dsp.k_weighting import k_weighted, k_weighting


def test_coefficients_are_those_of_the_standard():
    published = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    np.testing.assert_allclose(k_weighting(48_000), published, atol=1e-9)


@pytest.mark.parametrize("rate_hz", [60, 100, 3000, 4000, 8000, 11_025, 44_100, 48_000, 192_000, 384_000, 768_000])
@pytest.mark.parametrize("num_samples", [1, 63, 64, 65, 50_000])
def test_it_equals_the_filter_run_sample_by_sample(rate_hz, num_samples):
    rng = np.random.default_rng(num_samples)
    channel = (rng.normal(0, 0.2, num_samples) + 0.3).astype(np.float32)  # an offset is hardest on the high-pass
    expected = scipy.signal.sosfilt(k_weighting(rate_hz), channel.astype(np.float64))
    np.testing.assert_allclose(k_weighted(channel, rate_hz), expected, rtol=0, atol=1e-5)


def test_no_samples():
    assert k_weighted(np.zeros(0, np.float32), 48_000).shape == (0,)


def test_it_rings_out_to_exactly_nothing():
    channel = np.zeros(10 * 48_000, np.float32)
    channel[:1000] = 1.0
    assert not k_weighted(channel, 48_000)[48_000:].any()
