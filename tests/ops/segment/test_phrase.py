"""Clips between phrases."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.measure.vad import Vad
from audiocur.ops.segment.phrase import Phrase
from audiocur.records import Source, Span

RATE_HZ = 1000
REAL_AUDIO = os.environ.get("AUDIOCUR_REAL_AUDIO")


def span_of(samples, rate_hz, voiced, start_sample=0):
    span = Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b"a.wav"),
        rate_hz=rate_hz,
        channels=samples.shape[0],
        start_sample=start_sample,
        num_samples=samples.shape[1],
        audio=Audio(samples, rate_hz),
    )
    span.annotations["voiced"] = voiced
    return span


def bursts(duration_s, voiced, start_sample=0):
    """Noise that is loud where it is voiced."""
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, (1, round(duration_s * RATE_HZ))).astype(np.float32)
    for start_s, end_s in voiced:
        noise[:, round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] *= 50
    return span_of(noise, RATE_HZ, voiced, start_sample)


def bounds_s(span):
    offset_s = span.start_sample / RATE_HZ
    return [(clip.start_s - offset_s, clip.end_s - offset_s) for clip in span.clips]


def torn(span, max_s):
    cuts = {bound for clip in bounds_s(span) for bound in clip} - {0.0, span.duration_s}
    eps = 1 / span.rate_hz
    return [(a, b) for a, b in span.annotations["voiced"] if b - a <= max_s for cut in cuts if a + eps < cut < b - eps]


def test_cuts_fall_between_phrases():
    span = bursts(40, [(1, 9), (10, 18), (19, 27), (28, 39)], start_sample=7_000)
    Phrase(min_s=5, max_s=15).apply(span)
    assert [9 < end < 10 or 18 < end < 19 or 27 < end < 28 or end == 40 for _, end in bounds_s(span)] == [True] * 4
    assert span.uncut_s == 0
    assert span.clips[0].start_sample == 7_000


def test_a_phrase_longer_than_a_clip_is_split_at_its_quietest():
    span = bursts(16, [(0, 16)])
    span.audio.samples[:, 7_000:7_100] *= 0.1
    Phrase(min_s=5, max_s=10).apply(span)
    (start_s, cut_s), (second_s, end_s) = bounds_s(span)
    assert (start_s, end_s) == (0, 16)
    assert cut_s == second_s == pytest.approx(7.05, abs=0.05)


def test_a_span_shorter_than_a_clip_stays_uncut():
    span = bursts(4.999, [(0, 4)])
    Phrase(min_s=5, max_s=10).apply(span)
    assert span.clips == []
    assert span.uncut_s == pytest.approx(4.999)


def test_an_empty_span_has_no_clips():
    span = span_of(np.zeros((2, 0), np.float32), 44_100, [])
    Phrase().apply(span)
    assert span.clips == []


def test_a_phrase_is_spared_even_where_a_remainder_stays_uncut():
    span = bursts(31.9, [(0, 2), (2.2, 31.9)])
    Phrase().apply(span)
    assert torn(span, 30) == []
    assert [round(end - start) for start, end in bounds_s(span)] == [30]
    assert 1.9 <= span.uncut_s <= 2.2


@pytest.mark.parametrize(("min_s", "max_s", "key"), [(0.0, 30.0, "min_s"), (5.0, 9.0, "max_s")])
def test_bounds_that_cannot_tile_are_refused(min_s, max_s, key):
    with pytest.raises(ConfigError, match=f"{key}=.*expected"):
        Phrase(min_s=min_s, max_s=max_s)


@settings(deadline=None)
@given(
    lengths_s=st.lists(st.floats(0.05, 12), max_size=12),
    min_s=st.floats(0.5, 6),
    factor=st.floats(2, 6),
    rate_hz=st.sampled_from([1000, 1103]),
)
def test_clips_obey_their_bounds_for_any_voice(lengths_s, min_s, factor, rate_hz):
    edges = np.cumsum(lengths_s).tolist()
    voiced = list(zip(edges[0::2], edges[1::2], strict=False))
    num_samples = round((edges[-1] if edges else 0) * rate_hz) + 300
    noise = np.random.default_rng(len(edges)).normal(0, 0.1, (2, num_samples)).astype(np.float32)
    span = span_of(noise, rate_hz, voiced)
    segment = Phrase(min_s=min_s, max_s=min_s * factor)
    segment.apply(span)
    assert all(segment.min_s - 1e-9 <= clip.duration_s <= segment.max_s + 1e-9 for clip in span.clips)
    assert all(a.end_sample <= b.start_sample for a, b in zip(span.clips, span.clips[1:], strict=False))
    cuts = {bound for clip in span.clips for bound in (clip.start_sample, clip.end_sample)}
    for start, end in ((round(a * rate_hz), round(b * rate_hz)) for a, b in voiced):
        assert end - start > segment.max_s * rate_hz - 1 or not any(start < cut < end for cut in cuts)


@pytest.mark.skipif(not REAL_AUDIO, reason="AUDIOCUR_REAL_AUDIO names no folder of recordings")
@pytest.mark.parametrize("bounds", [{}, {"min_s": 4.0, "max_s": 12.0}, {"min_s": 2.0, "max_s": 8.0}])
def test_no_phrase_of_a_reading_is_torn(bounds):
    names = ["198-209-0000.ogg", "3436-172162-0000.ogg", "5703-47212-0000.ogg"]
    readings = [soundfile.read(Path(REAL_AUDIO) / name, dtype="float32") for name in names]
    (rate_hz,) = {rate_hz for _, rate_hz in readings}
    span = span_of(np.concatenate([samples for samples, _ in readings])[None], rate_hz, [])
    Vad().apply(span)
    segment = Phrase(**bounds)
    segment.apply(span)
    assert len(span.annotations["voiced"]) > 10
    assert len(span.clips) >= span.duration_s / segment.max_s
    cuts = [bound / rate_hz for clip in span.clips for bound in (clip.start_sample, clip.end_sample)]
    assert [cut for cut in cuts for a, b in span.annotations["voiced"] if a + 1e-4 < cut < b - 1e-4] == []
    assert span.uncut_s == 0
