import numpy as np
import pytest

from audiocur.dsp.dropouts import dropouts

RATE_HZ = 44_100


def music(rate_hz=RATE_HZ, seconds=4.0, seed=0):
    """A chord that never rests, and a little noise, in 16 bits."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    chord = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in (110.0, 220.0, 277.2, 329.6, 1318.5))
    swell = 1 + 0.3 * np.sin(2 * np.pi * 0.7 * t)
    return in_16_bits(0.1 * swell * chord + 0.002 * rng.standard_normal(len(t)))


def in_16_bits(x):
    return (np.round(x * 32767) / 32768).astype(np.float32)[np.newaxis]


def spoil(samples, kind, at, length):
    spoilt = samples.copy()
    if kind == "zeros":
        spoilt[:, at : at + length] = 0
    elif kind == "held":
        spoilt[:, at : at + length] = spoilt[:, at - 1 : at]
    else:
        spoilt[:, at : at + length] = samples[:, at - length : at]
    return spoilt


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("kind", ["zeros", "held"])
@pytest.mark.parametrize("ms", [2, 10, 100])
def test_recall_over_many_places(rate_hz, kind, ms):
    clean = music(rate_hz)
    assert dropouts(clean, rate_hz) == (0, 0.0)
    length, places = round(ms * rate_hz / 1000), np.random.default_rng(1).integers(rate_hz, 3 * rate_hz, 20)
    found = [dropouts(spoil(clean, kind, at, length), rate_hz) for at in places]
    assert sum(times == 1 for times, _ in found) >= 15  # by chance the wave passes through zero at an edge
    assert np.median([total_s for _, total_s in found]) == pytest.approx(ms / 1000, abs=2e-3 * ms / 10 + 3 / rate_hz)


@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("buffer", [64, 256, 480, 1024, 4096])
def test_repeated_buffers(buffer, gain):
    clean = in_16_bits(gain * music()[0])
    places = np.random.default_rng(1).integers(44_100, 3 * 44_100, 20)
    found = [dropouts(spoil(clean, "repeat", at, buffer), RATE_HZ) for at in places]
    assert sum(times == 1 for times, _ in found) >= (12 if buffer == 64 else 19)


def test_a_buffer_repeated_three_times():
    clean = music()
    spoilt = clean.copy()
    spoilt[:, 60_512 : 60_512 + 3 * 512] = np.tile(clean[:, 60_000:60_512], 3)
    times, total_s = dropouts(spoilt, RATE_HZ)
    assert times == 1
    assert total_s == pytest.approx(3 * 512 / 44_100, abs=1e-4)


def test_all_channels_at_once_count_once_and_one_channel_counts():
    pair = np.concatenate([music(), music(seed=1)])
    at = 80_100
    assert dropouts(spoil(pair, "zeros", at, 400), RATE_HZ).times == 1
    pair[1:] = spoil(pair[1:], "zeros", at, 400)
    assert dropouts(pair, RATE_HZ).times == 1


def test_several():
    spoilt = music()
    for at in range(30_000, 150_000, 10_000):
        spoilt = spoil(spoilt, "zeros", at, 300)
    assert dropouts(spoilt, RATE_HZ).times >= 10


def test_fades_pauses_and_notes_are_none():
    x, t = music()[0], np.arange(4 * RATE_HZ) / RATE_HZ
    faded = x * np.clip((np.abs(t - 2.0) - 0.05) * 10, 0, 1)  # down to zeros of 0.1 s, and up again
    gated = x * np.exp(-20 * (t % 0.25)) * (t % 0.25 < 0.2)  # notes that have nearly died away when they are cut
    paused = x * (np.abs(t - 2.0) > 0.5)
    for clean in (faded, gated, paused):
        assert dropouts(in_16_bits(clean), RATE_HZ).times == 0


@pytest.mark.parametrize("hz", [41.2, 100, 440, 689.0625])
@pytest.mark.parametrize("share", [0.125, 0.5])
def test_pulse_waves_are_none(hz, share):
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    assert dropouts(in_16_bits(0.5 * np.sign((t * hz) % 1 - share)), RATE_HZ).times == 0
    two = 0.2 * np.sign((t * hz) % 1 - share) + 0.2 * np.sign((1.5 * t * hz) % 1 - share)
    assert dropouts(in_16_bits(two), RATE_HZ).times == 0


@pytest.mark.parametrize("hz", [20, 40, 110])
def test_tops_of_slow_and_clipped_waves_are_none(hz):
    tone = np.sin(2 * np.pi * hz * np.arange(2 * RATE_HZ) / RATE_HZ)
    for clean in (0.01 * tone, 0.5 * tone, np.clip(2 * tone, -0.9, 0.9)):
        assert dropouts(in_16_bits(clean), RATE_HZ).times == 0


@pytest.mark.parametrize("period", [64, 100, 256])
def test_waves_of_whole_periods_are_no_repeated_buffers(period):
    notes = np.sin(2 * np.pi * np.arange(RATE_HZ) / period) + 0.5 * np.sin(6 * np.pi * np.arange(RATE_HZ) / period)
    notes *= np.repeat([0.3, 0.0, 0.2, 0.0], RATE_HZ // 4)
    assert dropouts(in_16_bits(notes), RATE_HZ).times == 0


def test_parameters():
    spoilt = spoil(music(), "zeros", 80_010, 441)
    assert dropouts(spoilt, RATE_HZ, min_s=0.02).times == 0
    assert dropouts(spoilt, RATE_HZ, max_s=0.005).times == 0


@pytest.mark.parametrize("samples", [np.zeros((2, 44_100)), np.ones((1, 1)), np.full((8, 50), 0.1), np.zeros((1, 0))])
def test_nothing_to_find(samples):
    assert dropouts(samples.astype(np.float32), RATE_HZ) == (0, 0.0)


@pytest.mark.parametrize("bpm", [120, 128, 138])
def test_a_gated_synthesizer_has_none(bpm):
    t = np.arange(8 * RATE_HZ) / RATE_HZ
    chord = sum((t * hz) % 1 - 0.5 for hz in (110.0, 164.8, 220.0, 277.2))
    sixteenth_s = 15 / bpm
    gated = 0.2 * chord * (t % sixteenth_s < 0.55 * sixteenth_s)
    assert dropouts(in_16_bits(gated), RATE_HZ).times == 0
