"""What decode fills in of a span, and what it refuses."""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from audiocur.decoding import read_header
from audiocur.errors import ConfigError, RowError
from audiocur.ops.transform.decode import Decode, Truncated
from audiocur.records import Source, Span

RATE_HZ = 8_000


def source(path, **known):
    return Source(source_id="0" * 16, uri="x", path=os.fsencode(path), **known)


@pytest.fixture
def ramp(tmp_path):
    """Ten seconds of stereo, of which every sample is another."""
    samples = np.linspace(-0.9, 0.9, 2 * 10 * RATE_HZ, dtype=np.float32).reshape(-1, 2)
    soundfile.write(tmp_path / "ramp.wav", samples, RATE_HZ, "FLOAT")
    return tmp_path / "ramp.wav", samples.T


def test_a_span_is_filled_in(ramp):
    path, samples = ramp
    for index, (num_samples, last) in enumerate([(32_000, False), (32_000, False), (16_000, True), (0, True)]):
        span = Span(source=source(path), index=index)
        Decode(span_s=4.0).apply(span)
        assert (span.rate_hz, span.channels, span.start_sample) == (RATE_HZ, 2, index * 32_000)
        assert (span.num_samples, span.last, span.expected_spans, span.gain_db) == (num_samples, last, 3, 0)
        if num_samples:
            assert span.audio.rate_hz == RATE_HZ
            assert np.array_equal(span.audio.samples, samples[:, span.start_sample : span.start_sample + num_samples])
        else:
            assert span.audio is None


def test_a_recording_as_long_as_a_span_has_one(ramp):
    span = Span(source=source(ramp[0]))
    Decode(span_s=10.0).apply(span)
    assert (span.num_samples, span.last, span.expected_spans) == (80_000, True, 1)


def test_the_first_span_hashes_the_file(ramp):
    path, _ = ramp
    first, second = Span(source=source(path)), Span(source=source(path), index=1)
    for span in (first, second):
        Decode(span_s=4.0).apply(span)
    assert first.content_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert second.content_sha256 is None


def test_what_is_no_audio_is_hashed_all_the_same(tmp_path):
    (tmp_path / "notes.txt").write_text("buy strings")
    span = Span(source=source(tmp_path / "notes.txt"))
    with pytest.raises(RowError, match="not audio"):
        Decode().apply(span)
    assert span.content_sha256 == hashlib.sha256(b"buy strings").hexdigest()
    assert not span.last


def test_memory_bounds_a_span(ramp):
    header = read_header(ramp[0])
    assert Decode(span_s=600).span_samples(header) == 600 * RATE_HZ
    assert Decode(span_s=600, span_mb=1).span_samples(header) == 1_000_000 // 8
    assert Decode(span_s=4.0, span_mb=1).span_samples(header) == 4 * RATE_HZ


def test_a_truncated_recording_ends_where_it_ends(ramp):
    path, samples = ramp
    os.truncate(path, path.stat().st_size - 3 * RATE_HZ * 8)
    span = Span(source=source(path), index=1)
    with pytest.raises(RowError, match=r"^truncated: the header promises 10.0 s, the data ends at 7.0 s$"):
        Decode(span_s=4.0).apply(span)
    assert span.last
    Decode(span_s=4.0, truncated=Truncated.KEEP).apply(span)
    assert np.array_equal(span.audio.samples, samples[:, 32_000:56_000])


@pytest.mark.parametrize("level", [1.5, -3.0])
def test_more_than_full_scale_is_scaled_not_clipped(tmp_path, level):
    samples = np.zeros((20_000, 2), np.float32)
    samples[100], samples[200, 1], samples[15_000] = 0.75, level, 0.5
    soundfile.write(tmp_path / "hot.wav", samples, RATE_HZ, "FLOAT")
    hot, cool = Span(source=source(tmp_path / "hot.wav")), Span(source=source(tmp_path / "hot.wav"), index=1)
    for span in (hot, cool):
        Decode(span_s=1.25).apply(span)
    assert hot.gain_db == pytest.approx(-20 * np.log10(abs(level)))
    assert np.abs(hot.audio.samples).max() == 1
    assert np.allclose(hot.audio.samples * 10 ** (-hot.gain_db / 20), samples[:10_000].T, atol=1e-6)
    assert cool.gain_db == 0
    assert cool.audio.samples.max() == 0.5


def test_full_scale_itself_is_left_alone(tmp_path):
    soundfile.write(tmp_path / "full.wav", np.array([1.0, -1.0, 0.5], np.float32), RATE_HZ, "FLOAT")
    span = Span(source=source(tmp_path / "full.wav"))
    Decode().apply(span)
    assert span.gain_db == 0
    assert span.audio.samples.tolist() == [[1.0, -1.0, 0.5]]


def test_a_recording_that_changed_is_refused(ramp):
    path, _ = ramp
    status = path.stat()
    known = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    Decode().apply(Span(source=source(path, **known)))
    for other in ({"size": 1}, {"mtime_ns": 1}):
        with pytest.raises(RowError, match=r"^changed while the run was going on$"):
            Decode().apply(Span(source=source(path, **(known | other))))


def test_a_problem_the_listing_found_is_passed_on(ramp):
    with pytest.raises(RowError, match=r"^symbolic link loop$"):
        Decode().apply(Span(source=source(ramp[0], problem="symbolic link loop")))


def test_a_recording_without_samples_is_told(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 2)), RATE_HZ)
    with pytest.raises(RowError, match=r"^holds no audio samples$"):
        Decode().apply(Span(source=source(tmp_path / "none.wav")))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"span_s": 0.5}, "span_s=0.5: expected at least 1 s"),
        ({"span_mb": 0}, "span_mb=0: expected at least 1 MB"),
        ({"min_rate_hz": 0}, "min_rate_hz=0: expected at least 1 Hz"),
        ({"max_rate_hz": 100}, "max_rate_hz=100: expected at least min_rate_hz"),
        ({"truncated": "maybe"}, "truncated=maybe: expected one of fail, keep"),
        ({"max_channels": 0}, "max_channels=0: expected at least 1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        Decode(**parameters)


def test_the_yaml_says_what_the_class_says():
    part = yaml.safe_load((Path(__file__).parents[3] / "conf/transform/decode.yaml").read_text())
    assert part.pop("_target_") == "audiocur.ops.transform.decode.Decode"
    assert part == dataclasses.asdict(Decode())


def test_real_recordings_are_whole(real_audio):
    """Ours and another decoder agree on length and sound of every real recording."""
    for path in sorted(p for p in real_audio.rglob("*") if p.suffix in (".ogg", ".flac", ".wav")):
        span = Span(source=source(path))
        Decode().apply(span)
        reference = soundfile.read(path, dtype="float32", always_2d=True)[0].T
        assert span.last
        assert span.num_samples == pytest.approx(reference.shape[1], abs=256), path
        shared = min(span.num_samples, reference.shape[1])
        scale = 10 ** (span.gain_db / 20)
        assert np.abs(span.audio.samples[:, :shared] - reference[:, :shared] * scale).max() < 1e-4, path
