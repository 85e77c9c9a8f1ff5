"""What the report says of each rule: what lies beyond its bounds, and how clips beside them sound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup

from audiocur.inspect.distribution import distribution_of, unit_of
from audiocur.inspect.examples import breaking, examples_of
from audiocur.inspect.figured import Figured
from audiocur.inspect.frame import shown
from audiocur.inspect.groups import is_number
from audiocur.inspect.heard import Heard
from audiocur.inspect.style import svg_of
from audiocur.rules import KeepRule
from audiocur.words import count, hours

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

#: Of charts, sound and its pictures as they stand in the page: with all else it stays under 15 MB, whatever the run.
BUDGET_BYTES = 11_000_000
#: Examples on either side of a bound, and rules that have any: each is about 120 kB.
_EACH, _MOST_RULES = 3, 40


@dataclass(frozen=True)
class Chart:
    """A picture with the words beside it, and its numbers; `svg` is empty where there is nothing to draw."""

    svg: Markup
    text: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, figured: Figured, *, empty: bool = False) -> Chart:
        """Draw it."""
        svg = Markup("") if empty else Markup(svg_of(figured.draw(), figured.text))
        rows = [] if empty else [[typeset(shown(value)) for value in row] for row in figured.rows]
        return cls(svg, typeset(figured.text), figured.title, figured.columns, rows)


def typeset(text: str) -> str:
    """The same with a minus sign before negative numbers, as in print.

    >>> typeset("from -40 to 1e-05, drum-and-bass")
    'from −40 to 1e−05, drum-and-bass'
    """
    return re.sub(r"(?<![\w-])-(?=\d)|(?<=\de)-(?=\d)", "−", text)


@dataclass(frozen=True)
class RuleSection:
    """One rule.

    Attributes:
        name: as the recipe has it; `anchor` as a link has it.
        bounds: in words.
        told: how many clips it rejects.
        chart: how its column is spread.
        sides: headings, each with its examples.
    """

    name: str
    anchor: str
    bounds: str
    told: str
    chart: Chart
    sides: Sequence[tuple[str, Sequence[Heard]]]


def rule_sections(run: Run) -> list[RuleSection]:
    """A section for each rule that has a column to judge."""
    rules = run.rules
    each = max(1, min(_EACH, BUDGET_BYTES // 130_000 // (2 * max(1, len(rules)))))
    examples = examples_of(run, dict(list(rules.items())[:_MOST_RULES]), each)
    charts = {name: _chart(run, rule.column) for name, rule in rules.items()}
    room = BUDGET_BYTES - sum(len(chart.svg) for chart in charts.values())
    sections = []
    for number, (name, rule) in enumerate(rules.items(), 1):
        kept, rejected = examples.get(name, ([], []))
        unit, sides = unit_of(run, rule.column), []
        for heading, its in zip(_headings(run, rule), (kept, rejected), strict=True):
            heard = []
            for example in its:
                room -= 0 if isinstance(example.excerpt, str) else example.excerpt.size_bytes
                heard.append(Heard(example, name, unit, room >= 0))
            sides.append((heading, heard))
        sections.append(
            RuleSection(
                name=name,
                anchor=f"rule-{number}",
                bounds=rule.bounds,
                told=_told(run, name),
                chart=charts[name],
                sides=sides,
            )
        )
    return sections


def _chart(run: Run, column: str) -> Chart:
    known = pc.count(run.clip_columns([column])[column], mode="only_valid").as_py()
    return Chart.of(distribution_of(run, column, "verdict"), empty=not known)


def _headings(run: Run, rule: KeepRule) -> tuple[str, str]:
    measured = is_number(run.ledger_dataset.schema.field(rule.column).type)
    return ("Kept, nearest to the bound", "Rejected, nearest to the bound") if measured else ("Kept", "Rejected")


def _told(run: Run, name: str) -> str:
    """What a rule alone is to blame for."""
    table = run.clip_columns(["rules", "verdict", "duration_s"])
    seconds = table["duration_s"].to_numpy()
    broken = breaking(table["rules"], name)
    alone = broken & (np.asarray(pc.fill_null(pc.list_value_length(table["rules"]), 0)) == 1)
    if not broken.any():
        return "No clip breaks it."
    verb = "breaks" if broken.sum() == 1 else "break"
    told = f"{count(int(broken.sum()), 'clip')} ({hours(float(seconds[broken].sum()))}) {verb} it"
    if not alone.any():
        return f"{told}, and other rules besides."
    if alone.sum() == broken.sum():
        return f"{told}, and no other rule."
    return f"{told}, {alone.sum():,} of them ({hours(float(seconds[alone].sum()))}) no other rule."
