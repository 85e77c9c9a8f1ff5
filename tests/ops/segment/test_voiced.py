"""Clips of what is voiced."""

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.segment.voiced import Voiced
from audiocur.records import Source, Span


def span_of(duration_s, voiced, rate_hz=1000):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1, round(duration_s * rate_hz))).astype(np.float32)
    span = Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b"a.wav"),
        rate_hz=rate_hz,
        start_sample=5_000,
        num_samples=samples.shape[1],
        audio=Audio(samples, rate_hz),
    )
    span.annotations["voiced"] = voiced
    return span


def clips_s(segment, span):
    segment.apply(span)
    return [(clip.start_s - 5, clip.end_s - 5) for clip in span.clips]


def test_regions_are_joined_padded_and_dropped():
    span = span_of(20, [(2.0, 4.0), (4.5, 6.0), (8.0, 8.5), (12.0, 15.0)])
    assert clips_s(Voiced(), span) == [
        (pytest.approx(1.9), pytest.approx(6.1)),
        (pytest.approx(11.9), pytest.approx(15.1)),
    ]


def test_padding_stays_within_the_span():
    assert clips_s(Voiced(), span_of(5, [(0.0, 5.0)])) == [(0, 5)]


def test_a_region_too_long_is_split_between_its_phrases():
    span = span_of(20, [(1.0, 6.0), (6.3, 12.0), (12.3, 18.0)])
    clips = clips_s(Voiced(min_s=4, max_s=8), span)
    assert len(clips) == 3
    assert 6.0 <= clips[0][1] <= 6.3
    assert 12.0 <= clips[1][1] <= 12.3
    assert (clips[0][0], clips[2][1]) == (pytest.approx(0.9), pytest.approx(18.1))


def test_a_phrase_too_long_is_split_at_its_quietest():
    span = span_of(14, [(1.0, 13.0)])
    span.audio.samples[:, 6_000:6_060] = 0
    (_, first_end), (second_start, _) = clips_s(Voiced(max_s=10), span)
    assert first_end == second_start == pytest.approx(6.03, abs=0.03)


def test_no_voice_no_clips():
    assert clips_s(Voiced(), span_of(10, [])) == []
    assert clips_s(Voiced(), span_of(0, [])) == []


@pytest.mark.parametrize(
    ("key", "value"), [("min_s", 0.0), ("max_s", 1.9), ("max_gap_s", -0.1), ("pad_s", 0.3), ("pad_s", -0.1)]
)
def test_parameters_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key}={value}: expected"):
        Voiced(**{key: value})
