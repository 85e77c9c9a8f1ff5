"""Where the hours went: the funnel, and hours by any column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audiocur.inspect.bars import draw_bars
from audiocur.inspect.figured import Figured
from audiocur.inspect.frame import Hours
from audiocur.inspect.funnel import Funnel, Line
from audiocur.inspect.groups import grouped, verdicts
from audiocur.inspect.style import COLOURS, VERDICTS, label
from audiocur.words import count, hours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from audiocur.inspect.opened import Run

_MOST_VALUES = 20


def funnel_of(run: Run) -> Figured:
    """See `Run.funnel`."""
    from audiocur.inspect.funnel import funnel

    found = funnel(run.parts)
    total = found.seconds_in or 1.0
    return Figured(
        ("", "recordings or clips", "audio", "share"),
        [
            (line.what, line.number, Hours(line.seconds / 3600), f"{line.seconds / total:.1%}" if line.seconds else "")
            for line in found.lines
        ],
        title="from hours in to hours kept",
        note=overlap_note(found),
        draw=lambda: _draw_funnel(found),
        text=funnel_text(found),
    )


def hours_of(run: Run, by: str) -> Figured:
    """See `Run.hours`.

    Raises:
        OutputError: the ledger has no such column.
        ConfigError: its values cannot be counted.
    """
    table = run.clip_columns(list(dict.fromkeys((by, "verdict", "duration_s"))))
    groups, fates = grouped(table[by], _MOST_VALUES), verdicts(table["verdict"])
    seconds = groups.sums(table["duration_s"].to_numpy(), by=fates)
    amounts, unit = in_unit(seconds)
    clips = groups.sums(by=fates)
    rows = [
        (name, *map(Hours, its / 3600), f"{its[0] / its.sum():.0%}" if its.sum() else "", int(number[0]))
        for name, its, number in zip(groups.names, seconds, clips, strict=True)
    ]
    used = [i for i, amount in enumerate(amounts.sum(axis=0)) if amount]
    kept = [
        f"{label(name, 60)} {hours(its[0])} of {hours(its.sum())}"
        for name, its in zip(groups.names, seconds, strict=True)
    ]
    note = "A clip counts once for each of its values." if len(groups.rows) > len(table) else ""
    return Figured(
        (by, *fates.names, "share kept", "clips kept"),
        rows,
        title=f"hours by {by}",
        note=note,
        draw=lambda: draw_bars(
            groups.names,
            amounts[:, used],
            [fates.names[i] for i in used],
            [VERDICTS[fates.names[i]] for i in used],
            [hours(amount) for amount in seconds.sum(axis=1)],
            of=unit,
        ),
        text=f"Hours by {by}. Kept: {'; '.join(kept)}. {note}".strip(),
    )


def funnel_text(found: Funnel) -> str:
    """The funnel in words."""
    share = found.kept.seconds / found.seconds_in if found.seconds_in else 0.0
    lost = sorted(found.lines[1:-1], key=lambda line: -line.seconds)
    most = f" Most is lost as: {'; '.join(f'{line.what}, {hours(line.seconds)}' for line in lost[:3])}." if lost else ""
    return (
        f"Of {hours(found.seconds_in)} in {count(found.sources, 'recording')}, {hours(found.kept.seconds)} are kept "
        f"({share:.0%}), in {count(found.kept.count, 'clip')}.{most}"
    )


def overlap_note(found: Funnel) -> str:
    """That clips overlap, where they do: then the lines do not add up."""
    out = sum(line.seconds for line in found.lines[1:])
    # What is lost of a truncated recording may be more than was decoded of it: a second in a hundred is no overlap.
    return "Clips overlap, so the lines come to more than what went in." if out > found.seconds_in * 1.01 else ""


def fate_of(line: Line, found: Funnel) -> str:
    """What a line of the funnel speaks of: "in", "kept", "rejected", "failed" or "uncut"."""
    if line in (found.lines[0], found.kept):
        return "kept" if line == found.kept else "in"
    return "rejected" if line in found.rejected else "failed" if line.unit else "uncut"


def _draw_funnel(found: Funnel) -> Figure:
    """Each loss begins where the one above it ended."""
    amounts, unit = in_unit(np.array([line.seconds for line in found.lines]))
    lost = amounts[1:-1]
    starts = np.maximum(amounts[0] - np.cumsum(np.concatenate([lost, [0.0]])), 0.0)
    of_line = [COLOURS[fate_of(line, found)][0] for line in found.lines]
    colours = list(dict.fromkeys(of_line))
    by_colour = np.where(np.array(of_line)[:, None] == np.array(colours), amounts[:, None], 0.0)
    return draw_bars(
        [line.what for line in found.lines],
        by_colour,
        [""] * len(colours),
        colours,
        [hours(line.seconds) if line.seconds else "" for line in found.lines],
        of=unit,
        starts=np.concatenate([[0.0], starts[:-1], [0.0]]),
    )


def in_unit(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Amounts of audio in the unit in which the largest reads well, and its name.

    >>> in_unit(np.array([60.0, 1800.0]))
    (array([ 1., 30.]), 'minutes')
    """
    largest = seconds.max(initial=0.0)
    unit, name = (3600, "hours") if largest >= 7200 else (60, "minutes") if largest >= 120 else (1, "seconds")
    return seconds / unit, name
