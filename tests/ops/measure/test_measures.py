"""Every measuring op: what it writes, what it refuses, and what bad or odd audio gets."""

import math
import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from omegaconf import OmegaConf

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.measure.bandwidth import Bandwidth
from audiocur.ops.measure.clicks import Clicks
from audiocur.ops.measure.clipping import Clipping
from audiocur.ops.measure.dc import Dc
from audiocur.ops.measure.dropouts import Dropouts
from audiocur.ops.measure.dynamics import Dynamics
from audiocur.ops.measure.edges import Edges
from audiocur.ops.measure.hum import Hum
from audiocur.ops.measure.key import Key
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.silence import Silence
from audiocur.ops.measure.spectrum import Spectrum
from audiocur.ops.measure.stereo import Stereo
from audiocur.ops.measure.tempo import Tempo
from audiocur.records import Clip

CONF = Path(__file__).parents[3] / "conf" / "measure"
FAULTS = [Clipping, Silence, Dc, Dynamics, Hum, Clicks, Dropouts, Edges]
BARS = {"downbeats_s", "beats_per_bar"}  # of one chord again and again they are anybody's guess
OPS = [Loudness, *FAULTS, Bandwidth, Stereo, Spectrum, Tempo, Key]


def clip_of(samples, rate_hz=44_100):
    samples = np.atleast_2d(samples).astype(np.float32)
    return Clip(
        clip_id="x", start_sample=0, end_sample=samples.shape[1], rate_hz=rate_hz, _audio=Audio(samples, rate_hz)
    )


def measure_all(clip):
    for op in OPS:
        clip.measures.update(op().measure(clip))
    return clip.measures


def music(rate_hz=44_100, channels=2, seconds=6.0):
    """Plucked chords at 120 BPM over a little noise, a little different in each channel."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    envelope = np.exp(-6 * (t % 0.5))
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 261.6, 329.6))
    return 0.1 * envelope * chord + 0.003 * rng.standard_normal((channels, len(t)))


def check_types(op, measures):
    assert set(measures) == {column.name for column in op.writes}
    for column in op.writes:
        value = measures[column.name]
        if value is None:
            continue
        pa.array([value], column.type)
        if pa.types.is_floating(column.type):
            assert type(value) is float
            assert math.isfinite(value)
        elif pa.types.is_list(column.type):
            assert all(type(item) is float and math.isfinite(item) for item in value)
        else:
            assert type(value) is {"string": str, "int8": int, "int32": int, "bool": bool}[str(column.type)]


@pytest.mark.parametrize("op", OPS)
def test_yaml_repeats_the_defaults(op):
    module = op.__module__.rsplit(".", 1)[1]
    written = OmegaConf.to_container(OmegaConf.load(CONF / f"{module}.yaml"))
    assert written.pop("_target_") == f"{op.__module__}.{op.__name__}"
    assert written == {field.name: getattr(op(), field.name) for field in fields(op)}


@pytest.mark.parametrize("op", OPS)
def test_pickles(op):
    assert pickle.loads(pickle.dumps(op())) == op()


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 384_000])
def test_any_rate_and_number_of_channels(rate_hz, channels):
    clip = clip_of(music(rate_hz, channels), rate_hz)
    for op in OPS:
        check_types(op, op().measure(clip))
    measures = measure_all(clip)
    undefined = {column.name for column in Stereo.writes} if channels == 1 else set()
    assert {name for name, value in measures.items() if value is None} - BARS == undefined | {"hum_hz", "hum_db"}
    assert measures["tempo_bpm"] == pytest.approx(120, rel=0.01)
    assert measures["key"] == "A minor"


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 384_000])
@pytest.mark.parametrize("length", [1, 2, 24, 1000, 5000])
@pytest.mark.parametrize("value", [0.0, 1e-38, 0.5, -1.0])
def test_short_and_constant_clips(op, rate_hz, length, value):
    check_types(op, op().measure(clip_of(np.full((2, length), value), rate_hz)))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("seed", range(4))
def test_short_noise(op, seed):
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1, 1, (rng.integers(1, 9), rng.integers(1, 20_000)))
    check_types(op, op().measure(clip_of(noise)))


def test_silence_is_undefined_but_where_nothing_is_an_answer():
    measures = measure_all(clip_of(np.zeros((2, 10 * 44_100))))
    defined = {name: value for name, value in measures.items() if value is not None}
    assert defined == {
        "clipped_ratio": 0.0,
        "clipped_runs_per_s": 0.0,
        "silence_ratio": 1.0,
        "leading_silence_s": 10.0,
        "trailing_silence_s": 10.0,
        "dc_offset": 0.0,
        "clicks_per_s": 0.0,
        "dropout_count": 0,
        "dropout_s": 0.0,
    }


def test_equal_to_the_bit_between_runs():
    assert measure_all(clip_of(music())) == measure_all(clip_of(music()))


def test_hears_what_a_file_holds(tmp_path):
    soundfile.write(tmp_path / "a.wav", music().T, 44_100, subtype="FLOAT")
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert measure_all(clip_of(samples.T, rate_hz)) == measure_all(clip_of(music()))


@pytest.mark.parametrize(
    ("op", "parameters", "key"),
    [
        (Loudness, {"oversampling": 2}, "oversampling"),
        (Clipping, {"min_run": 2}, "min_run"),
        (Clipping, {"tolerance_db": 0.0}, "tolerance_db"),
        (Silence, {"threshold_dbfs": 0.0}, "threshold_dbfs"),
        (Silence, {"threshold_dbfs": float("nan")}, "threshold_dbfs"),
        (Stereo, {"mono_correlation": 1.1}, "mono_correlation"),
        (Stereo, {"inverted_correlation": 0.0}, "inverted_correlation"),
        (Stereo, {"dead_db": 6.0}, "dead_db"),
        (Hum, {"min_db": 1.0}, "min_db"),
        (Clicks, {"threshold_db": 6.0}, "threshold_db"),
        (Clicks, {"alone_db": 0.0}, "alone_db"),
        (Clicks, {"change_db": 0.0}, "change_db"),
        (Dropouts, {"min_s": 0.0}, "min_s"),
        (Dropouts, {"min_s": 0.01, "max_s": 0.01}, "max_s"),
        (Edges, {"within_db": 0.0}, "within_db"),
        (Edges, {"silence_dbfs": 0.0}, "silence_dbfs"),
        (Bandwidth, {"floor_dbfs": 0.0}, "floor_dbfs"),
        (Bandwidth, {"range_db": 0.0}, "range_db"),
        (Bandwidth, {"percentile": 101.0}, "percentile"),
        (Spectrum, {"silence_dbfs": 1.0}, "silence_dbfs"),
        (Spectrum, {"flatness_max_hz": 0.0}, "flatness_max_hz"),
        (Tempo, {"min_bpm": 0.0}, "min_bpm"),
        (Tempo, {"min_bpm": 100.0, "max_bpm": 150.0}, "max_bpm"),
        (Tempo, {"min_s": 0.0}, "min_s"),
        (Tempo, {"silence_dbfs": 0.0}, "silence_dbfs"),
        (Key, {"silence_dbfs": 0.0}, "silence_dbfs"),
    ],
)
def test_parameters_out_of_range(op, parameters, key):
    with pytest.raises(ConfigError, match=f"^{key}="):
        op(**parameters)


def test_parameters_reach_the_measure():
    quiet = clip_of(0.01 * music())
    assert Silence().measure(quiet) != Silence(threshold_dbfs=-100.0).measure(quiet)
    noise = clip_of(np.random.default_rng(0).normal(0, 0.1, (1, 44_100)))
    assert Bandwidth(floor_dbfs=-40.0).measure(noise)["bandwidth_hz"] is None
    assert Spectrum(silence_dbfs=-1.0).measure(noise)["spectral_centroid_hz"] is None
    assert Spectrum(flatness_max_hz=100.0).measure(noise) != Spectrum().measure(noise)
    assert Tempo(min_s=7.0).measure(clip_of(music()))["tempo_bpm"] is None
    assert Tempo(max_bpm=90.0).measure(clip_of(music()))["tempo_bpm"] <= 90
    assert Tempo(min_bpm=150.0, max_bpm=300.0).measure(clip_of(music()))["tempo_bpm"] >= 150
    assert Key(silence_dbfs=-1.0).measure(clip_of(music()))["key"] is None
    clipped = clip_of(np.clip(3 * music(), -0.2, 0.2))
    assert Clipping(min_run=1000).measure(clipped)["clipped_ratio"] < Clipping().measure(clipped)["clipped_ratio"]
    assert Loudness(oversampling=16).measure(clip_of(music())) != Loudness().measure(clip_of(music()))
