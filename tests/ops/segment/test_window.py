"""Clips by the clock."""

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.errors import ConfigError
from audiocur.ops.segment.window import Window
from audiocur.records import Source, Span


def clips_s(segment, duration_s, rate_hz=1000, start_sample=0):
    samples = np.zeros((2, round(duration_s * rate_hz)), np.float32)
    span = Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b"a.wav"),
        rate_hz=rate_hz,
        start_sample=start_sample,
        num_samples=samples.shape[1],
        audio=Audio(samples, rate_hz),
    )
    segment.apply(span)
    return [(clip.start_s, clip.end_s) for clip in span.clips]


def test_windows_tile_the_span_and_keep_a_long_enough_rest():
    assert clips_s(Window(), 68) == [(0, 30), (30, 60), (60, 68)]


def test_a_rest_too_short_is_left_out():
    assert clips_s(Window(), 64.999) == [(0, 30), (30, 60)]
    assert clips_s(Window(), 65) == [(0, 30), (30, 60), (60, 65)]


def test_overlapping_windows_end_with_the_first_that_reaches_the_end():
    assert clips_s(Window(length_s=10, hop_s=4), 20) == [(0, 10), (4, 14), (8, 18), (12, 20)]


def test_windows_may_leave_gaps():
    assert clips_s(Window(length_s=10, hop_s=15), 45) == [(0, 10), (15, 25), (30, 40)]


def test_hops_that_are_no_whole_samples_do_not_drift():
    starts = [start for start, _ in clips_s(Window(length_s=1, hop_s=1 / 3, min_s=0.1), 100)]
    np.testing.assert_allclose(starts, np.arange(len(starts)) / 3, atol=0.0005)


def test_a_later_span_counts_from_its_own_start():
    assert clips_s(Window(), 40, start_sample=600_000) == [(600, 630), (630, 640)]


@pytest.mark.parametrize("duration_s", [0, 4.999])
def test_a_span_too_short_has_no_clips(duration_s):
    assert clips_s(Window(), duration_s) == []


@pytest.mark.parametrize(("key", "value"), [("length_s", 0.0), ("hop_s", 0.0), ("hop_s", -1.0), ("min_s", 0.0)])
def test_parameters_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key}={value}: expected"):
        Window(**{key: value})


def test_a_window_shorter_than_min_s_needs_no_other_min_s():
    assert clips_s(Window(length_s=3), 100) == [(3.0 * i, min(3.0 * i + 3, 100)) for i in range(33)]
