"""Which spans are still to do, and how they are packed into blocks of work."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from audiocur.errors import require
from audiocur.records import Source, Span
from audiocur.store.parts import SpanOutcome

#: Bytes a second of audio, by suffix, to guess how long a file nobody has opened is: what is usual for stereo music.
BYTES_PER_S = {
    ".wav": 176_400,
    ".aiff": 176_400,
    ".aif": 176_400,
    ".flac": 110_000,
    ".mp3": 24_000,
    ".m4a": 24_000,
    ".aac": 24_000,
    ".wma": 24_000,
    ".ogg": 16_000,
    ".opus": 14_000,
    ".webm": 14_000,
}
OTHER_BYTES_PER_S = 150_000  # video, mostly
UNKNOWN_S = 60.0

#: A block of 20 minutes of stereo makes a shard of about 128 MB; much shorter ones cost more than they balance.
LONGEST_BLOCK_S, SHORTEST_BLOCK_S = 1200.0, 30.0
BLOCKS_PER_WORKER = 16


@dataclass(frozen=True, kw_only=True)
class Split:
    """How recordings are divided; a group (artist, else album, else source) is never torn.

    Attributes:
        validation, test: fractions of the groups; the rest is `train`.
        seed: another seed, another division.
    """

    validation: float = 0.05
    test: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a fraction, 0 to 1")
        require(self.validation + self.test <= 1, "test", self.test, f"at most 1 - {self.validation:g} (validation)")

    def of(self, group: str) -> str:
        """The split of a group, decided by its hash alone.

        >>> Split(validation=0.5, test=0.5).of("Nina Simone")
        'test'
        """
        digest = hashlib.sha256(f"{self.seed}:{group}".encode()).digest()
        place = int.from_bytes(digest[:8]) / 2**64
        if place < self.test:
            return "test"
        return "validation" if place < self.test + self.validation else "train"


@dataclass
class Progressed:
    """What is known of one source: which spans are settled, how many there may be, and whether its end was seen.

    Spans settle in any order; what follows from them does not depend on it.
    """

    settled: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    expected: int = 1
    end_seen: bool = False

    def settle(self, outcome: SpanOutcome) -> None:
        """Take in one span's outcome."""
        self.settled.add(outcome.index)
        if outcome.failed:
            self.failed.add(outcome.index)
        self.expected = max(self.expected, outcome.expected_spans)
        self.end_seen = self.end_seen or outcome.last

    def missing(self) -> list[int]:
        """Spans to do next: those the header promises, and one more while the true end has not been seen.

        Behind a failed span that is the highest known there is nothing to be had.
        """
        highest = max(self.settled, default=-1)
        promised = range(self.expected if self.settled else 1)
        ended = self.end_seen or highest in self.failed or highest + 1 < self.expected
        return sorted({*promised, *([] if ended else [highest + 1])} - self.settled)

    @property
    def done_ratio(self) -> float:
        """How much of the source is done, as far as one can tell."""
        missing = len(self.missing())
        return len(self.settled) / (len(self.settled) + missing) if missing else 1.0


def estimate_s(source: Source) -> float:
    """A guess at the seconds of audio in a source, from its size and suffix alone."""
    if source.size is None:
        return UNKNOWN_S
    return source.size / BYTES_PER_S.get(PurePath(source.uri).suffix.lower(), OTHER_BYTES_PER_S)


def spans_of(source: Source, indices: Iterable[int], split: Split) -> Iterator[Span]:
    """Planned spans of a source."""
    name = split.of(source.group)
    for index in indices:
        yield Span(source=source, index=index, split=name)


def pack(spans: Sequence[Span], workers: int, span_s: float) -> list[list[Span]]:
    """Blocks of spans: of one split each, long ones first, short ones together.

    Few spans make small blocks, so that all workers have something to do until the end; many make blocks of about a
    shard's worth.
    """
    cost = {span.span_id: min(estimate_s(span.source), span_s) for span in spans}
    aim = sum(cost.values()) / (workers * BLOCKS_PER_WORKER)
    aim = min(max(aim, SHORTEST_BLOCK_S), LONGEST_BLOCK_S)
    by_split: Mapping[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (-cost[span.span_id], span.source.uri, span.index)):
        by_split[span.split].append(span)
    blocks = [block for group in by_split.values() for block in _fill(group, cost, aim)]
    return sorted(blocks, key=lambda block: -sum(cost[span.span_id] for span in block))


def _fill(spans: Sequence[Span], cost: Mapping[str, float], aim: float) -> Iterator[list[Span]]:
    block: list[Span] = []
    filled = 0.0
    for span in spans:
        if block and filled + cost[span.span_id] > aim:
            yield block
            block, filled = [], 0.0
        block.append(span)
        filled += cost[span.span_id]
    if block:
        yield block
