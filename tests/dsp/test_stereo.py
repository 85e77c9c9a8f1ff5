import numpy as np
import pytest

from audiocur.dsp.stereo import stereo

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.normal(0, 0.1, (2, 441_000)).astype(np.float32)


def test_dual_mono():
    found = stereo(np.stack([ONE, ONE]))
    assert found.correlation == 1.0
    assert found.balance_db == 0.0
    assert -130 < found.side_mid_ratio_db < -90


def test_reversed_polarity():
    found = stereo(np.stack([ONE, -ONE]))
    assert found.correlation == -1.0
    assert found.balance_db == 0.0
    assert 90 < found.side_mid_ratio_db < 130


def test_independent_channels():
    found = stereo(np.stack([ONE, OTHER]))
    assert found.correlation == pytest.approx(0, abs=0.01)
    assert found.side_mid_ratio_db == pytest.approx(0, abs=0.1)
    assert found.balance_db == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_known_mixture(share):
    # left = m + s, right = m - s: their correlation and ratio follow from the powers of m and s alone.
    middle, side = ONE * np.float32(1 - share), OTHER * np.float32(share)
    found = stereo(np.stack([middle + side, middle - side]))
    m, s = (1 - share) ** 2, share**2
    assert found.correlation == pytest.approx((m - s) / (m + s), abs=0.01)
    assert found.side_mid_ratio_db == pytest.approx(10 * np.log10(s / m), abs=0.1)


def test_balance():
    found = stereo(np.stack([ONE, 2 * ONE]))
    assert found.balance_db == pytest.approx(6.02, abs=0.01)
    assert found.correlation == pytest.approx(1.0)


def test_a_dead_channel_is_finite():
    found = stereo(np.stack([ONE, np.zeros_like(ONE)]))
    assert found.correlation is None
    assert found.side_mid_ratio_db == 0.0
    assert found.balance_db == pytest.approx(-100, abs=1)


def test_dc_offset_is_no_correlation():
    assert stereo(np.stack([ONE + 1, OTHER + 1])).correlation == pytest.approx(0, abs=0.01)


def test_further_channels_are_not_heard():
    assert stereo(np.stack([ONE, OTHER, ONE, ONE])) == stereo(np.stack([ONE, OTHER]))


@pytest.mark.parametrize(
    "samples",
    [ONE[np.newaxis], np.zeros((2, 100), np.float32), np.ones((2, 100), np.float32), np.zeros((2, 0), np.float32)],
)
def test_undefined(samples):
    assert stereo(samples) == (None, None, None)
