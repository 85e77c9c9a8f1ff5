import numpy as np
import pyarrow as pa
import pytest

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.measure.lossy import Lossy
from audiocur.records import Clip


def measure(samples, rate_hz=44_100, **parameters):
    audio = Audio(np.atleast_2d(samples).astype(np.float32), rate_hz)
    clip = Clip(clip_id="x", start_sample=0, end_sample=audio.num_samples, rate_hz=rate_hz, _audio=audio)
    return Lossy(**parameters).measure(clip)


def walled(fall_db=60.0, seconds=4.0, rate_hz=44_100):
    """Noise that falls by this much at 17 kHz."""
    count = round(seconds * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(0, 0.1, count))
    spectrum[round(17_000 * seconds) :] *= 10 ** (-fall_db / 20)
    return np.fft.irfft(spectrum, count)


def test_what_it_writes():
    measures = measure(walled())
    assert measures["transcode_suspect"] is True
    assert measures["codec_trace"] is None
    assert measures["codec_score"] < 5
    assert measures["wall_hz"] == pytest.approx(17_000, abs=150)
    assert measures["wall_db"] == pytest.approx(60, abs=3)
    for column in Lossy.writes:
        pa.array([measures[column.name]], column.type)


def test_thresholds():
    slight = walled(18.0)
    assert measure(slight)["transcode_suspect"] is True
    assert measure(slight, sharp_db=24)["transcode_suspect"] is False
    assert measure(walled(), sharp_db=120, deep_db=120)["transcode_suspect"] is False


def test_silence_is_not_judged():
    assert set(measure(np.zeros(44_100)).values()) == {None}


@pytest.mark.parametrize("samples", [np.ones(1), walled(seconds=0.05), np.tile([1.0, -1.0], 22_050), walled(seconds=1)])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 384_000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_odd_audio(samples, rate_hz, channels):
    for value in measure(np.tile(samples, (channels, 1)), rate_hz).values():
        assert value is None or isinstance(value, bool | str) or np.isfinite(value)


@pytest.mark.parametrize("wrong", [{"min_score": 0.0}, {"min_score": 3.9}, {"sharp_db": -1.0}, {"deep_db": 1000.0}])
def test_wrong_parameters(wrong):
    with pytest.raises(ConfigError):
        Lossy(**wrong)
