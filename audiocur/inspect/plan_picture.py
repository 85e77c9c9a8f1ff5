"""A pipeline as a picture: its stages as boxes, in them the ops, and between those the columns that flow."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from audiocur.drawing import DrawnStage, Gate, drawn_stages, parameters, written
from audiocur.inspect.style import INK, KEPT, MUTED, REJECTED, label, new_figure, styled, svg_of
from audiocur.job import Job
from audiocur.pipeline import Step
from audiocur.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Points; a point of the picture is one of print, and a line of text as high as `_LINE`.
_WIDTH, _LINE, _GAP, _MARGIN = 720.0, 12.0, 5.0, 14.0
#: Where arcs end and names begin, and where what is written does.
_NAMES, _WRITES = 92.0, 424.0
#: Characters that fit a line there, in a font of wide letters.
_PARAMETERS, _READ, _WRITTEN, _WHOLE = 70, 56, 50, 110


@dataclass
class _Row:
    """An op or a gate, and where it stands.

    Attributes:
        given: parameters of an op, or rules, in lines; `reads` and `writes` likewise.
    """

    what: Step | Gate
    given: list[str]
    reads: list[str]
    writes: list[str]
    y: float = 0.0

    @property
    def height(self) -> float:
        name = isinstance(self.what, Step)
        return max(name + len(self.reads) + len(self.given), len(self.writes)) * _LINE + _GAP


@dataclass
class _Box:
    """A stage: its rows, and where it lies."""

    stage: DrawnStage
    rows: list[_Row] = field(default_factory=list)
    top: float = 0.0
    bottom: float = 0.0


def plan_svg(job: Job) -> str:
    """The plan of a job as an SVG file, with its text as text, for light and dark screens and for print.

    Raises:
        ConfigError: what the pipeline cannot be run as.
    """
    stages = drawn_stages(job)
    return svg_of(_figure(stages), _text(stages), standalone=True)


@styled()
def _figure(stages: Sequence[DrawnStage]) -> Figure:
    boxes, height = _laid_out(stages)
    figure = new_figure(_WIDTH / 72, height / 72)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)
    _flow(axes, boxes[0].top - 2 * _LINE, "recordings")
    for box in boxes:
        _draw_box(axes, box)
        _flow(axes, box.bottom, box.stage.passes_on)
    _draw_arcs(axes, [row for box in boxes for row in box.rows])
    return figure


def _laid_out(stages: Sequence[DrawnStage]) -> tuple[list[_Box], float]:
    """Where everything lies, and how high it is in all."""
    y = _MARGIN + 2 * _LINE
    boxes = []
    for stage in stages:
        box = _Box(stage, top=y)
        y += 2 * _LINE + _GAP
        for what in stage.rows:
            row = _row(what, y)
            box.rows.append(row)
            y += row.height
        y += _GAP
        box.bottom = y
        boxes.append(box)
        y += 2 * _LINE
    return boxes, y + _MARGIN


def _row(what: Step | Gate, y: float) -> _Row:
    if isinstance(what, Gate):
        return _Row(what, [line for rule in what.lines for line in _wrapped(rule, _WHOLE)], [], [], y)
    given, reads, writes = parameters(what), ", ".join(what.op.reads), written(what)
    return _Row(what, _wrapped(given, _PARAMETERS), _wrapped(reads, _READ), _wrapped(writes, _WRITTEN), y)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(label(text, 10_000), width, break_on_hyphens=False)


def _draw_box(axes: Axes, box: _Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = _WIDTH - 2 * _MARGIN, box.bottom - box.top
    frame = FancyBboxPatch(
        (_MARGIN, box.top), width, height, "round,pad=0,rounding_size=6", fc="none", ec=MUTED, lw=0.8
    )
    axes.add_patch(frame)
    axes.text(_NAMES, box.top + 1.2 * _LINE, box.stage.title, color=MUTED, weight="bold", va="center")
    for row in box.rows:
        _draw_row(axes, row)


def _draw_row(axes: Axes, row: _Row) -> None:
    if isinstance(row.what, Gate):
        axes.plot([_NAMES - 8] * 2, [row.y, row.y + row.height - _GAP], color=REJECTED, lw=2, solid_capstyle="butt")
        _write(axes, _NAMES, row.y, row.given, color=REJECTED)
        return
    _write(axes, _NAMES, row.y, [label(row.what.name)], color=INK, weight="bold", size=9)
    _write(axes, _NAMES, row.y + _LINE, row.reads, "← ", color=KEPT)
    _write(axes, _NAMES, row.y + (1 + len(row.reads)) * _LINE, row.given, color=MUTED, size=7)
    _write(axes, _WRITES, row.y, row.writes, "→ ", color=INK)


def _write(axes: Axes, x: float, top: float, lines: Sequence[str], arrow: str = "", **style: Any) -> None:
    """Lines below each other; an arrow stands before the first, in a column of its own."""
    for number, line in enumerate(lines):
        y = top + (number + 0.5) * _LINE
        if arrow and number == 0:
            axes.text(x, y, arrow, va="center", size=8, color=KEPT)
        axes.text(x + (12 if arrow else 0), y, line, va="center", **{"size": 8, **style})


def _draw_arcs(axes: Axes, rows: Sequence[_Row]) -> None:
    """From each op that writes a column to each that reads it, a curve left of their names."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for wrote, read in _flows(rows):
        begin, end = wrote.y + 0.5 * _LINE, read.y + 0.5 * _LINE
        bulge = min(14 + 0.11 * (end - begin), _NAMES - _MARGIN - 22)
        x, left = _NAMES - 12, _NAMES - 12 - bulge * 4 / 3
        curve = Path([(x, begin), (left, begin), (left, end), (x, end)], [Path.MOVETO, *[Path.CURVE4] * 3])
        axes.add_patch(PathPatch(curve, fc="none", ec=KEPT, lw=0.8, alpha=0.6))
        axes.plot([x], [end], marker=">", ms=3, color=KEPT, mew=0)


def _flows(rows: Sequence[_Row]) -> Iterator[tuple[_Row, _Row]]:
    writers: dict[str, _Row] = {}
    for row in rows:
        if isinstance(row.what, Step):
            its = {id(writer): writer for name in row.what.op.reads if (writer := writers.get(name))}
            yield from ((writer, row) for writer in its.values())
            writers |= {column.name: row for column in row.what.op.writes}


def _flow(axes: Axes, top: float, what: str) -> None:
    """An arrow down to the next box, and what goes there."""
    arrow = {"arrowstyle": "-|>", "color": MUTED, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (_NAMES + 8, top + 2 * _LINE), (_NAMES + 8, top), arrowprops=arrow)
    axes.text(_NAMES + 20, top + _LINE, what, color=MUTED, va="center", size=8, style="italic")


def _text(stages: Sequence[DrawnStage]) -> str:
    """The same in words: a title, and a sentence for each stage."""
    sentences = []
    for stage in stages:
        steps = [row.name for row in stage.rows if isinstance(row, Step)]
        rules = [name for row in stage.rows if isinstance(row, Gate) for name, _ in row.rules]
        judged = f"; keep rules: {', '.join(rules)}" if rules else ""
        sentences.append(f"{stage.title}: {', '.join(steps)}{judged}")
    return ". ".join([f"A pipeline of {count(len(stages), 'stage')}", *sentences])
