import numpy as np
import pytest
import scipy.ndimage

from audiocur.dsp.clicks import _largest, clicks_per_s
from audiocur.sources.synth import instruments

SECONDS = 6


def music(rate_hz=44_100, seed=0):
    """A chord and hiss, 40 dB apart."""
    rng = np.random.default_rng(seed)
    t = np.arange(SECONDS * rate_hz) / rate_hz
    chord = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in (110.0, 220.0, 277.2, 659.3, 1318.5))
    return 0.05 * chord + 0.001 * rng.standard_normal(len(t))


def scratches(rate_hz, times_s, height=0.2):
    """Impulses that ring for a millisecond at 3 kHz."""
    x = np.zeros(SECONDS * rate_hz)
    t = np.arange(round(0.001 * rate_hz)) / rate_hz
    for i, time_s in enumerate(times_s):
        at = round(time_s * rate_hz)
        x[at : at + len(t)] += (-1) ** i * height * np.exp(-t / 2e-4) * np.cos(2 * np.pi * 3000 * t)
    return x


def clicks(x, rate_hz=44_100, **options):
    rate = clicks_per_s(np.atleast_2d(x).astype(np.float32), rate_hz, **options)
    return round(rate * np.shape(x)[-1] / rate_hz)


def spread(count, seed=1):
    return 0.2 + (np.arange(count) + np.random.default_rng(seed).uniform(0.1, 0.9, count)) * (SECONDS - 0.4) / count


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_scratches_are_counted(rate_hz, gain):
    assert clicks(gain * music(rate_hz), rate_hz) == 0
    spoilt = gain * (music(rate_hz) + scratches(rate_hz, spread(20)))
    assert clicks((np.round(spoilt * 32767) / 32768), rate_hz) == pytest.approx(20, abs=2)


def test_single_samples():
    spoilt = music()
    spoilt[(spread(20) * 44_100).astype(int)] += 0.15
    assert clicks(spoilt) == pytest.approx(20, abs=1)


def test_bad_edits():
    x = music()
    spoilt = np.concatenate([np.delete(x[i * 44_100 : (i + 1) * 44_100], slice(0, 300)) for i in range(SECONDS)])
    assert clicks(spoilt) in (SECONDS - 2, SECONDS - 1)  # a cut now and then joins what fits


def test_channels_together():
    pair = np.stack([music(), music(seed=1)])
    one, both = pair.copy(), pair.copy()
    one[1] += scratches(44_100, spread(8))
    both += scratches(44_100, spread(8))
    assert clicks(one) == clicks(both) == 8
    assert clicks(pair + scratches(44_100, spread(8)) * [[1], [-1]]) == 8  # across the groove: gone in mono


def train(sound, every_s, seconds=SECONDS, rate_hz=44_100):
    x = np.zeros(seconds * rate_hz + len(sound))
    for start in np.arange(0.1, seconds - 0.1, every_s):
        x[round(start * rate_hz) :][: len(sound)] += sound
    return x[: seconds * rate_hz]


@pytest.mark.parametrize("background", [0.0, 0.0003, 0.01])
@pytest.mark.parametrize("name", ["kick", "snare", "clap", "hat", "pluck", "electric_piano", "castanet"])
def test_hits_are_none(name, background):
    rng = np.random.default_rng(3)
    hit = {
        "kick": lambda: instruments.kick(44_100),
        "snare": lambda: instruments.snare(44_100, rng),
        "clap": lambda: instruments.clap(44_100, rng),
        "hat": lambda: instruments.hat(44_100, rng, decay=60.0),
        "pluck": lambda: instruments.pluck(330.0, 0.3, 44_100),
        "electric_piano": lambda: instruments.electric_piano(330.0, 0.3, 44_100),
        "castanet": lambda: rng.standard_normal(1323) * np.exp(-np.arange(1323) / 220),  # 5 ms
    }[name]()
    assert clicks(0.3 * train(hit, 0.37) + background * rng.standard_normal(SECONDS * 44_100)) == 0


@pytest.mark.parametrize("hz", [41.2, 55, 110, 440, 1000])
@pytest.mark.parametrize("shape", ["square", "saw", "pulse"])
def test_waves_with_edges_are_none(hz, shape):
    cycle = (np.arange(SECONDS * 44_100) / 44_100 * hz) % 1
    wave = {"square": np.sign(cycle - 0.5), "saw": 2 * cycle - 1, "pulse": (cycle < 0.02) * 1.0}[shape]
    assert clicks(0.3 * wave + 1e-4 * np.random.default_rng(0).standard_normal(len(wave))) == 0


def test_noise_and_its_gates_are_none():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, SECONDS * 44_100)
    assert clicks(noise) == 0
    assert clicks(noise * (np.arange(len(noise)) % 22_050 < 8000)) == 0
    assert clicks((rng.uniform(size=len(noise)) < 1e-3) / 32768) == 0  # single bits of a dithered silence


def test_parameters():
    x = music() + scratches(44_100, spread(8), height=0.05)
    assert clicks(x) > clicks(x, threshold_db=60.0) == 0
    assert clicks(x, alone_db=60.0) == 0


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0])
def test_silence_has_none(value):
    assert clicks_per_s(np.full((2, 44_100), value, np.float32), 44_100) == 0.0


@pytest.mark.parametrize(("num_samples", "rate_hz"), [(0, 44_100), (1, 44_100), (1000, 44_100), (30_000, 3000)])
def test_undefined(num_samples, rate_hz):
    assert clicks_per_s(np.zeros((1, num_samples), np.float32), rate_hz) is None


@pytest.mark.parametrize("width", [1, 2, 3, 31, 32, 33])
@pytest.mark.parametrize("size", [33, 34, 1000])
def test_the_largest_around_is_what_scipy_finds(size, width):
    values = np.random.default_rng(size).random(size).astype(np.float32)
    centred = scipy.ndimage.maximum_filter1d(values, width)
    expected = centred[width // 2 : size - (width - 1) // 2]
    np.testing.assert_array_equal(_largest(values, width), expected)


def test_where_too_few_follow_there_is_no_largest():
    assert len(_largest(np.ones(3, np.float32), 32)) == 0
