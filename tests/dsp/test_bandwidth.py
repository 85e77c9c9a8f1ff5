import io

import av
import numpy as np
import pytest
import scipy.signal

from audiocur.audio import Audio
from audiocur.dsp.bandwidth import bandwidth_hz


def of(x, rate_hz=44_100):
    return bandwidth_hz(Audio(np.atleast_2d(x).astype(np.float32), rate_hz).spectrogram)


def noise(seconds=5.0, rate_hz=44_100, level=0.1):
    return np.random.default_rng(0).normal(0, level, round(seconds * rate_hz))


def brick_wall(x, cutoff_hz, rate_hz):
    spectrum = np.fft.rfft(x)
    spectrum[round(cutoff_hz / rate_hz * len(x)) :] = 0
    return np.fft.irfft(spectrum)


FILTERS = {
    "brick wall": brick_wall,
    "FIR, 1001 taps": lambda x, hz, rate: np.convolve(x, scipy.signal.firwin(1001, hz, fs=rate), "same"),
    "FIR, 255 taps": lambda x, hz, rate: np.convolve(x, scipy.signal.firwin(255, hz, fs=rate), "same"),
    "Butterworth, 12th order": lambda x, hz, rate: scipy.signal.sosfilt(
        scipy.signal.butter(12, hz, fs=rate, output="sos"), x
    ),
    "elliptic": lambda x, hz, rate: scipy.signal.sosfilt(scipy.signal.ellip(10, 0.1, 80, hz, fs=rate, output="sos"), x),
}


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("cutoff_hz", [4000, 8000, 16_000])
@pytest.mark.parametrize("kind", FILTERS)
def test_low_passed_noise(kind, cutoff_hz, rate_hz):
    filtered = FILTERS[kind](noise(rate_hz=rate_hz), cutoff_hz, rate_hz)
    assert of(filtered, rate_hz) == pytest.approx(cutoff_hz, rel=0.05)


@pytest.mark.parametrize("level", [0.3, 0.01, 0.001])
def test_level_hardly_matters(level):
    assert of(brick_wall(noise(level=level), 8000, 44_100)) == pytest.approx(8000, rel=0.05)


def test_dither_does_not_fill_the_spectrum():
    quantised = np.round(brick_wall(noise(), 8000, 44_100) * 32768 + noise(level=0.5)) / 32768
    assert of(quantised) == pytest.approx(8000, rel=0.05)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100, 96_000, 384_000])
def test_full_band(rate_hz):
    assert of(noise(2, rate_hz), rate_hz) == pytest.approx(rate_hz / 2, rel=0.01)


def test_falling_spectrum_is_full_band():
    # Noise whose power falls by 12 dB an octave, as dark music does: no filter, all the way up to half the rate.
    brown = scipy.signal.sosfilt([[1, 0, 0, 1, -0.99, 0]], noise())
    assert of(brown) > 21_000


def test_upsampled_recording():
    assert of(scipy.signal.resample_poly(noise(rate_hz=16_000), 3, 1), 48_000) == pytest.approx(8000, rel=0.05)


@pytest.mark.parametrize(("kbps", "cutoff_hz"), [(96, 15_100), (128, 17_000), (192, 18_600), (320, 20_500)])
def test_lame(kbps, cutoff_hz):
    coded = _through_mp3(np.tile(noise(), (2, 1)).astype(np.float32), 44_100, kbps)
    assert bandwidth_hz(Audio(coded, 44_100).spectrogram) == pytest.approx(cutoff_hz, rel=0.05)


def test_a_click_does_not_count():
    x = brick_wall(noise(10), 4000, 44_100)
    x[200_000] += 0.9
    assert of(x) == pytest.approx(4000, rel=0.05)


def test_a_cut_inside_a_sound_does_not_count():
    tone = np.sin(2 * np.pi * 1000 / 44_100 * np.arange(3 * 44_100) + 1.0)
    assert of(tone) < 1500


@pytest.mark.parametrize("x", [np.zeros(44_100), np.full(44_100, 0.5), np.ones(1), noise(0.08)])
def test_undefined(x):
    assert of(x) is None


def _through_mp3(samples, rate_hz, kbps):
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate_hz, layout="stereo")
        stream.bit_rate = 1000 * kbps
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = rate_hz
        container.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).astype(np.float32)
