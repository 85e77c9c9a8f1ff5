"""Text as recognisers write it: its words, how far two texts lie apart, and how much a text repeats itself."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Written without spaces between words: each character counts as one, as the field does for Chinese and Japanese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w'])+")


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared: folded in case, without punctuation.

    Args:
        text: of any language; words are not counted rightly where a script neither parts them with spaces nor is
            among those of which each character counts (Chinese, Japanese, Thai, Lao, Burmese).

    >>> words_of("Don't stop — DON’T stop!")
    ["don't", 'stop', "don't", 'stop']
    >>> words_of("歌って、ラララ la")
    ['歌', 'っ', 'て', 'ラ', 'ラ', 'ラ', 'la']
    """
    folded = unicodedata.normalize("NFKC", text).replace("’", "'").casefold()
    return [word.strip("'") for word in _WORD.findall(folded) if word.strip("'")]


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Levenshtein's distance: insertions, deletions and substitutions that make one sequence of the other.

    Memory grows with the longer, time with the product of both lengths (a row of the table at a time).

    >>> edit_distance("kitten", "sitting"), edit_distance([], ["a", "b"])
    (3, 2)
    """
    known: dict[Any, int] = {}
    columns = np.array([known.setdefault(item, len(known)) for item in other], np.int64)
    at = np.arange(len(columns) + 1)
    row = at.copy()
    for item in one:
        cheapest = row + 1  # deleted
        if len(columns):
            substituted = row[:-1] + (columns != known.get(item, -1))
            np.minimum(cheapest[1:], substituted, out=cheapest[1:])
        # Inserted: the least of all cells to the left, and one more for each step from there.
        row = np.minimum.accumulate(cheapest - at) + at
    return int(row[-1])


def relative_distance(one: str, other: str) -> float:
    """Edit distance of two texts over the length of the longer: 0 the same, 1 nothing in common.

    In curation: two recognisers that agree have probably heard what was sung. Characters are compared, case,
    punctuation and spaces between words made equal first: a word half right counts half, in any script. It is wrong
    where both invent the same ("Thank you.").

    Source: the rule of SongGen (Liu et al., 2025), which drops a clip over 0.2, and over 0.05 for its best set.

    >>> relative_distance("Hello, world", "hello world!"), relative_distance("la la", ""), relative_distance("", "")
    (0.0, 1.0, 0.0)
    """
    first, second = " ".join(words_of(one)), " ".join(words_of(other))
    longer = max(len(first), len(second))
    return edit_distance(first, second) / longer if longer else 0.0


def word_error_rate(reference: str, heard: str) -> float:
    """Word edits that make the reference of what was heard, over the reference's words; over 1 with many insertions.

    Raises:
        ValueError: the reference holds no word.

    >>> word_error_rate("ask not what your country", "ask not your county")
    0.4
    """
    expected = words_of(reference)
    if not expected:
        raise ValueError("a word error rate needs a reference with words")
    return edit_distance(expected, words_of(heard)) / len(expected)


def compression_ratio(text: str) -> float | None:
    """Bytes of a text over its bytes under zlib; None without text.

    In curation: a recogniser caught in a loop writes what compresses well; above 2.4 Whisper's own transcription
    starts over (Radford et al., 2022, section 4.5). Refrains reach 2 honestly.

    >>> round(compression_ratio("a line of a song that says something"), 1), compression_ratio("")
    (0.9, None)
    >>> compression_ratio("thank you. " * 20) > 2.4
    True
    """
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else None


def loops(words: Sequence[str], *, max_repeats: int, longest: int = 8) -> list[tuple[int, int]]:
    """Where the same few words follow each other over and over.

    Args:
        words: as `words_of` gives them.
        max_repeats: how often a phrase may stand in a row; more is a loop.
        longest: words in the longest phrase looked for.

    Returns:
        Stretches [start, end) of words, in order and disjoint.

    >>> loops("and then thank you thank you thank you thank you so".split(), max_repeats=3)
    [(2, 10)]
    >>> loops("na na na hey jude".split(), max_repeats=3)
    []
    """
    looped = [False] * len(words)
    for size in range(1, longest + 1):
        run = 0  # how many words in a row equal the one `size` before
        for at in range(size, len(words) + 1):
            if at < len(words) and words[at] == words[at - size]:
                run += 1
                continue
            if run >= size * max_repeats:
                looped[at - size - run : at] = [True] * (run + size)
            run = 0
    edges = np.flatnonzero(np.diff([False, *looped, False]))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
