import numpy as np
import pytest

from audiocur.dsp.levels import levels
from audiocur.dsp.silence import silence


def silence_ratio(samples, rate_hz):
    return silence(levels(samples, rate_hz)).ratio


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 384_000])
def test_share_of_silence(rate_hz):
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 4 * rate_hz)).astype(np.float32)
    noise[:, rate_hz : 2 * rate_hz] = 0
    assert silence_ratio(noise, rate_hz) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(("level_dbfs", "expected"), [(-58, 0.0), (-62, 1.0)])
def test_threshold_is_rms(level_dbfs, expected):
    tone = np.sqrt(2) * 10 ** (level_dbfs / 20) * np.sin(0.1 * np.arange(44_100))
    assert silence_ratio(tone.astype(np.float32)[np.newaxis], 44_100) == expected


def test_sound_in_one_channel_is_no_silence():
    samples = np.zeros((2, 44_100), np.float32)
    samples[1] = 0.1 * np.sin(0.1 * np.arange(44_100))
    assert silence_ratio(samples, 44_100) == 0
    assert silence_ratio(samples[:1], 44_100) == 1


def test_dc_offset_is_silent():
    assert silence_ratio(np.full((2, 44_100), 0.1, np.float32), 44_100) == 1


def test_shorter_than_a_frame():
    assert silence_ratio(np.zeros((1, 1), np.float32), 44_100) == 1
    assert silence_ratio(np.array([[0.5, -0.5]], np.float32), 44_100) == 0
    assert silence_ratio(np.zeros((1, 0), np.float32), 44_100) is None


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 384_000])
def test_silence_at_the_ends(rate_hz):
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 4 * rate_hz)).astype(np.float32)
    noise[:, : rate_hz // 2] = 0
    noise[:, rate_hz : 2 * rate_hz] = 0
    noise[:, -rate_hz:] *= np.float32(1e-3)
    found = silence(levels(noise, rate_hz))
    assert found.leading_s == pytest.approx(0.5, abs=0.021)
    assert found.trailing_s == pytest.approx(1.0, abs=0.021)
    assert found.ratio == pytest.approx(0.625, abs=0.01)


def test_silence_throughout_lies_at_both_ends():
    assert silence(levels(np.zeros((1, 88_200), np.float32), 44_100)) == (1.0, 2.0, 2.0)


def test_no_samples():
    assert silence(levels(np.zeros((1, 0), np.float32), 44_100)) == (None, None, None)
