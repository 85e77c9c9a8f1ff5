import numpy as np
import pytest

from audiocur.dsp.filter_banks import hybrid, kaiser_bessel, mdct


def sine(n):
    return np.sin(np.pi / (2 * n) * (np.arange(2 * n) + 0.5))


def frames(samples, length, hop):
    """Of samples with silence around them, so that all are heard in full."""
    padded = np.pad(samples, length)
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop].astype(np.float32)


@pytest.mark.parametrize("window", [sine(16), kaiser_bessel(16)])
def test_the_transform_is_the_standards_sum_of_cosines(window):
    n, frame = 16, np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    times, lines = np.arange(2 * n)[:, None], np.arange(n)
    cosines = np.sqrt(2 / n) * np.cos(np.pi / n * (times + 0.5 + n / 2) * (lines + 0.5))
    assert mdct(window)(frame) == pytest.approx((frame * window) @ cosines, abs=1e-5)


@pytest.mark.parametrize("window", [sine(1024), kaiser_bessel(1024)])
def test_frames_of_the_transform_hold_all_power(window):
    samples = np.random.default_rng(0).normal(size=20_000)
    lines = mdct(window)(frames(samples, 2048, 1024))
    assert np.square(lines).sum() == pytest.approx(np.square(samples).sum(), rel=1e-5)


def test_a_window_and_itself_half_a_window_on_have_unit_power():
    for window in (sine(1024), kaiser_bessel(1024)):
        assert window[:1024] ** 2 + window[1024:] ** 2 == pytest.approx(np.ones(1024))


def test_frames_of_the_hybrid_bank_hold_all_power_but_for_its_ripple():
    samples = np.random.default_rng(0).normal(size=30_000)
    lines = hybrid(frames(samples, 1632, 576))
    assert np.square(lines).sum() == pytest.approx(np.square(samples).sum(), rel=2e-3)


@pytest.mark.parametrize("line", [0, 1, 17, 18, 100, 359, 360, 575])
def test_a_tone_is_heard_in_its_line(line):
    tone = np.cos(np.pi * (line + 0.5) / 576 * np.arange(1632 + 8 * 576))
    power = np.square(hybrid(frames(tone, 1632, 576)[4:8])).mean(axis=0)
    assert power[max(0, line - 2) : line + 3].sum() > 0.98 * power.sum()
