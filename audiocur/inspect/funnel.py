"""From hours in to hours kept: what became of every second, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audiocur.records import WITHDRAWN
from audiocur.store.ledger import Ledger
from audiocur.store.parts import SpanOutcome, Tally
from audiocur.words import count


@dataclass(frozen=True)
class Line:
    """One line of the funnel.

    Attributes:
        what: "kept", "rejected by loudness", "failed: not audio".
        count: clips, or recordings on lines that speak of recordings.
        unit: "clip", "recording", or nothing where only seconds are told.
        seconds: of audio.
    """

    what: str
    count: int
    unit: str
    seconds: float

    @property
    def number(self) -> str:
        """Count and unit, "1 clip"; nothing for a line of seconds alone."""
        return count(self.count, self.unit) if self.unit else ""


@dataclass(frozen=True)
class Funnel:
    """What became of every second of a run's input.

    Attributes:
        sources: recordings in the ledger.
        usable: recordings of which something could be used.
        seconds_in: decoded, of unusable ones as far as it went.
        uncut_s: usable, but in no clip.
        kept, rejected, failed: clips; `rejected` by first rule broken, `failed` by op and kind of error.
        unreadable: recordings that failed, by kind of error.
    """

    sources: int
    usable: int
    seconds_in: float
    uncut_s: float
    kept: Line
    rejected: tuple[Line, ...]
    failed: tuple[Line, ...]
    unreadable: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Top to bottom: in, out for each reason, kept."""
        recordings = Line("in", self.sources, "recording", self.seconds_in)
        uncut = (Line("in no clip", 0, "", self.uncut_s),) if self.uncut_s else ()
        return (recordings, *self.unreadable, *uncut, *self.failed, *self.rejected, self.kept)


def funnel(ledger: Ledger) -> Funnel:
    """The funnel of a run, from its ledger."""
    spans = list(ledger.spans())
    fates: dict[str, dict[str | None, Tally]] = {"kept": {}, "rejected": {}, "failed": {}}
    for part in ledger.parts:
        for tally in part.clips:
            fate = fates[tally.verdict]
            before = fate.get(tally.why, Tally(tally.verdict, tally.why, 0, 0.0))
            seconds = before.duration_s + tally.duration_s
            fate[tally.why] = Tally(tally.verdict, tally.why, before.count + tally.count, seconds)
    return Funnel(
        sources=len({span.source_id for span in spans}),
        usable=len({span.source_id for span in spans if not span.failed and span.duration_s > 0}),
        seconds_in=sum(span.duration_s for span in spans),
        uncut_s=sum(span.uncut_s for span in spans if not span.failed),
        kept=next(iter(_lines("kept", "clip", fates["kept"])), Line("kept", 0, "clip", 0.0)),
        rejected=_lines("rejected by {}", "clip", fates["rejected"]),
        failed=_lines("failed: {}", "clip", fates["failed"]),
        unreadable=_lines("unreadable: {}", "recording", _unreadable(spans)),
    )


def _unreadable(spans: Iterable[SpanOutcome]) -> dict[str | None, Tally]:
    """Recordings that failed, by kind of error; one may have failed in several spans."""
    sources: dict[str | None, set[str]] = {}
    seconds: defaultdict[str | None, float] = defaultdict(float)
    for span in spans:
        if span.failed:
            sources.setdefault(span.why, set()).add(span.source_id)
            seconds[span.why] += span.duration_s
    return {why: Tally("failed", why, len(ids), seconds[why]) for why, ids in sources.items()}


def _lines(what: str, unit: str, tallies: Mapping[str | None, Tally]) -> tuple[Line, ...]:
    lines = [
        Line(what.format(why) if why != WITHDRAWN else WITHDRAWN, tally.count, unit, tally.duration_s)
        for why, tally in tallies.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.count, line.what)))
