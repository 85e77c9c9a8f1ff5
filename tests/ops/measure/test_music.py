"""The op over `music_ratio`: what it writes, what it refuses, and what odd audio gets."""

import math

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.measure.music import Music
from audiocur.records import Clip


def clip_of(samples, rate_hz=44_100):
    samples = np.atleast_2d(samples).astype(np.float32)
    return Clip(
        clip_id="x", start_sample=0, end_sample=samples.shape[1], rate_hz=rate_hz, _audio=Audio(samples, rate_hz)
    )


def ratio(samples, rate_hz=44_100, **parameters):
    measures = Music(**parameters).measure(clip_of(samples, rate_hz))
    assert set(measures) == {"music_ratio"} == {column.name for column in Music.writes}
    value = measures["music_ratio"]
    pa.array([value], Music.writes[0].type)
    assert value is None or (type(value) is float and math.isfinite(value) and 0 <= value <= 1)
    return value


def chords(rate_hz, seconds=6.0, channels=1):
    """Plucked triads, two a second, a little different in each channel."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    root_hz = 220 * 2 ** (np.array([0, -4, 3, -2])[(t // 1).astype(int) % 4] / 12)
    phase = 2 * np.pi * np.cumsum(root_hz) / rate_hz
    triad = sum(np.sin(k * phase * 2 ** (step / 12)) / k for step in (0, 4, 7) for k in range(1, 6))
    noise = np.random.default_rng(0).normal(0, 1e-3, (channels, len(t)))
    return 0.1 * np.exp(-4 * (t % 0.5)) * triad + noise


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 384_000])
def test_any_rate_and_number_of_channels(rate_hz, channels):
    assert ratio(chords(rate_hz, channels=channels), rate_hz) > 0.8


@pytest.mark.parametrize("rate_hz", [1000, 8000, 44_100, 384_000])
@pytest.mark.parametrize("length", [1, 2, 1000, 5000])
@pytest.mark.parametrize("value", [0.0, 1e-38, 0.5, -1.0])
def test_short_and_constant_clips_have_none(rate_hz, length, value):
    assert ratio(np.full((2, length), value), rate_hz) is None


@pytest.mark.parametrize("seed", range(4))
def test_square_noise_at_full_scale_is_not_music(seed):
    rng = np.random.default_rng(seed)
    assert ratio(np.sign(rng.standard_normal((2, rng.integers(3, 7) * 44_100)))) < 0.25


@pytest.mark.parametrize("seconds", [2.0, 2.05, 4.99, 5.2, 6.1])
def test_lengths_around_a_window(seconds):
    assert ratio(chords(44_100, seconds)) > 0.5


def test_silence_has_none():
    assert ratio(np.zeros((2, 10 * 44_100))) is None


def test_limits():
    assert ratio(chords(44_100), min_s=7.0) is None
    assert ratio(1e-3 * chords(44_100)) is None
    assert ratio(1e-3 * chords(44_100), silence_dbfs=-110.0) > 0.8


@pytest.mark.parametrize(("key", "value"), [("min_s", 1.0), ("min_s", float("nan")), ("silence_dbfs", 0.0)])
def test_parameters_out_of_range(key, value):
    with pytest.raises(ConfigError, match=f"^{key}="):
        Music(**{key: value})


@pytest.mark.parametrize(
    "name",
    ["359500__mtg__sax-tenor-e-major.wav", "distorted.wav", "flamenco.flac", "dubstep.flac", "vocadito_1.wav"],
)
def test_scales_singing_and_distortion_are_music(real_audio, name):
    samples, rate_hz = soundfile.read(real_audio / "lossless" / name, dtype="float32", always_2d=True)
    assert ratio(samples.T, rate_hz) > 0.5
