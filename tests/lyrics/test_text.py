"""Text as it is compared: words, distances, repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocur.lyrics.text import compression_ratio, edit_distance, loops, relative_distance, word_error_rate, words_of

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def slow_distance(one, other):
    """Levenshtein's distance as it is defined."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (a != b)))
    return row[-1]


@given(WORDS, WORDS)
def test_edit_distance_is_levenshteins(one, other):
    assert edit_distance(one, other) == slow_distance(one, other)


@given(st.text(max_size=30), st.text(max_size=30))
def test_relative_distance_is_a_ratio_and_symmetric(one, other):
    distance = relative_distance(one, other)
    assert 0 <= distance <= 1
    assert distance == relative_distance(other, one)
    assert relative_distance(one, one) == 0


def test_word_error_rate_agrees_with_jiwer():
    jiwer = pytest.importorskip("jiwer")
    pairs = [
        ("ask not what your country can do for you", "ask what your country can do for for you"),
        ("a b c d", "b c d e f g h"),
        ("hello", "goodbye world"),
    ]
    for reference, heard in pairs:
        assert word_error_rate(reference, heard) == pytest.approx(jiwer.wer(reference, heard))


def test_no_word_error_rate_without_words():
    with pytest.raises(ValueError, match="reference"):
        word_error_rate("…", "hello")


def test_words_do_not_hang_on_case_punctuation_or_width():
    assert words_of("HELLO, World…  it’s “me”") == words_of("hello world it's me") == ["hello", "world", "it's", "me"]
    assert words_of("ＡＢＣ") == ["abc"]
    assert words_of("♪ ♪") == []


@pytest.mark.parametrize("repeats", [1, 2, 3, 5])
def test_a_loop_begins_past_the_limit(repeats):
    phrase = ["thank", "you", "so", "much"]
    at_limit = ["well", *phrase * repeats, "bye"]
    past_limit = ["well", *phrase * (repeats + 1), "bye"]
    assert loops(at_limit, max_repeats=repeats) == []
    assert loops(past_limit, max_repeats=repeats) == [(1, 1 + 4 * (repeats + 1))]


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60))
def test_words_that_differ_are_no_loop(words):
    assert loops([str(word) for word in words], max_repeats=1) == []


def test_a_text_in_a_loop_compresses_and_a_sentence_does_not():
    assert compression_ratio("And so, my fellow Americans, ask not what your country can do for you.") < 1.5
    assert compression_ratio("I'm going to be a good friend. " * 15) > 2.4
