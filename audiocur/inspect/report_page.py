"""What the report says, apart from how it looks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from audiocur.inspect.distribution import kept_of
from audiocur.inspect.examples import CHOSEN_BY, EXCERPT_S
from audiocur.inspect.failures import Failure, failures_of
from audiocur.inspect.funnel import Funnel, funnel
from audiocur.inspect.overview import fate_of, funnel_text, overlap_note
from audiocur.inspect.report_rules import Chart, RuleSection, rule_sections
from audiocur.status import Status
from audiocur.words import count, duration, hours

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

#: What is shown of the kept clips, and under which heading.
_OVERVIEWS = {
    "duration_s": "Length",
    "tempo_bpm": "Tempo",
    "key": "Key",
    "loudness_lufs": "Loudness",
    "bandwidth_hz": "Bandwidth",
    "stereo_image": "Stereo image",
    "stereo_correlation": "Stereo correlation",
    "voiced_ratio": "Voice",
    "language": "Language",
    "tags": "Tags",
    "genre": "Genre",
    "artist": "Artists",
}
#: Ops of a stage that are named.
_MOST_OPS = 8


@dataclass(frozen=True)
class Stretch:
    """A stretch of a bar: its start and width in percent, what it stands for, and whose colour it has."""

    name: str
    kind: str
    seconds: float
    start: float
    width: float


@dataclass(frozen=True)
class HoursRow(Stretch):
    """A line of the funnel.

    Attributes:
        number: of recordings or clips, with the noun.
        share: of all audio, in percent.
        anchor: where there is more of it, "" where there is not.
    """

    number: str
    share: float
    anchor: str


@dataclass(frozen=True)
class OpRow:
    """An op: its share of all work in percent, seconds of audio for each of its own, and calls."""

    name: str
    share: float
    speed: float | None
    calls: int


@dataclass(frozen=True)
class StageTable:
    """A stage: where it ran, its share of all work in percent, seconds of audio for each of its own; slowest ops."""

    where: str
    share: float
    speed: float | None
    ops: Sequence[OpRow]


@dataclass(frozen=True)
class Page:
    """All that the report says, in the order in which it does.

    Attributes:
        name: of the run.
        recipe: what recipe.yaml says; `versions` environment.json.
        funnel: what became of every second; `segments` of one bar, and `hours` line by line.
        facts: numbers to begin with.
        rules, overviews: see there; an overview has a heading.
        failures: by kind.
        status: how the run went, null if it did not say; `stages` of that.
        keep: every rule in words.
        notices: what keeps the run from being whole.
    """

    name: str
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]
    funnel: Funnel
    segments: Sequence[Stretch]
    facts: Sequence[tuple[str, str]]
    hours: Sequence[HoursRow]
    rules: Sequence[RuleSection]
    overviews: Sequence[tuple[str, Chart]]
    failures: Sequence[Failure]
    status: Status | None
    stages: Sequence[StageTable]
    keep: Sequence[tuple[str, str]]
    notices: Sequence[str]
    excerpt_s: str = f"{EXCERPT_S:g}"

    @property
    def funnel_text(self) -> str:
        """The funnel in words."""
        return funnel_text(self.funnel)

    @property
    def overlap(self) -> str:
        """What to know of the lines of the funnel."""
        return overlap_note(self.funnel)

    @property
    def work_text(self) -> str:
        """What the run took in all."""
        if self.status is None:
            return ""
        effort = self.status.effort
        took = f"{hours(effort.audio_s)} of audio in {duration(effort.elapsed_s)}: {effort.speed:,.0f}× real time"
        return f"{took}, {count(self.status.workers, 'span')} at once, in {count(effort.sessions, 'session')}."


def page_of(run: Run) -> Page:
    """What the report of a run says.

    Raises:
        OutputError: nothing has been finished in it.
    """
    rules, found = run.rules, funnel(run.parts)
    there = set(run.ledger_dataset.schema.names)
    overviews = [column for column in _OVERVIEWS if column in there]
    judged = [rule.column for rule in rules.values()]
    run.clip_columns(list(dict.fromkeys([*CHOSEN_BY, "duration_s", *judged, *overviews])))  # each part is opened once
    sections = rule_sections(run)
    status = Status.read(run.store)
    charts = ((_OVERVIEWS[column], _overview(run, column)) for column in overviews)
    return Page(
        name=run.store.name,
        recipe=run.recipe,
        versions=json.loads(run.store.read("environment.json")),
        funnel=found,
        segments=_segments(found),
        facts=_facts(found, status),
        hours=_hours(found, {section.name: section.anchor for section in sections}),
        rules=sections,
        overviews=[(heading, chart) for heading, chart in charts if chart],
        failures=failures_of(run, found),
        status=status,
        stages=_stages(status) if status else [],
        keep=[(name, rule.bounds) for name, rule in rules.items()],
        notices=run.notices,
    )


def _segments(found: Funnel) -> list[Stretch]:
    """Hours by fate, as one bar."""
    seconds = {"kept": found.kept.seconds}
    seconds["rejected"] = sum(line.seconds for line in found.rejected)
    seconds["failed"] = sum(line.seconds for line in (*found.failed, *found.unreadable))
    seconds["uncut"] = found.uncut_s
    names = {"uncut": "in no clip"}
    total, start, segments = sum(seconds.values()) or 1.0, 0.0, []
    for kind, its in seconds.items():
        if its:
            width = its / total * 100
            segments.append(Stretch(names.get(kind, kind), kind, its, round(start, 3), round(width, 3)))
            start += width
    return segments


def _facts(found: Funnel, status: Status | None) -> list[tuple[str, str]]:
    rejected, failed = (sum(line.count for line in lines) for lines in (found.rejected, found.failed))
    facts = [
        ("recordings", f"{found.sources:,}"),
        ("clips cut", f"{found.kept.count + rejected + failed:,}"),
        ("clips kept", f"{found.kept.count:,}"),
        ("clips rejected", f"{rejected:,}"),
        ("recordings unreadable", f"{sum(line.count for line in found.unreadable):,}"),
    ]
    if failed:
        facts.append(("clips failed", f"{failed:,}"))
    if status and status.effort.speed:
        facts.append(("speed", f"{status.effort.speed:,.0f}× real time"))
    return facts


def _hours(found: Funnel, anchors: Mapping[str, str]) -> list[HoursRow]:
    """The funnel line by line: each loss begins where the one before it ended."""
    total, left, rows = found.seconds_in or 1.0, found.seconds_in, []
    for line in found.lines:
        fate = fate_of(line, found)
        start = max(0.0, left - line.seconds) if fate not in ("in", "kept") else 0.0
        left = left if fate == "in" else start
        anchor = "failures" if fate == "failed" else anchors.get(line.what.removeprefix("rejected by "), "")
        share = line.seconds / total * 100
        width = min(share, 100 - start / total * 100)
        place = round(start / total * 100, 3), round(width, 3)
        rows.append(HoursRow(line.what, fate, line.seconds, *place, line.number, share, anchor))
    return rows


def _overview(run: Run, column: str) -> Chart | None:
    """How the kept clips are spread over a column, null where none of them has it."""
    table = run.clip_columns([column, "verdict"])
    values = table[column].filter(pc.equal(table["verdict"], "kept"))
    known = pc.list_flatten(values) if pa.types.is_list(values.type) else values
    return Chart.of(kept_of(run, column)) if pc.count(known, mode="only_valid").as_py() else None


def _stages(status: Status) -> list[StageTable]:
    effort = status.effort
    return [
        StageTable(
            work.stage.where,
            work.share * 100,
            work.speed,
            [
                OpRow(
                    op,
                    round(share * 100, 3),
                    effort.audio_s / effort.ops[op].busy_s if effort.ops[op].busy_s else None,
                    effort.ops[op].calls,
                )
                for op, share in work.most[:_MOST_OPS]
            ],
        )
        for work in status.work(effort)
    ]
