"""Windows cover a clip and are cut in pauses; lines of a window are those its times part."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocur.lyrics.windows import lines_of, stretches, windows

RATE_HZ = 16_000


@given(
    st.integers(0, 200 * RATE_HZ),
    st.lists(st.floats(0, 200), max_size=8).map(sorted),
    st.floats(0, 25),
    st.booleans(),
)
def test_windows_cover_a_clip_and_are_never_too_long(num_samples, edges, search_s, looked):
    voiced = [{"start_s": a, "end_s": b} for a, b in zip(edges[::2], edges[1::2], strict=False)] if looked else None
    found = windows(np.zeros(num_samples, np.float32), voiced, window_s=30.0, search_s=search_s)
    assert [start for start, _ in found] == [0, *[end for _, end in found[:-1]]][: len(found)]
    assert (found[-1][1] if found else 0) == num_samples
    assert all(0 < end - start <= 30 * RATE_HZ for start, end in found)


def test_a_short_clip_is_one_window():
    assert windows(np.zeros(30 * RATE_HZ, np.float32), [], window_s=30, search_s=10) == [(0, 30 * RATE_HZ)]


def test_the_cut_is_in_the_longest_pause():
    voiced = [{"start_s": a, "end_s": b} for a, b in [(0, 21), (21.2, 24), (26, 28), (28.5, 50)]]
    (_, cut), _ = windows(np.ones(50 * RATE_HZ, np.float32), voiced, window_s=30, search_s=10)
    assert cut == 25 * RATE_HZ


def test_where_all_is_voiced_the_cut_is_at_the_quietest():
    samples = np.random.default_rng(0).normal(0, 0.1, 50 * RATE_HZ).astype(np.float32)
    samples[23 * RATE_HZ : 23 * RATE_HZ + 2400] *= 0.01
    (_, cut), _ = windows(samples, [{"start_s": 0, "end_s": 50}], window_s=30, search_s=10)
    assert 23.0 <= cut / RATE_HZ <= 23.15


def lines(tokens, window_s=10.0):
    return lines_of(tokens, timestamp_begin=100, precision_s=0.02, window_s=window_s)


def test_lines_are_parted_by_times():
    assert lines([100, 1, 2, 150, 150, 3, 200]) == [(0.0, 1.0, [1, 2]), (1.0, 2.0, [3])]


def test_an_open_line_goes_on_to_the_end_of_its_window():
    assert lines([100, 1, 150, 160, 2]) == [(0.0, 1.0, [1]), (1.2, 10.0, [2])]
    assert lines([125, 1]) == [(0.5, 10.0, [1])]


def test_no_line_lies_past_its_window():
    assert lines([100, 1, 900], window_s=5.0) == [(0.0, 5.0, [1])]
    assert lines([700, 1, 900], window_s=5.0) == [(5.0, 5.0, [1])]


@pytest.mark.parametrize("tokens", [[], [100], [100, 150], [100, 100, 150]])
def test_times_alone_are_no_line(tokens):
    assert lines(tokens) == []


def test_stretches_are_joined_padded_and_within_the_clip():
    voiced = [{"start_s": a, "end_s": b} for a, b in [(0.05, 1.0), (1.4, 2.0), (4.0, 5.0)]]
    found = stretches(voiced, 5 * RATE_HZ, max_gap_s=0.5, pad_s=0.1)
    assert found == [(0, round(2.1 * RATE_HZ)), (round(3.9 * RATE_HZ), 5 * RATE_HZ)]
    close = stretches(voiced, 5 * RATE_HZ, max_gap_s=0.0, pad_s=0.3)
    assert all(a[1] <= b[0] for a, b in pairwise(close))
