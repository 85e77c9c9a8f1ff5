"""The cases of EBU Tech 3341 and 3342, and the reference tone of BS.1770, at many rates."""

import numpy as np
import pytest

from audiocur.dsp.loudness import integrated_loudness, loudness_range, momentary_max, short_term_max, step_power

RATES_HZ = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000]


def tone(segments, rate_hz=48_000, frequency_hz=1000.0, channels=2):
    """Segments of (seconds, peak dBFS), in phase in all channels."""
    gains = np.concatenate([np.full(round(s * rate_hz), 10 ** (dbfs / 20)) for s, dbfs in segments])
    sine = gains * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(len(gains)))
    return np.tile(sine.astype(np.float32), (channels, 1))


@pytest.mark.parametrize(
    ("segments", "expected_lufs"),
    [
        ([(20, -23)], -23),
        ([(20, -33)], -33),
        ([(10, -36), (60, -23), (10, -36)], -23),
        ([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23),
        ([(20, -26), (20.1, -20), (20, -26)], -23),
    ],
)
def test_tech_3341_integrated(segments, expected_lufs):
    assert integrated_loudness(step_power(tone(segments), 48_000)) == pytest.approx(expected_lufs, abs=0.1)


def test_tech_3341_five_channels():
    levels = [-28, -28, -24, -30, -30]
    samples = np.concatenate([tone([(20, level)], channels=1) for level in levels])
    assert integrated_loudness(step_power(samples, 48_000)) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("delay_s", [0, 0.005, 0.02, 0.13])
def test_tech_3341_momentary_maximum_wherever_the_burst_lies(delay_s):
    # Cases 13 and 14: a burst of 400 ms, at any distance from where the meter's windows begin.
    power = step_power(tone([(delay_s, -2000), (0.4, -23), (1, -2000)]), 48_000)
    assert momentary_max(power) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("delay_s", [0, 0.15, 1.033])
def test_tech_3341_short_term_maximum_wherever_the_tone_lies(delay_s):
    # Cases 10 and 11: a tone of 3 s.
    power = step_power(tone([(delay_s, -2000), (3, -23), (1, -2000)]), 48_000)
    assert short_term_max(power) == pytest.approx(-23, abs=0.1)


def test_tech_3341_windows_average_what_alternates():
    # Cases 9 and 12: whatever 3 s, or 400 ms, are taken, the mean is the same.
    assert short_term_max(step_power(tone([(1.34, -20), (1.66, -30)] * 5), 48_000)) == pytest.approx(-23, abs=0.1)
    assert momentary_max(step_power(tone([(0.18, -20), (0.22, -30)] * 25), 48_000)) == pytest.approx(-23, abs=0.1)


def test_maxima_of_short_and_silent_clips():
    power = step_power(tone([(2.95, -23)]), 48_000)
    assert momentary_max(power) == pytest.approx(-23, abs=0.1)
    assert short_term_max(power) is None
    assert momentary_max(power[:39]) is None
    silence = step_power(np.zeros((2, 4 * 48_000), np.float32), 48_000)
    assert momentary_max(silence) is None
    assert short_term_max(silence) is None


def test_low_frequency_effects_do_not_count():
    levels = [-28, -28, -24, 0, -30, -30]
    samples = np.concatenate([tone([(5, level)], channels=1) for level in levels])
    assert integrated_loudness(step_power(samples, 48_000)) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize(
    ("segments", "expected_lu"),
    [
        ([(20, -20), (20, -30)], 10),
        ([(20, -20), (20, -15)], 5),
        ([(20, -40), (20, -20)], 20),
        ([(20, -50), (20, -35), (20, -20), (20, -35), (20, -50)], 15),
    ],
)
def test_tech_3342_range(segments, expected_lu):
    assert loudness_range(step_power(tone(segments), 48_000)) == pytest.approx(expected_lu, abs=1)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_reference_tone_reads_the_same_at_every_rate(rate_hz):
    power = step_power(tone([(3, 0)], rate_hz, frequency_hz=997, channels=1), rate_hz)
    assert integrated_loudness(power) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_low_tones_are_weighted_alike_at_every_rate(rate_hz):
    reference = integrated_loudness(step_power(tone([(3, -20)], 48_000, frequency_hz=40, channels=1), 48_000))
    power = step_power(tone([(3, -20)], rate_hz, frequency_hz=40, channels=1), rate_hz)
    assert integrated_loudness(power) == pytest.approx(reference, abs=0.02)


def test_seven_channels_count_alike():
    one = integrated_loudness(step_power(tone([(2, -20)], channels=1), 48_000))
    seven = integrated_loudness(step_power(tone([(2, -20)], channels=7), 48_000))
    assert seven - one == pytest.approx(10 * np.log10(7), abs=1e-6)


@pytest.mark.parametrize("seconds", [0, 1 / 48_000, 0.39])
def test_undefined_when_too_short(seconds):
    power = step_power(tone([(seconds, -10)]), 48_000)
    assert integrated_loudness(power) is None
    assert loudness_range(power) is None


def test_range_is_undefined_under_three_seconds():
    power = step_power(tone([(2.95, -10)]), 48_000)
    assert integrated_loudness(power) is not None
    assert loudness_range(power) is None


@pytest.mark.parametrize("level_dbfs", [-80, -400])
def test_undefined_under_the_absolute_gate(level_dbfs):
    power = step_power(tone([(5, level_dbfs)]), 48_000)
    assert integrated_loudness(power) is None
    assert loudness_range(power) is None


def test_steady_noise_has_no_range():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 480_000)).astype(np.float32)
    assert loudness_range(step_power(noise, 48_000)) == pytest.approx(0, abs=0.2)


def test_silence_after_sound_stays_silent():
    # The filter's state must neither ring on nor crawl through subnormal numbers.
    power = step_power(tone([(1, -10), (20, -2000)]), 48_000)
    assert not power[300:].any()
