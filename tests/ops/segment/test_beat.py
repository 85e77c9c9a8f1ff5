"""Clips of whole bars."""

import numpy as np
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.segment.beat import Beat
from audiocur.records import Source, Span
from audiocur.sources.synth.song import Band, Groove, Song, render


def span_of(samples, rate_hz, start_sample=0):
    return Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b"a.wav"),
        rate_hz=rate_hz,
        channels=samples.shape[0],
        start_sample=start_sample,
        num_samples=samples.shape[1],
        audio=Audio(samples.astype(np.float32), rate_hz) if samples.size else None,
    )


@pytest.mark.parametrize("groove", list(Groove))
def test_a_song_is_cut_before_its_downbeats(groove):
    song = Song(tempo_bpm=112, tonic=9, minor=True, bars=44, groove=groove, band=Band.KEYS)
    rate_hz = 22_050
    span = span_of(render(song, rate_hz, np.random.default_rng(0)), rate_hz, start_sample=600 * rate_hz)
    Beat().apply(span)
    assert span.uncut_s == 0
    assert span.clips[0].start_s == 600
    bars = [clip.duration_s / song.bar_s for clip in span.clips[1:-1]]
    assert bars == pytest.approx(np.round(bars), abs=0.01)
    assert sum(round(count) % 4 == 0 for count in bars) >= len(bars) - 1
    off_s = [(clip.end_s - 600 + song.bar_s / 2) % song.bar_s - song.bar_s / 2 for clip in span.clips[:-1]]
    assert max(off_s) < 0.0
    assert min(off_s) > -0.02
    assert all(5 <= clip.duration_s <= 30 for clip in span.clips)


@pytest.mark.parametrize("kind", ["noise", "silence", "hum"])
def test_without_a_pulse_the_span_is_tiled(kind):
    seconds, rate_hz = 95, 8000
    samples = {
        "noise": np.random.default_rng(0).normal(0, 0.1, (2, seconds * rate_hz)),
        "silence": np.zeros((1, seconds * rate_hz)),
        "hum": 0.1 * np.sin(np.arange(seconds * rate_hz) / 10)[np.newaxis],
    }[kind]
    span = span_of(samples, rate_hz)
    Beat().apply(span)
    assert span.uncut_s == 0
    assert all(5 <= clip.duration_s <= 30 for clip in span.clips)


@pytest.mark.parametrize(("samples", "rate_hz"), [(0, 44_100), (1, 44_100), (4 * 8000, 8000), (400_000, 384_000)])
def test_a_span_shorter_than_a_clip_stays_uncut(samples, rate_hz):
    span = span_of(np.full((2, samples), 0.1), rate_hz)
    Beat().apply(span)
    assert span.clips == []


@pytest.mark.parametrize(
    ("parameters", "key"), [({"min_s": 0.0}, "min_s"), ({"max_s": 9.0}, "max_s"), ({"bars": 0}, "bars")]
)
def test_parameters_out_of_range_are_refused(parameters, key):
    with pytest.raises(ConfigError, match=f"{key}=.*expected"):
        Beat(**parameters)


@pytest.mark.parametrize(
    ("pattern", "bar_s"), [("*sweet-waltz*.ogg", 1.2), ("Kevin_MacLeod_-_Vibe_Ace.ogg", 4 * 60 / 130)]
)
def test_real_music_is_cut_in_whole_bars(real_audio, pattern, bar_s):
    (path,) = real_audio.glob(pattern)
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    span = span_of(np.ascontiguousarray(samples.T), rate_hz)
    Beat().apply(span)
    assert span.uncut_s == 0
    assert len(span.clips) >= 3
    bars = [clip.duration_s / bar_s for clip in span.clips[1:-1]]
    assert bars == pytest.approx(np.round(bars), abs=0.06)
