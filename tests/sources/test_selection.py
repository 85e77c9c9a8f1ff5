from __future__ import annotations

import fnmatch
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocur.sources.selection import in_shard, is_pattern, matches, parse_shard, sample

IDS = [hashlib.sha256(str(number).encode()).hexdigest()[:16] for number in range(500)]


@pytest.mark.parametrize(
    ("pattern", "uri", "expected"),
    [
        ("*.mp3", "a.mp3", True),
        ("*.mp3", "deep/er/a.mp3", True),
        ("*.mp3", "a.MP3", True),
        ("*.mp3", "a.mp3x", False),
        ("*.mp3", "new\nline.mp3", True),
        ("/*.mp3", "deep/a.mp3", False),
        ("Live", "Live/a.wav", True),
        ("Live", "Artist/Live/a.wav", True),
        ("Live", "Artist/Alive/a.wav", False),
        ("live", "Live/a.wav", False),
        ("Live/", "Live/a.wav", True),
        ("Artist/Live", "Artist/Live/a.wav", True),
        ("Artist/Live", "Other/Artist/Live/a.wav", False),
        ("Artist/*.wav", "Artist/Live/a.wav", False),
        ("Artist/**/*.wav", "Artist/Live/1/a.wav", True),
        ("Artist/**/*.wav", "Artist/a.wav", True),
        ("**/Live/**", "Artist/Live/a.wav", True),
        ("**/Live/**", "Live/a.wav", True),
        ("./Live/*", "Live/a.wav", True),
        ("take ?.wav", "take 1.wav", True),
        ("take ?.wav", "take 10.wav", False),
        ("take [12].wav", "take 2.wav", True),
        ("take [!12].wav", "take 2.wav", False),
        ("take [!12].wav", "take 3.wav", True),
        ("take [--1].wav", "take -.wav", True),
        ("[[]live].wav", "[live].wav", True),
        ("a.(b)+.wav", "a.(b)+.wav", True),
        ("Песни/*", "Песни/я.ogg", True),
    ],
)
def test_patterns(pattern: str, uri: str, expected: bool) -> None:
    assert matches(uri, [pattern]) is expected


# fnmatch takes an empty range, [b-a], for a set of nothing; here it is refused. Doubled hyphens stand for one.
PATTERNS = st.text("ab*?[]!-", min_size=1, max_size=6).filter(lambda text: "--" not in text and is_pattern(text))


@given(PATTERNS, st.text("ab[]!-", min_size=1, max_size=6))
def test_patterns_within_a_folder_agree_with_fnmatch(pattern: str, name: str) -> None:
    assert matches(name, [pattern]) is fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize("pattern", ["", "/", "./", "[b-a]"])
def test_what_is_no_pattern(pattern: str) -> None:
    assert not is_pattern(pattern)


def test_no_patterns_match_nothing() -> None:
    assert not matches("a.wav", [])


def test_samples_are_nested_and_know_no_order() -> None:
    small, large = sample(IDS, 10, seed=0), sample(IDS, 50, seed=0)
    assert len(small) == 10
    assert small < large
    assert sample(IDS[::-1], 10, seed=0) == small
    assert sample(IDS, 10, seed=1) != small
    assert sample(IDS, 10_000, seed=0) == set(IDS)


def test_a_sample_keeps_its_members_while_the_library_grows() -> None:
    before, after = sample(IDS[:400], 40, seed=3), sample(IDS, 40, seed=3)
    assert after <= before | set(IDS[400:])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_shards_are_disjoint_and_complete(count: int) -> None:
    shards = [{key for key in IDS if in_shard(key, index, count)} for index in range(count)]
    assert sum(map(len, shards)) == len(IDS)
    assert set().union(*shards) == set(IDS)
    # 500 sources over 7 shards: 71 each, give or take four standard deviations.
    assert min(map(len, shards)) > len(IDS) / count - 4 * (len(IDS) / count) ** 0.5


@pytest.mark.parametrize("text", ["4/4", "-1/4", "0/0", "1", "a/b", "1/2/3", "½/2", "1 / 2"])
def test_what_is_no_shard(text: str) -> None:
    assert parse_shard(text) is None
