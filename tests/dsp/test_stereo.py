import numpy as np
import pytest

from audiocur.dsp import stereo as module
from audiocur.dsp.levels import levels


def stereo(samples, rate_hz=44_100, **options):
    return module.stereo(samples, levels(samples, rate_hz), **options)


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
    assert stereo(samples) == (None, None, None, None)


def rounded(x, dither=0.0, seed=1):
    noise = np.random.default_rng(seed).uniform(-dither, dither, (2, *x.shape)).sum(axis=0)
    return (np.round(x * 32767 + noise) / 32768).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("difference_db", [0, 3, 12, -16])
@pytest.mark.parametrize("dither", [0.0, 0.5])
def test_dual_mono_after_a_difference_in_level_and_dither(gain, difference_db, dither):
    left, right = gain * ONE, gain * ONE * 10 ** (difference_db / 20)
    pair = np.stack([rounded(left, dither), rounded(right, dither, seed=2)])
    assert stereo(pair).image == "dual mono"
    assert stereo(pair * np.float32([[1], [-1]])).image == "inverted"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_narrow_stereo_is_stereo(share):
    assert stereo(np.stack([ONE + share * OTHER, ONE - share * OTHER])).image == "stereo"


@pytest.mark.parametrize("floor_dbfs", [-200, -90, -60])
def test_a_dead_channel(floor_dbfs):
    dead = (OTHER * 10 ** (floor_dbfs / 20) / 0.1).astype(np.float32)
    assert stereo(np.stack([ONE, dead])).image == "left only"
    assert stereo(np.stack([dead, ONE])).image == "right only"


def test_sound_at_one_side_that_can_be_heard_at_the_other_is_stereo():
    assert stereo(np.stack([ONE, 0.1 * OTHER])).image == "stereo"


def test_reversed_polarity_of_true_stereo():
    middle, side = 0.9 * ONE, 0.3 * OTHER
    assert stereo(np.stack([middle + side, -(middle - side)])).image == "inverted"
    assert stereo(np.stack([middle + side, middle - side])).image == "stereo"


def test_parameters():
    narrow = np.stack([ONE + 0.1 * OTHER, ONE - 0.1 * OTHER])
    assert stereo(narrow, mono_correlation=0.9).image == "dual mono"
    assert stereo(np.stack([ONE, 0.1 * OTHER]), dead_db=18.0).image == "left only"
    assert stereo(np.stack([ONE + OTHER, OTHER / 2 - ONE]), inverted_correlation=-0.2).image == "inverted"


def test_small_differences_are_measured_not_rounded():
    # 60 dB below the sum, where the difference of two powers in float32 would be mostly rounding.
    pair = np.stack([ONE + 1e-3 * OTHER, ONE - 1e-3 * OTHER])
    assert stereo(pair).side_mid_ratio_db == pytest.approx(-60, abs=0.05)


@pytest.mark.parametrize(("level_db", "image"), [(-16, "dual mono"), (-20, "left only"), (-28, "left only")])
def test_one_sound_far_to_one_side_is_no_dual_mono(level_db, image):
    left = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    pair = np.stack([left, left * np.float32(10 ** (level_db / 20))])
    assert stereo(pair).image == image
