"""How a measure is spread over all clips ever cut, with the bounds of the rules that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from audiocur.errors import ConfigError
from audiocur.inspect.bars import draw_bars
from audiocur.inspect.figured import Figured
from audiocur.inspect.frame import Hours, shown
from audiocur.inspect.groups import NONE, Groups, grouped, is_list, is_number, verdicts
from audiocur.inspect.histogram import Axis, Bound, draw_histogram
from audiocur.inspect.keys import by_fifths, draw_keys
from audiocur.inspect.style import GROUPS, VERDICTS, label
from audiocur.rules import KeepRule, OnNull, Rules
from audiocur.words import count, hours

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

#: Values of texts and lists that are shown, and groups that numbers are split by.
_MOST_VALUES, _MOST_GROUPS = 12, 5
_SPREAD = ("clips", "audio", "null", "min", "5 %", "median", "95 %", "max")
_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


def distribution_of(run: Run, column: str, by: str | None) -> Figured:
    """See `Run.distribution`.

    Raises:
        OutputError: the ledger has no such column.
        ConfigError: its values can be neither counted nor laid on an axis.
    """
    table = run.clip_columns(list(dict.fromkeys((column, by or "verdict", "verdict", "duration_s"))))
    return _of_table(run, table, column, by, {name: r for name, r in run.rules.items() if r.column == column})


def kept_of(run: Run, column: str) -> Figured:
    """The same over the clips that are kept, which all rules allow; keys around the circle of fifths."""
    table = run.clip_columns(list(dict.fromkeys((column, "verdict", "duration_s"))))
    table = table.filter(pc.equal(table["verdict"], "kept"))
    if column != "key":
        return _of_table(run, table, column, None, {})
    found = _of_table(run, table, column, None, {}, most=24)
    circle = by_fifths({row[0]: row[1] for row in found.rows if row[0] != NONE})
    return replace(found, draw=partial(draw_keys, *circle)) if circle else found


def _of_table(
    run: Run, table: pa.Table, column: str, by: str | None, rules: Rules, most: int = _MOST_VALUES
) -> Figured:
    values, seconds = table[column], table["duration_s"].to_numpy()
    groups = _everything(len(table)) if by is None else verdicts(table[by]) if by == "verdict" else _split(table[by])
    if is_number(values.type):
        return _of_numbers(run, column, values, seconds, groups, rules)
    if is_list(values.type) and not pa.types.is_string(values.type.value_type):
        return _of_numbers(run, column, pc.list_value_length(values), seconds, groups, {}, "items in ")
    return _of_values(run, column, values, seconds, groups, rules, most)


def meaning_of(run: Run, column: str) -> str:
    """What a column is, in the words of the op that writes it, with its unit; "" where nobody says."""
    said = run.ledger_dataset.schema.field(column).metadata or {}
    meaning, unit = said.get(b"meaning", b"").decode(), said.get(b"unit", b"").decode()
    return f"{meaning} ({unit})" if meaning and unit else meaning


def unit_of(run: Run, column: str) -> str:
    """The unit of a column, "" where it has none."""
    said = run.ledger_dataset.schema.field(column).metadata or {}
    return str(said.get(b"unit", b"").decode())


def _everything(clips: int) -> Groups:
    return Groups(("clips",), (None,), np.zeros(clips, np.int64), np.arange(clips))


def _split(values: pa.ChunkedArray) -> Groups:
    found = grouped(values, _MOST_GROUPS)
    if len(found.rows) > len(values):
        raise ConfigError(f"by a column of {values.type}: expected one value a clip")
    return found


def colours_of(names: Sequence[str]) -> list[str]:
    """Of groups: verdicts have their own."""
    return [VERDICTS.get(name, GROUPS[min(i, len(GROUPS) - 1)]) for i, name in enumerate(names)]


def _of_numbers(
    run: Run,
    column: str,
    values: pa.ChunkedArray,
    seconds: NDArray[np.float64],
    groups: Groups,
    rules: Rules,
    what: str = "",
) -> Figured:
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    known = np.isfinite(numbers)  # null is NaN here, and both lie on no axis
    codes = np.empty(len(numbers), np.int64)
    codes[groups.rows] = groups.codes
    bounds = _bounds(numbers, known, seconds, rules)
    there, its_codes = numbers[known], codes[known]
    axis = Axis.of(there, [bound.edge for bound in bounds], whole=pa.types.is_integer(values.type))
    bins = len(axis.edges) - 1
    counts = np.bincount(its_codes * bins + axis.bins_of(there), minlength=len(groups.names) * bins)
    counts = counts.reshape(len(groups.names), bins)
    shown_groups = [i for i in range(len(groups.names)) if counts[i].any()]
    colours = colours_of(groups.names)
    rows = []
    for i, name in enumerate(groups.names):
        its, of_group = there[its_codes == i], codes == i
        number = int(of_group.sum())
        spread = [float(q) for q in np.quantile(its, _QUANTILES)] if len(its) else [None] * len(_QUANTILES)
        rows.append((name, number, Hours(seconds[of_group].sum() / 3600), number - len(its), *spread))
    sentences = [f"{what}{column}{_told(run, column)}: {_range(there, int((~known).sum()))}"]
    sentences += _beyond(bounds, rules, int((~known).sum()))
    if outside := axis.beyond(there):
        sentences.append(f"{count(outside, 'clip')} beyond the ends of the axis stand in its last bars.")
    return Figured(
        (
            "" if groups.names == ("clips",) else "group",
            "clips",
            "audio",
            "null",
            "min",
            "5 %",
            "median",
            "95 %",
            "max",
        ),
        rows,
        title=f"{what}{column}",
        note=" ".join(sentences[1:]),
        draw=lambda: draw_histogram(
            axis,
            counts[shown_groups],
            [groups.names[i] for i in shown_groups],
            [colours[i] for i in shown_groups],
            bounds,
            f"{what}{column}",
        ),
        text=" ".join(sentences),
    )


def _of_values(
    run: Run,
    column: str,
    values: pa.ChunkedArray,
    seconds: NDArray[np.float64],
    groups: Groups,
    rules: Rules,
    most: int,
) -> Figured:
    found = grouped(values, most)
    clips, hours_each = found.sums(by=groups), found.sums(seconds) / 3600
    allowed = [_allowed(found, rule) for rule in rules.values() if rule.allow is not None]
    marks = ["" if all(each[i] for each in allowed) else "not allowed: " for i in range(len(found.names))]
    used = np.flatnonzero(clips.sum(axis=0))
    rows = [
        (f"{mark}{name}", int(its.sum()), Hours(of_it), *(int(its[i]) for i in used))
        for mark, name, its, of_it in zip(marks, found.names, clips, hours_each, strict=True)
    ]
    sentences = [f"{column}{_told(run, column)}: {_most(found.names, clips.sum(axis=1))}"]
    sentences += [f"keep.{name}: {rule.bounds}." for name, rule in rules.items()]
    if is_list(values.type):
        sentences.append("A clip counts once for each of its values.")
    names, colours = [groups.names[i] for i in used], colours_of(groups.names)
    return Figured(
        (column, "clips", "audio", *(names if len(names) > 1 else ())),
        rows if len(names) > 1 else [row[:3] for row in rows],
        title=column,
        note=" ".join(sentences[1:]),
        draw=lambda: draw_bars(
            [f"✕ {name}" if mark else name for mark, name in zip(marks, found.names, strict=True)],
            clips[:, used],
            names,
            [colours[i] for i in used],
            [f"{number:,.0f}" for number in clips.sum(axis=1)],
            of="clips",
        ),
        text=" ".join(sentences),
    )


def _bounds(
    numbers: NDArray[np.float64], known: NDArray[np.bool_], seconds: NDArray[np.float64], rules: Rules
) -> list[Bound]:
    found = []
    for name, rule in rules.items():
        for side, value in (("min", rule.min), ("max", rule.max)):
            if value is not None:
                beyond = known & (numbers < value if side == "min" else numbers > value)
                found.append(Bound(name, side, value, int(beyond.sum()), float(seconds[beyond].sum())))
    return found


def _beyond(bounds: Sequence[Bound], rules: Rules, nulls: int) -> list[str]:
    words = {"min": "below min", "max": "above max"}
    sentences = []
    for bound in bounds:
        clips = f"{count(bound.clips, 'clip')} ({hours(bound.seconds)})" if bound.clips else "no clip"
        sentences.append(f"keep.{bound.rule}: {clips} {words[bound.side]} {bound.value:g}.")
    rejecting = [f"keep.{name}" for name, rule in rules.items() if rule.null is OnNull.reject]
    if nulls and rejecting:
        sentences.append(f"{' and '.join(rejecting)} rejects null.")
    return sentences


def _told(run: Run, column: str) -> str:
    meaning = meaning_of(run, column)
    return f", {meaning}" if meaning else ""


def _range(numbers: NDArray[np.float64], nulls: int) -> str:
    null = f"; {count(nulls, 'clip')} null" if nulls else ""
    if not len(numbers):
        return f"no clip has it{null}."
    low, quarter, half, three, high = (shown(float(q)) for q in np.quantile(numbers, (0.0, 0.25, 0.5, 0.75, 1.0)))
    if low == high:
        return f"{low} in all {count(len(numbers), 'clip')} that have it{null}."
    middle = (
        f"half of them between {quarter} and {three}, median {half}" if quarter != three else f"most of them {half}"
    )
    return f"{count(len(numbers), 'clip')} from {low} to {high}, {middle}{null}."


def _most(names: Sequence[str], clips: NDArray[np.float64]) -> str:
    if not len(names):
        return "no clip has it."
    return ", ".join(f"{label(name, 60)} {number:,.0f}" for name, number in zip(names, clips, strict=True)) + "."


def _allowed(found: Groups, rule: KeepRule) -> list[bool]:
    """Which groups a rule allows; of those that are no single value nobody can tell, but of none."""
    allow = set(rule.allow or ())
    last = len(found.names) - 1
    none_kept = rule.null is OnNull.keep
    return [
        value in allow if value is not None else none_kept if i == last and found.names[i] == NONE else True
        for i, value in enumerate(found.values)
    ]
