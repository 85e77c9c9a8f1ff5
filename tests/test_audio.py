import numpy as np
import pytest
import soxr

from audiocur.audio import Audio


def sine(frequency_hz, rate_hz, seconds=1.0, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(round(seconds * rate_hz)))).astype(
        np.float32
    )


@pytest.mark.parametrize("samples", [np.zeros(10, np.float32), np.zeros((1, 10)), np.zeros((1, 1, 10), np.float32)])
def test_only_float32_channels_by_samples(samples):
    with pytest.raises(ValueError, match="float32"):
        Audio(samples, 44_100)


def test_sizes():
    audio = Audio(np.zeros((3, 22_050), np.float32), 44_100)
    assert (audio.channels, audio.num_samples, audio.duration_s) == (3, 22_050, 0.5)


def test_mono_is_the_mean_of_the_channels():
    samples = np.array([[1.0, 0.5], [0.0, -0.5], [0.5, 0.0]], np.float32)
    assert Audio(samples, 8000).mono.tolist() == [0.5, 0.0]
    assert np.shares_memory(Audio(samples[:1], 8000).mono, samples)


def test_views_are_computed_once():
    audio = Audio(np.stack([sine(440, 44_100)] * 2), 44_100)
    assert audio.mono is audio.mono
    assert audio.mono_16k is audio.mono_16k
    assert audio.spectrogram is audio.spectrogram
    assert audio.spectrogram.power is audio.spectrogram.power


def test_slice_shares_samples_and_no_views():
    audio = Audio(np.stack([sine(440, 8000)] * 2), 8000)
    assert len(audio.mono) == 8000
    part = audio.slice(2000, 6000)
    assert np.shares_memory(part.samples, audio.samples)
    assert part.mono.shape == (4000,)
    np.testing.assert_array_equal(part.mono, audio.mono[2000:6000])


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 96_000])
def test_16k_view_keeps_a_tone_and_drops_what_would_alias(rate_hz):
    audio = Audio(sine(1000, rate_hz)[np.newaxis], rate_hz)
    assert audio.mono_16k.dtype == np.float32
    np.testing.assert_allclose(audio.mono_16k[2000:14_000], sine(1000, 16_000)[2000:14_000], atol=0.01)
    if rate_hz > 30_000:
        assert np.abs(Audio(sine(12_000, rate_hz)[np.newaxis], rate_hz).mono_16k[2000:14_000]).max() < 1e-3


@pytest.mark.parametrize(
    ("rate_hz", "n_fft"),
    [(8000, 1024), (16_000, 2048), (22_050, 2048), (44_100, 4096), (48_000, 4096), (96_000, 8192), (384_000, 32_768)],
)
def test_spectrogram_of_a_tone(rate_hz, n_fft):
    spectrogram = Audio(sine(1000, rate_hz, amplitude=0.5)[np.newaxis], rate_hz).spectrogram
    assert (spectrogram.n_fft, spectrogram.hop) == (n_fft, n_fft // 4)
    assert spectrogram.magnitude.shape == (n_fft // 2 + 1, rate_hz // spectrogram.hop + 1)
    assert spectrogram.magnitude.dtype == np.float32
    clear = spectrogram.magnitude[:, spectrogram.clear]
    peak_hz = spectrogram.frequencies_hz[clear.argmax(axis=0)]
    np.testing.assert_allclose(peak_hz, 1000, atol=rate_hz / n_fft)
    assert clear.max(axis=0) == pytest.approx(0.5, rel=0.16)  # at most 1.4 dB less between two bins


def test_full_scale_sine_on_a_bin_reads_one():
    spectrogram = Audio(sine(44_100 / 16, 44_100)[np.newaxis], 44_100).spectrogram
    np.testing.assert_allclose(spectrogram.magnitude[256, spectrogram.clear], 1.0, atol=1e-5)


def test_spectrogram_is_the_textbook_transform():
    noise = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    spectrogram = Audio(noise[np.newaxis], 44_100).spectrogram
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(4096) / 4096)
    padded = np.pad(noise.astype(float), 2048)
    for frame in (0, 7, 43):
        expected = np.abs(np.fft.rfft(window * padded[1024 * frame :][:4096])) * 2 / window.sum()
        np.testing.assert_allclose(spectrogram.magnitude[:, frame], expected, atol=1e-7)


def test_mean_square_is_the_level_of_the_samples():
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * 44_100).astype(np.float32)
    spectrogram = Audio(noise[np.newaxis] + np.float32(0.25), 44_100).spectrogram
    assert spectrogram.mean_square[spectrogram.clear].mean() == pytest.approx(0.01, rel=0.02)
    tone = Audio(sine(1000, 44_100)[np.newaxis], 44_100).spectrogram
    assert tone.mean_square[tone.clear] == pytest.approx(0.5, rel=0.01)


def test_clear_frames_hear_no_padding():
    # Of a constant signal every window without padding sees the same.
    spectrogram = Audio(np.ones((1, 10_000), np.float32), 44_100).spectrogram
    clear = spectrogram.magnitude[:, spectrogram.clear]
    assert clear.shape[1] == (10_000 - 4096) // 1024 + 1
    assert np.ptp(clear, axis=1).max() < 1e-6
    assert np.ptp(spectrogram.magnitude, axis=1).max() > 0.01


@pytest.mark.parametrize("length", [0, 1, 100, 4095])
def test_shorter_than_a_window(length):
    spectrogram = Audio(np.ones((2, length), np.float32), 44_100).spectrogram
    assert spectrogram.magnitude.shape[1] == length // 1024 + 1
    assert spectrogram.magnitude[:, spectrogram.clear].shape[1] == 0


def test_resampled_view_is_soxr():
    noise = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    np.testing.assert_array_equal(Audio(noise[np.newaxis], 44_100).mono_16k, soxr.resample(noise, 44_100, 16_000))
