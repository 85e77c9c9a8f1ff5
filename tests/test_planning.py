from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocur.errors import ConfigError
from audiocur.planning import LONGEST_BLOCK_S, Progressed, Split, estimate_s, pack
from audiocur.records import Source, Span
from audiocur.store.parts import SpanOutcome


def outcome(index, *, last=False, expected=1, failed=False):
    return SpanOutcome("s", index, last, expected, failed, None, 0, 600.0, 0.0, 1, 1, None)


def test_the_first_span_is_planned_without_knowing_anything():
    assert Progressed().missing() == [0]


def test_the_header_plans_the_rest():
    known = Progressed()
    known.settle(outcome(0, expected=4))
    assert known.missing() == [1, 2, 3]


def test_the_chain_goes_on_past_a_header_that_promises_too_little():
    known = Progressed()
    known.settle(outcome(0, expected=1))
    assert known.missing() == [1]
    known.settle(outcome(1, expected=1, last=True))
    assert known.missing() == []


def test_spans_the_header_promises_are_done_even_past_the_end():
    known = Progressed()
    known.settle(outcome(0, expected=3, last=True))
    assert known.missing() == [1, 2]


def test_a_failed_span_ends_the_chain_but_not_what_the_header_promises():
    known = Progressed()
    known.settle(outcome(0, failed=True))
    assert known.missing() == []
    known = Progressed()
    known.settle(outcome(0, expected=3))
    known.settle(outcome(1, expected=3, failed=True))
    assert known.missing() == [2]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_follows_does_not_depend_on_the_order_of_settling(order):
    outcomes = [outcome(0, expected=3), outcome(1, failed=True), outcome(2, expected=3)]
    known = Progressed()
    for index in order:
        known.settle(outcomes[index])
    assert known.missing() == [3]


def test_how_much_of_a_source_is_done():
    known = Progressed()
    assert known.done_ratio == 0
    known.settle(outcome(0, expected=4))
    assert known.done_ratio == 0.25
    for index in (1, 2):
        known.settle(outcome(index, expected=4))
    known.settle(outcome(3, expected=4, last=True))
    assert known.done_ratio == 1


def test_a_split_never_tears_a_group_and_keeps_its_fractions():
    split = Split(validation=0.1, test=0.2)
    counts = Counter(split.of(f"artist {i}") for i in range(10_000))
    assert counts["test"] == pytest.approx(2000, abs=150)
    assert counts["validation"] == pytest.approx(1000, abs=120)
    assert split.of("artist 1") == split.of("artist 1")
    assert Split(validation=0, test=0).of("anyone") == "train"
    assert Split(validation=0, test=1).of("anyone") == "test"


@pytest.mark.parametrize("wrong", [{"test": -0.1}, {"validation": 1.5}, {"validation": 0.6, "test": 0.5}])
def test_fractions_are_checked(wrong):
    with pytest.raises(ConfigError, match=r"(test|validation)="):
        Split(**wrong)


def planned(sizes):
    return [
        Span(source=Source(source_id=f"{i:016x}", uri=f"{i}.wav", path=b"", size=size), split=["train", "test"][i % 2])
        for i, size in enumerate(sizes)
    ]


@given(st.lists(st.integers(0, 10**9), max_size=60), st.integers(1, 8))
def test_every_span_is_in_one_block_of_one_split(sizes, workers):
    spans = planned(sizes)
    blocks = pack(spans, workers, 600.0)
    assert sorted(span.span_id for block in blocks for span in block) == sorted(span.span_id for span in spans)
    assert all(len({span.split for span in block}) == 1 for block in blocks)


def test_loops_share_blocks_and_long_recordings_come_first():
    loops = planned([882_000] * 20_000)  # 5 s each
    blocks = pack(loops, 2, 600.0)
    assert len(blocks) < 120
    assert max(sum(estimate_s(span.source) for span in block) for block in blocks) <= LONGEST_BLOCK_S

    mixed = planned([882_000] * 100 + [10**8])
    assert pack(mixed, 2, 600.0)[0][0].source.size == 10**8
