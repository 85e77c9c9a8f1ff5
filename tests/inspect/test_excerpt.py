"""An excerpt is the sound it was taken from, at whatever rate that is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.inspect.excerpt import excerpt_mp3


def decoded(audio: Audio) -> tuple[np.ndarray, int]:
    """Samples, shape (samples, channels), and their rate."""
    return soundfile.read(io.BytesIO(excerpt_mp3(audio)), always_2d=True)


@pytest.mark.parametrize(
    ("rate_hz", "playable_hz"),
    [(8000, 16_000), (11_025, 16_000), (22_050, 22_050), (44_100, 44_100), (48_000, 48_000), (96_000, 48_000)],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_tone_stays_at_its_pitch_and_level(rate_hz, playable_hz, channels):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate_hz) / rate_hz)
    samples, its_rate_hz = decoded(Audio(np.tile(tone, (channels, 1)).astype(np.float32), rate_hz))
    assert its_rate_hz == playable_hz
    assert samples.shape[1] == min(channels, 2)
    assert len(samples) / its_rate_hz == pytest.approx(2, abs=0.1)
    middle = samples[its_rate_hz // 2 : its_rate_hz // 2 + its_rate_hz, 0]
    spectrum = np.abs(np.fft.rfft(middle)) / its_rate_hz * 2
    assert spectrum.argmax() == 1000
    assert spectrum.max() == pytest.approx(0.5, rel=0.05)


def test_channels_stay_where_they_are():
    rng = np.random.default_rng(0)
    left = rng.normal(0, 0.1, 44_100).astype(np.float32)
    samples, _ = decoded(Audio(np.stack([left, np.zeros_like(left)]), 44_100))
    assert np.square(samples[:, 0]).mean() > 100 * np.square(samples[:, 1]).mean()


def test_what_is_beyond_full_scale_does_not_wrap():
    samples, _ = decoded(Audio(np.full((1, 44_100), 3.0, np.float32), 44_100))
    assert samples.min() > -0.5


@pytest.mark.parametrize("num_samples", [1, 7, 500])
def test_next_to_nothing_can_be_played(num_samples):
    samples, _ = decoded(Audio(np.full((2, num_samples), 0.1, np.float32), 44_100))
    assert len(samples) >= num_samples


def test_it_begins_and_ends_softly():
    samples, rate_hz = decoded(Audio(np.full((1, 44_100), 0.5, np.float32), 44_100))
    assert np.abs(np.diff(samples[: rate_hz // 20, 0])).max() < 0.1


def test_the_same_sound_is_the_same_file():
    audio = Audio(np.random.default_rng(0).normal(0, 0.1, (2, 44_100)).astype(np.float32), 44_100)
    assert excerpt_mp3(audio) == excerpt_mp3(audio)
