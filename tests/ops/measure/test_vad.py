"""Voice activity: the same intervals as silero-vad's own functions, and what bad input gets."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur.audio import Audio
from audiocur.errors import ConfigError, RowError
from audiocur.ops.measure.vad import Vad, voice_probabilities, voiced_regions
from audiocur.records import Source, Span

REAL_AUDIO = os.environ.get("AUDIOCUR_REAL_AUDIO")
needs_real_audio = pytest.mark.skipif(not REAL_AUDIO, reason="AUDIOCUR_REAL_AUDIO names no folder of recordings")
READINGS = ["198-209-0000.ogg", "3436-172162-0000.ogg", "5703-47212-0000.ogg"]
ORCHESTRA = "Hungarian_Dance_number_5_-_Allegro_in_F_sharp_minor_(string_orchestra).ogg"
SONG = "Karissa_Hobbs_-_Lets_Go_Fishin.ogg"


def span_of(samples, rate_hz=16_000, start_sample=0):
    audio = Audio(np.atleast_2d(np.asarray(samples, np.float32)), rate_hz)
    return Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b"a.wav"),
        rate_hz=rate_hz,
        channels=audio.channels,
        start_sample=start_sample,
        num_samples=audio.num_samples,
        audio=audio,
    )


def recording(name):
    samples, rate_hz = soundfile.read(Path(REAL_AUDIO) / name, dtype="float32", always_2d=True)
    return span_of(samples.T.copy(), rate_hz)


def voiced_ratio(span):
    vad = Vad()
    vad.apply(span)
    return vad.measure(span, span.cut(0, span.num_samples))["voiced_ratio"]


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.ones(511), np.zeros(40_000)])
def test_no_voice_in_little_or_nothing(samples):
    span = span_of(samples)
    vad = Vad(min_voiced_s=0)
    vad.apply(span)
    assert span.annotations["voiced"] == []
    if span.num_samples:
        assert vad.measure(span, span.cut(0, span.num_samples)) == {"voiced_ratio": 0.0, "voiced": []}


def test_samples_that_are_not_finite_are_no_silence():
    samples = np.zeros(32_000)
    samples[5000] = np.nan
    with pytest.raises(RowError, match="not finite"):
        Vad().apply(span_of(samples))


def test_measures_count_from_the_clip():
    span = span_of(np.zeros(10 * 16_000), start_sample=1_000_000)
    span.annotations["voiced"] = [(0.0, 1.5), (3.0, 4.0), (5.0, 9.0)]
    measures = Vad().measure(span, span.cut(16_000, 6 * 16_000))
    assert measures["voiced"] == [
        {"start_s": 0.0, "end_s": 0.5},
        {"start_s": 2.0, "end_s": 3.0},
        {"start_s": 4.0, "end_s": 5.0},
    ]
    assert measures["voiced_ratio"] == pytest.approx(2.5 / 5)


def test_a_clip_beside_the_voice_has_none():
    span = span_of(np.zeros(4 * 16_000))
    span.annotations["voiced"] = [(0.0, 1.0), (3.0, 4.0)]
    assert Vad().measure(span, span.cut(16_000, 3 * 16_000)) == {"voiced_ratio": 0.0, "voiced": []}


@pytest.mark.parametrize(
    ("key", "value"), [("threshold", 0.0), ("threshold", 1.0), ("min_voiced_s", -1.0), ("pad_s", -0.1)]
)
def test_parameters_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key}={value}: expected"):
        Vad(**{key: value})


def test_importing_it_leaves_torch_alone():
    code = (
        "import sys, numpy\n"
        "from audiocur.ops.measure.vad import voice_probabilities\n"
        "assert voice_probabilities(numpy.zeros(512, numpy.float32)).shape == (1,)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("num_samples", [512, 513, 512 * 256, 512 * 600 + 7])
def test_probabilities_equal_the_packages_own(num_samples):
    from silero_vad import load_silero_vad

    noise = np.random.default_rng(num_samples).normal(0, 0.1, num_samples).astype(np.float32)
    expected = load_silero_vad(sequence=True).audio_forward(noise)
    np.testing.assert_allclose(voice_probabilities(noise), expected, rtol=0, atol=1e-5)


@settings(deadline=None)
@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.009, 0.2, 0.35, 0.4, 0.5, 0.6, 1.0]), max_size=80),
    missing=st.integers(0, 511),
    threshold=st.sampled_from([0.01, 0.1, 0.35, 0.5, 0.9]),
    min_voiced_ms=st.integers(0, 500),
    min_silence_ms=st.integers(0, 300),
    pad_ms=st.integers(0, 200),
)
def test_regions_equal_the_packages_own(probabilities, missing, threshold, min_voiced_ms, min_silence_ms, pad_ms):
    from silero_vad import get_speech_timestamps_from_probs

    num_samples = max(0, len(probabilities) * 512 - missing)
    values = np.array(probabilities, np.float32)
    expected = get_speech_timestamps_from_probs(
        values,
        threshold=threshold,
        min_speech_duration_ms=min_voiced_ms,
        min_silence_duration_ms=min_silence_ms,
        speech_pad_ms=pad_ms,
        audio_length_samples=num_samples,
    )
    regions = voiced_regions(
        values,
        num_samples=num_samples,
        threshold=threshold,
        min_voiced=16 * min_voiced_ms,
        min_silence=16 * min_silence_ms,
        pad=16 * pad_ms,
    )
    assert regions == [(region["start"], region["end"]) for region in expected]


@needs_real_audio
@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [
        ({}, {}),
        (
            {"threshold": 0.3, "min_voiced_s": 0.1, "min_silence_s": 0.04, "pad_s": 0.1},
            {"threshold": 0.3, "min_speech_duration_ms": 100, "min_silence_duration_ms": 40, "speech_pad_ms": 100},
        ),
    ],
)
@pytest.mark.parametrize("name", [READINGS[0], SONG])
def test_intervals_of_recordings_equal_the_packages_own(name, seconds, milliseconds):
    from silero_vad import get_speech_timestamps_sequence, load_silero_vad

    span = recording(name)
    Vad(**seconds).apply(span)
    expected = get_speech_timestamps_sequence(span.audio.mono_16k, load_silero_vad(sequence=True), **milliseconds)
    assert expected
    end_s = span.duration_s
    assert span.annotations["voiced"] == [(r["start"] / 16_000, min(r["end"] / 16_000, end_s)) for r in expected]


@needs_real_audio
@pytest.mark.parametrize("name", READINGS)
def test_a_reading_is_voiced(name):
    assert voiced_ratio(recording(name)) > 0.8


@needs_real_audio
def test_an_orchestra_is_not():
    assert voiced_ratio(recording(ORCHESTRA)) < 0.1


@needs_real_audio
def test_the_same_recording_gives_the_same_bits():
    mono = recording(READINGS[1]).audio.mono_16k
    first = voice_probabilities(mono)
    voice_probabilities(mono[::-1].copy())  # nothing is carried from one recording to the next
    np.testing.assert_array_equal(first, voice_probabilities(mono.copy()))
