"""What encode stores of a clip."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from audiocur.audio import Audio
from audiocur.errors import ConfigError, RowError
from audiocur.ops.transform.encode import Encode
from audiocur.records import Clip


def clip_of(samples, rate_hz):
    return Clip(
        clip_id="0" * 24, start_sample=0, end_sample=samples.shape[1], rate_hz=rate_hz, _audio=Audio(samples, rate_hz)
    )


def tones(rate_hz, num_samples, channels=2):
    t = np.arange(num_samples) / rate_hz
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (channel + 1) * t) for channel in range(channels)]).astype(
        np.float32
    )


@pytest.mark.parametrize("parameters", [{}, {"bits": 24}, {"format": "wav"}, {"format": "ogg"}, {"format": "opus"}])
@pytest.mark.parametrize("num_samples", [480, 48_001])
def test_the_stored_clip_is_as_long_as_it_says(parameters, num_samples):
    clip = clip_of(tones(48_000, num_samples), 48_000)
    assert Encode(**parameters).measure(clip) == {}
    stored = clip.stored
    assert (stored.rate_hz, stored.channels, stored.num_samples) == (48_000, 2, num_samples)
    assert stored.extension == parameters.get("format", "flac")
    assert clip.audio.samples.shape == (2, num_samples)
    assert np.abs(clip.audio.samples - tones(48_000, num_samples)).mean() < 0.02


@pytest.mark.parametrize(
    ("rate_hz", "parameters"),
    [(44_100, {"rate_hz": 16_000}), (44_100, {"format": "opus"}), (8_000, {"format": "opus"})],
)
def test_another_rate_keeps_pitch_and_duration(rate_hz, parameters):
    clip = clip_of(tones(rate_hz, 2 * rate_hz, 1), rate_hz)
    Encode(**parameters).measure(clip)
    expected_hz = parameters.get("rate_hz", 48_000)
    assert (clip.stored.rate_hz, clip.stored.num_samples) == (expected_hz, 2 * expected_hz)
    assert (clip.audio.rate_hz, clip.audio.num_samples) == (expected_hz, 2 * expected_hz)
    spectrum = np.abs(np.fft.rfft(clip.audio.samples[0]))
    assert np.argmax(spectrum) == 2 * 440


def test_mono_is_the_mean_of_the_channels():
    left, right = tones(44_100, 4_410)
    clip = clip_of(np.stack([left, right]), 44_100)
    Encode(channels=1, bits=24).measure(clip)
    assert clip.stored.channels == 1
    assert np.allclose(clip.audio.samples[0], (left + right) / 2, atol=1e-6)


def test_resampling_beyond_full_scale_scales_instead_of_clipping():
    square = np.sign(np.sin(2 * np.pi * 997 * (np.arange(44_100) + 0.5) / 44_100)).astype(np.float32)[None]
    clip = clip_of(square, 44_100)
    Encode(rate_hz=48_000, bits=24).measure(clip)
    samples = clip.audio.samples
    assert np.abs(samples).max() == pytest.approx(1, abs=1e-5)
    assert np.count_nonzero(np.abs(samples) > 0.9999) < 100  # clipping would hold thousands there


def test_a_rate_that_the_format_cannot_hold_fails_the_clip():
    clip = clip_of(tones(700_000, 7_000), 700_000)
    with pytest.raises(RowError, match=r"^flac cannot hold 2 channels at 700000 Hz"):
        Encode().measure(clip)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bits": 32}, r"bits=32: expected one of 16, 24 for format=flac"),
        ({"bits": 8, "format": "wav"}, r"bits=8: expected one of 16, 24, 32 for format=wav"),
        ({"format": "mp3"}, "format=mp3: expected one of flac, wav, ogg, opus"),
        ({"quality": 1.5}, "quality=1.5: expected 0 to 1"),
        ({"rate_hz": 1}, "rate_hz=1: expected 4000 to 384000 Hz, or null to keep"),
        ({"rate_hz": 44_100, "format": "opus"}, "rate_hz=44100: expected 48000 or null, which Opus turns to 48000"),
        ({"channels": 2}, "channels=2: expected 1 to mix down to mono, or null to keep"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        Encode(**parameters)


def test_the_yaml_says_what_the_class_says():
    part = yaml.safe_load((Path(__file__).parents[3] / "conf/transform/encode.yaml").read_text())
    assert part.pop("_target_") == "audiocur.ops.transform.encode.Encode"
    assert part == dataclasses.asdict(Encode())
