"""Words on the best path through an emission: against hand-made emissions, and against every path there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiocur.dsp.ctc_alignment import Letters, Placed, frames_needed, line, place

torch = pytest.importorskip("torch", reason="the extra `models` is not installed")
pytest.importorskip("torchaudio", reason="the extra `models` is not installed")

ABC = Letters({"a": 1, "b": 2, "c": 3}, blank=0)
WITH_DELIMITER = Letters({"a": 1, "b": 2, "c": 3}, blank=0, delimiter=4)


def emission_of(path, probability=0.9, ids=5):
    """Log-probabilities of a model that is as sure as this of each id of a path."""
    probabilities = np.full((len(path), ids), (1 - probability) / (ids - 1), np.float32)
    probabilities[np.arange(len(path)), path] = probability
    return torch.from_numpy(np.log(probabilities))


def collapsed(path):
    """What CTC reads from a path: runs become one id, blanks go."""
    return [i for i, _ in itertools.groupby(path) if i != 0]


def test_words_lie_where_a_hand_made_path_has_them():
    #       frame: 0  1  2  3  4  5  6  7  8  9 10 11
    path = [0, 0, 1, 1, 0, 2, 0, 0, 2, 3, 3, 0]
    ab, bc = place(emission_of(path), [[1, 2], [2, 3]], ABC)
    assert (ab.start, ab.end) == (2, 6)
    assert (bc.start, bc.end) == (8, 11)
    assert ab.score == pytest.approx(0.9, abs=1e-5)
    assert bc.score == pytest.approx(0.9, abs=1e-5)


def test_a_delimiter_belongs_to_no_word():
    path = [1, 4, 4, 2, 0, 4, 3]
    placed = place(emission_of(path), [[1], [2], [3]], WITH_DELIMITER)
    assert [(word.start, word.end) for word in placed] == [(0, 1), (3, 4), (6, 7)]


def test_a_word_without_letters_has_no_place_and_costs_the_others_none():
    placed = place(emission_of([1, 0, 2]), [[], [1], [], [2], []], ABC)
    assert [word and (word.start, word.end) for word in placed] == [None, (0, 1), None, (2, 3), None]


def test_the_score_is_the_mean_over_the_frames_of_letters():
    emission = emission_of([1, 1, 0, 2], 0.9)
    emission[3] = emission_of([2], 0.6)[0]
    (word,) = place(emission, [[1, 2]], ABC)
    assert word == Placed(0, 4, pytest.approx((0.9 + 0.9 + 0.6) / 3, abs=1e-5))


def test_a_wrong_text_scores_low():
    (wrong,) = place(emission_of([1, 1, 0, 2]), [[3, 3]], ABC)
    assert wrong.score < 0.1


@pytest.mark.parametrize("words", [[], [[]], [[], []]])
def test_no_letters_no_places(words):
    assert place(emission_of([1, 2]), words, ABC) is None


@pytest.mark.parametrize(("words", "frames"), [([[1]], 1), ([[1, 1]], 3), ([[1], [1]], 3), ([[1, 2], [3]], 3)])
def test_a_text_fits_into_just_so_many_frames(words, frames):
    assert frames_needed(line(words, None)[0]) == frames
    assert place(emission_of([0] * frames), words, ABC) is not None
    assert place(emission_of([0] * (frames - 1)), words, ABC) is None


def test_a_letter_twice_is_parted_by_a_blank():
    one, two = place(emission_of([1, 1, 1, 1]), [[1], [1]], ABC)
    assert one.end < two.start


@given(st.lists(st.lists(st.integers(1, 3), max_size=2), min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_path_is_better(words, frames, seed):
    ids, owners = line(words, None)
    assume(ids and frames_needed(ids) <= frames)
    emission = torch.log_softmax(torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (frames, 4))), -1).float()
    paths = [path for path in itertools.product(range(4), repeat=frames) if collapsed(path) == ids]
    best = max(paths, key=lambda path: sum(float(emission[t, i]) for t, i in enumerate(path)))
    spans, at = [], 0
    for i, run in itertools.groupby(best):
        end = at + len(list(run))
        spans += [(at, end)] if i else []
        at = end
    placed = place(emission, words, ABC)
    for i, word in enumerate(placed):
        own = [span for span, owner in zip(spans, owners, strict=True) if owner == i]
        assert (word and (word.start, word.end)) == ((own[0][0], own[-1][1]) if own else None)


def test_letters_are_what_of_a_vocabulary_can_be_sung():
    sign = "\N{DEVANAGARI VOWEL SIGN I}"
    vocabulary = {"<pad>": 0, "<s>": 1, "|": 2, "E": 3, "'": 4, "7": 5, "-": 6, "ß": 7, sign: 8}
    letters = Letters.of(vocabulary, blank=0)
    assert letters.ids == {"E": 3, "'": 4, "ß": 7, sign: 8}
    assert letters.delimiter == 2
    assert Letters.of({"-": 0, "a": 1, "b": 2}, blank=0).delimiter is None
    assert Letters.of({"a": 0, "b": 1}, blank=0).ids == {"b": 1}


@pytest.mark.parametrize(
    ("word", "spelt"),
    [
        ("abba", "abba"),
        ("ABBA,", "abba"),
        ("(Bébé)", "bebe"),
        ("don’t", "don't"),
        ("Straße", "strasse"),
        ("ﬁn", "fin"),
        ("e\N{COMBINING ACUTE ACCENT}", "e"),
        ("well-known", "wellknown"),
        ("99", ""),
        ("—", ""),
        ("東京", ""),
    ],
)
def test_words_are_spelt_in_the_letters_there_are(word, spelt):
    ids = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz'", 1)}
    assert Letters(ids, blank=0).spell(word) == [ids[letter] for letter in spelt]


def test_an_accent_stays_where_the_model_knows_it():
    assert Letters({"e": 1, "É": 2}, blank=0).spell("éeÉ") == [2, 1, 2]
    assert Letters({"e": 1, "é": 2}, blank=0).spell("e\N{COMBINING ACUTE ACCENT}") == [2]
