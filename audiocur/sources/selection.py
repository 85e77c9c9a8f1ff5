"""Which of the recordings found a run takes: patterns over their names, a seeded sample, one shard of several."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Sequence
from functools import cache

_TOKEN = re.compile(
    r"(?P<folders>\*\*/)|(?P<all>\*\*)|(?P<many>\*)|(?P<one>\?)|\[(?P<set>!?+\]?+[^]]*)\]|(?P<literal>.)", re.DOTALL
)


def matches(uri: str, patterns: Iterable[str]) -> bool:
    """Whether any of these glob patterns covers a URI.

    ``*`` and ``?`` stay within a folder, ``**`` does not, ``[ab]`` is one character of a set. A pattern without a slash
    is looked for in every folder; one with a slash counts from the top. What covers a folder covers all that lies in
    it. Case matters, except in a suffix.

    >>> matches("Albums/Live/take 1.FLAC", ["*.flac"]), matches("Albums/Live/take 1.FLAC", ["live", "Albums/*.flac"])
    (True, False)
    """
    return any(_compiled(pattern).fullmatch(uri) for pattern in patterns)


def is_pattern(pattern: str) -> bool:
    """Whether a glob pattern can be understood.

    >>> is_pattern("Live/**"), is_pattern("take [9-1]"), is_pattern("")
    (True, False, False)
    """
    try:
        _compiled(pattern)
    except re.error:
        return False
    return bool(pattern.strip("./"))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    anchored = pattern.removeprefix("./").rstrip("/")
    top = "" if "/" in anchored else "(?:.*/)?"
    anchored = anchored.lstrip("/")
    # A suffix of letters and wildcards alone is found in any case: *.mp3 means SONG.MP3 too.
    suffixed = re.fullmatch(r"(.*)\.([\w*?]+)", anchored, re.DOTALL)
    body = f"{_regex(suffixed[1])}(?i:\\.{_regex(suffixed[2])})" if suffixed else _regex(anchored)
    return re.compile(f"{top}{body}(?:/.*)?", re.DOTALL)


def _regex(glob: str) -> str:
    return "".join(map(_translated, _TOKEN.finditer(glob)))


def _translated(token: re.Match[str]) -> str:
    if token["set"] is not None:
        negated = token["set"].startswith("!")
        # A single hyphen makes a range, as it does in a regular expression; two would be a set operation there.
        inside = re.escape(token["set"][negated:]).replace("\\-", "-").replace("--", "\\-")
        return f"[^/{inside}]" if negated else f"[{inside}]"
    wildcards = {"folders": "(?:.*/)?", "all": ".*", "many": "[^/]*", "one": "[^/]"}
    return wildcards.get(token.lastgroup or "") or re.escape(token["literal"])


def sample(ids: Sequence[str], limit: int, seed: int) -> set[str]:
    """A sample of ids that depends on nothing but them and the seed; a smaller one is part of a larger one.

    >>> sorted(sample(["a", "b", "c", "d"], 2, seed=0))
    ['a', 'd']
    """
    return set(heapq.nsmallest(limit, ids, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest()))


def parse_shard(shard: str) -> tuple[int, int] | None:
    """The numbers of "i/N", null where they name no shard.

    >>> parse_shard("0/4"), parse_shard("4/4")
    ((0, 4), None)
    """
    found = re.fullmatch(r"(\d+)/(\d+)", shard, re.ASCII)
    if found is None:
        return None
    index, count = int(found[1]), int(found[2])
    return (index, count) if index < count else None


def in_shard(source_id: str, index: int, count: int) -> bool:
    """Whether a source belongs to the shard, counted from 0, of so many disjoint ones.

    >>> [in_shard("fa7c77f92c404ed6", index, 3) for index in range(3)]
    [False, False, True]
    """
    return int(source_id, 16) % count == index
