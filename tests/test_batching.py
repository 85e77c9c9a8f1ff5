from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocur.batching import MAX_PADDING_RATIO, batches

LENGTHS = st.lists(st.floats(0.5, 60.0), max_size=60)


def padded(longest_s, clips):
    return longest_s * clips


@given(LENGTHS, st.integers(1, 20), st.floats(10, 600))
def test_every_clip_is_in_one_batch_that_holds_to_its_bounds(lengths_s, max_clips, max_s):
    found = batches(lengths_s, padded, max_clips=max_clips, max_s=max_s)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths_s)))
    for batch in found:
        computed_s = padded(max(lengths_s[i] for i in batch), len(batch))
        assert len(batch) <= max_clips
        assert len(batch) == 1 or computed_s <= max_s
        assert 1 - sum(lengths_s[i] for i in batch) / computed_s <= MAX_PADDING_RATIO + 1e-9


def test_the_longest_come_first_and_equals_in_their_order():
    assert batches([3.0, 9.0, 9.0, 3.0], padded, max_clips=2, max_s=99) == [[1, 2], [0, 3]]


def test_a_model_of_fixed_windows_takes_clips_of_any_length_together():
    lengths_s = [1.0, 29.0, 5.0, 14.0]
    fixed = batches(
        lengths_s, lambda longest_s, clips: math.ceil(longest_s / 30) * 30 * clips, max_clips=8, max_s=999, fixed=True
    )
    assert fixed == [[1, 3, 2, 0]]
    assert len(batches(lengths_s, padded, max_clips=8, max_s=999)) == 4


@pytest.mark.parametrize("max_s", [1.0, 59.0])
def test_a_clip_that_is_longer_than_a_batch_goes_alone(max_s):
    assert batches([60.0, 60.0], padded, max_clips=8, max_s=max_s) == [[0], [1]]
