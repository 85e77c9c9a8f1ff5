"""Horizontal bars: amounts of named things, stacked by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audiocur.inspect.style import INK, MUTED, add_legend, label, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.23  # inches


@styled()
def draw_bars(
    rows: Sequence[str],
    amounts: NDArray[np.float64],
    names: Sequence[str],
    colours: Sequence[str],
    told: Sequence[str],
    *,
    of: str,
    starts: NDArray[np.float64] | None = None,
) -> Figure:
    """Draw a row of bars for each name, the first on top.

    Args:
        rows: what each row is.
        amounts: shape (rows, groups).
        names: of the groups; those named "" do without a legend.
        colours: of the groups.
        told: what stands beside each row's bars.
        of: what is counted.
        starts: where each row's bars begin, 0 by default.
    """
    legend = sum(map(bool, names)) > 1
    figure = new_figure(height=0.55 + _ROW * max(1, len(rows)) + 0.2 * legend)
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    left = np.zeros(len(rows)) if starts is None else starts.copy()
    for its, name, colour in zip(amounts.T, names, colours, strict=True):
        axes.barh(places, its, left=left, height=0.68, color=colour, label=name, linewidth=0)
        left = left + its
    for place, end, text in zip(places, left, told, strict=True):
        axes.annotate(
            text, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5, color=MUTED
        )
    axes.set_yticks(places, [label(row, 32) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, float(left.max(initial=0.0)) * 1.16 or 1.0)
    axes.set_xlabel(of)
    _plain(axes, whole=of == "clips")
    if legend:
        add_legend(axes)
    return figure


def _plain(axes: Axes, *, whole: bool) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=whole))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.grid(True)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="y", labelcolor=INK)
