import numpy as np
import pytest

from audiocur.dsp.dynamics import crest_factor_db, peak_to_loudness_db
from audiocur.dsp.levels import levels
from audiocur.dsp.loudness import integrated_loudness, step_power
from audiocur.dsp.true_peak import true_peak


def crest(*channels, rate_hz=44_100):
    samples = np.stack(channels).astype(np.float32)
    return crest_factor_db(levels(samples, rate_hz))


def sine(hz=441, rate_hz=44_100):
    return np.sin(2 * np.pi * hz / rate_hz * np.arange(2 * rate_hz) + 0.01)


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.001])
def test_known_waves(gain):
    ramp = np.linspace(-1, 1, 441)
    assert crest(gain * sine()) == pytest.approx(3.01, abs=0.01)
    assert crest(gain * np.sign(sine())) == pytest.approx(0, abs=0.01)
    assert crest(gain * np.tile(ramp, 100)) == pytest.approx(4.77, abs=0.03)


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 48_000, 96_000])
def test_a_gated_tone(rate_hz):
    tone = sine(400, rate_hz)
    tone[len(tone) // 10 :] = 0  # a tenth of the time: 10 dB more
    assert crest(tone, rate_hz=rate_hz) == pytest.approx(13.01, abs=0.05)


def test_the_strongest_channel_decides():
    assert crest(sine(), np.zeros(88_200)) == pytest.approx(3.01, abs=0.01)
    assert crest(0.1 * np.sign(sine()), sine()) == pytest.approx(3.01, abs=0.01)


def test_an_offset_is_no_peak():
    assert crest(0.1 * sine() + 0.5) == pytest.approx(3.01, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.5, 1e-7])
def test_silence_has_none(value):
    assert crest(np.full(44_100, value)) is None


def test_no_samples():
    assert crest_factor_db(levels(np.zeros((2, 0), np.float32), 44_100)) is None


def test_peak_to_loudness_of_a_tone():
    # 997 Hz at 0 dBFS in one front channel is -3.01 LUFS, and 3 dB more in two.
    tone = np.sin(2 * np.pi * 997 / 48_000 * np.arange(48_000 * 5)).astype(np.float32)
    pair = 0.5 * np.stack([tone, tone])
    loudness = integrated_loudness(step_power(pair, 48_000))
    found = peak_to_loudness_db(20 * np.log10(true_peak(pair)), loudness)
    assert found == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("peak_dbtp", "loudness_lufs"), [(None, -14.0), (-1.0, None), (None, None)])
def test_peak_to_loudness_is_undefined_where_either_is(peak_dbtp, loudness_lufs):
    assert peak_to_loudness_db(peak_dbtp, loudness_lufs) is None
