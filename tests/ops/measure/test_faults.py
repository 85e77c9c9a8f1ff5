"""The ops that measure faults: their parameters reach the measure, and real recordings have the faults they have."""

import numpy as np
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.ops.measure.clicks import Clicks
from audiocur.ops.measure.clipping import Clipping
from audiocur.ops.measure.dropouts import Dropouts
from audiocur.ops.measure.dynamics import Dynamics
from audiocur.ops.measure.edges import Edges
from audiocur.ops.measure.hum import Hum
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.silence import Silence
from audiocur.ops.measure.stereo import Stereo
from audiocur.records import Clip

RATE_HZ = 44_100


def clip_of(samples, rate_hz=RATE_HZ):
    samples = np.atleast_2d(samples).astype(np.float32)
    return Clip(
        clip_id="x", start_sample=0, end_sample=samples.shape[1], rate_hz=rate_hz, _audio=Audio(samples, rate_hz)
    )


def music():
    rng = np.random.default_rng(0)
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 261.6, 329.6))
    return 0.1 * chord + 0.001 * rng.standard_normal((2, len(t)))


def test_silence():
    x = music()
    x[:, :RATE_HZ] *= 1e-3
    measures = Silence().measure(clip_of(x))
    assert measures["leading_silence_s"] == pytest.approx(1.0, abs=0.02)
    assert measures["trailing_silence_s"] == 0
    assert Silence(threshold_dbfs=-100.0).measure(clip_of(x))["leading_silence_s"] == 0


def test_dynamics_reads_what_loudness_wrote():
    clip = clip_of(music())
    clip.measures.update(true_peak_dbtp=-3.0, loudness_lufs=-15.0)
    assert Dynamics().measure(clip)["peak_to_loudness_db"] == 12.0
    clip.measures.update(loudness_lufs=None)
    assert Dynamics().measure(clip)["peak_to_loudness_db"] is None
    assert set(Dynamics.reads) <= {column.name for column in Loudness.writes}


def test_stereo():
    x = music()
    clip = clip_of(np.stack([x[0], 0.2 * x[0]]))
    assert Stereo().measure(clip)["stereo_image"] == "dual mono"
    noise = np.random.default_rng(0).normal(0, 0.1, (2, RATE_HZ)) * [[1.0], [0.05]]
    assert Stereo().measure(clip_of(noise))["stereo_image"] == "stereo"
    assert Stereo(dead_db=20.0).measure(clip_of(noise))["stereo_image"] == "left only"
    narrow = clip_of(x[0] + 0.01 * x)
    assert Stereo(mono_correlation=0.9).measure(narrow)["stereo_image"] == "dual mono"
    wide = clip_of(np.stack([x[0], x[1] - 1.4 * x[0]]))
    assert Stereo(inverted_correlation=-0.999999).measure(wide) != Stereo().measure(wide)


def test_hum():
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    clip = clip_of(0.001 * sum(np.sin(2 * np.pi * 60 * k * t) for k in range(1, 5)) + music())
    assert Hum().measure(clip)["hum_hz"] == 60
    assert Hum(min_db=-10.0).measure(clip) == {"hum_hz": None, "hum_db": None}


def test_clicks():
    x = music()
    x[:, 40_000:220_000:30_000] += 0.1
    assert Clicks().measure(clip_of(x))["clicks_per_s"] == pytest.approx(1.0)
    assert Clicks(threshold_db=80.0).measure(clip_of(x))["clicks_per_s"] == 0
    assert Clicks(alone_db=60.0).measure(clip_of(x))["clicks_per_s"] == 0


def test_dropouts():
    x = music()
    x[:, 100_000:100_441] = 0
    measures = Dropouts().measure(clip_of(x))
    assert measures["dropout_count"] == 1
    assert measures["dropout_s"] == pytest.approx(0.01, abs=1e-4)
    assert Dropouts(min_s=0.05).measure(clip_of(x))["dropout_count"] == 0
    assert Dropouts(max_s=0.005).measure(clip_of(x))["dropout_count"] == 0


def test_edges():
    x = music()
    x[:, :4410] *= 0.05
    assert Edges().measure(clip_of(x)) == {"abrupt_start": False, "abrupt_end": True}
    assert Edges(within_db=40.0).measure(clip_of(x))["abrupt_start"] is True
    assert Edges(silence_dbfs=-10.0).measure(clip_of(x))["abrupt_end"] is False


@pytest.fixture
def load(real_audio):
    def load(pattern, seconds=30.0):
        found = sorted(real_audio.rglob(pattern))
        if not found:
            pytest.skip(f"{real_audio} holds no {pattern}")
        samples, rate_hz = soundfile.read(found[0], dtype="float32", always_2d=True)
        samples = samples[: round(seconds * rate_hz)].T
        return clip_of(samples / max(1.0, np.abs(samples).max()), rate_hz)

    return load


def test_an_overdriven_recording(load):
    clip = load("distorted.wav")
    measures = Clipping().measure(clip)
    assert measures["clipped_ratio"] > 0.05
    assert measures["clipped_runs_per_s"] > 100
    assert Dynamics().measure(clip)["crest_factor_db"] < 7
    assert Stereo().measure(clip)["stereo_image"] == "dual mono"


MUSIC = (
    "*sax-tenor*.wav",
    "flamenco.flac",
    "vocadito_1.wav",
    "Fl-ord*.wav",
    "147793*.ogg",
    "442789*.ogg",
    "Hungarian*.ogg",
    "Karissa*.ogg",
    "Kevin_MacLeod_-_P_I*.ogg",
    "admiralbob77*.ogg",
    "sorohanro*.ogg",
)


@pytest.mark.parametrize("pattern", MUSIC)
def test_sound_recordings_have_no_faults(load, pattern):
    clip = load(pattern)
    assert Clipping().measure(clip)["clipped_runs_per_s"] < 0.1
    assert Hum().measure(clip)["hum_hz"] is None
    assert Clicks().measure(clip)["clicks_per_s"] < 0.1
    assert Dropouts().measure(clip)["dropout_count"] == 0
    assert Stereo().measure(clip)["stereo_image"] in ("stereo", None)


def test_a_speech_of_1961_hums_at_60_hz_in_two_equal_channels(load):
    clip = load("jfk.flac")
    assert Hum().measure(clip)["hum_hz"] == 60
    assert Stereo().measure(clip)["stereo_image"] == "dual mono"
