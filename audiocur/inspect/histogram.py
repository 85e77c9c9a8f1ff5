"""Histograms: an axis that suits the numbers, counts on it, and bounds of rules drawn in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audiocur.inspect.style import INK, MUTED, RULE, add_legend, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]

#: As many bins as the numbers can fill, within these.
_LEAST_BINS, _MOST_BINS = 24, 48
#: Whole numbers get a bin each, up to so many.
_MOST_WHOLE = 60
#: Positive numbers that spread over more than this, but for a fiftieth at either end, are read on a log axis.
_LOG_FROM = 200.0
#: What is smaller than this share of the greatest is as good as zero on a log axis.
_NEXT_TO_NOTHING = 1e-12
#: An axis that outliers would make so many times as long as the rest needs leaves them at its ends.
_OUTLYING = 3.0
#: Counts are read on a log axis where the greatest would make the usual one vanish.
_LOG_COUNTS_FROM = 400.0


@dataclass(frozen=True)
class Bound:
    """One bound of a keep rule.

    Attributes:
        rule: its name; `side`: "min" or "max".
        value: in units of the column.
        clips, seconds: that lie beyond it.
    """

    rule: str
    side: str
    value: float
    clips: int
    seconds: float

    @property
    def edge(self) -> float:
        """Where what lies beyond it begins, or what is allowed: the lower edge of a bin."""
        return self.value if self.side == "min" else float(np.nextafter(self.value, np.inf))


@dataclass(frozen=True)
class Axis:
    """Bins that suit some numbers.

    Attributes:
        edges: of the bins, ascending.
        log: they grow by about the same ratio.
        zero: the first bin is that of zero, which a log axis has no place for, and of next to nothing.
        whole: each is that of a whole number.
    """

    edges: Numbers
    log: bool = False
    zero: bool = False
    whole: bool = False

    @classmethod
    def of(cls, numbers: Numbers, bounds: Sequence[float] = (), *, whole: bool = False) -> Axis:
        """The axis for some finite numbers, with room for bounds that are not far away.

        Bins are closed at their lower edge, so that of a maximum, which is itself allowed, lies just above it: see
        `Bound.edge`.

        >>> Axis.of(np.array([2.0, 3.0, 5.0]), whole=True).edges.tolist()
        [1.5, 2.5, 3.5, 4.5, 5.5]
        >>> axis = Axis.of(np.array([0.0] * 50 + [1e-5, 1e-3, 0.1]))
        >>> axis.log, axis.zero
        (True, True)
        """
        if not len(numbers):
            return cls(np.array([0.0, 1.0]))
        low, high = float(numbers.min()), float(numbers.max())
        if not whole and low >= 0 and high > 0:
            counts = numbers > high * _NEXT_TO_NOTHING
            positive = numbers[counts]
            least, most = np.quantile(positive, (0.02, 0.98))
            if most > _LOG_FROM * least:
                shown = [bound for bound in bounds if bound > high * _NEXT_TO_NOTHING]
                return _log_axis(positive, shown, zero=not counts.all())
        low, high = _without_outliers(numbers, low, high)
        if whole and high - low <= _MOST_WHOLE:
            return cls._whole(low, high, [bound for bound in bounds if low - 10 <= bound <= high + 10])
        reach = (high - low) or abs(low) * 0.1 or 1.0
        near = [bound for bound in bounds if low - reach <= bound <= high + reach]
        low, high = min([low, *near]), max([high, *near])
        margin = max((high - low) * 0.02 or abs(low) * 0.1 or 1.0, max(abs(low), abs(high)) * 1e-6)
        # Where the least number is only just allowed, it needs a bin before the bound.
        room = not any(bound <= np.nextafter(low, np.inf) for bound in near)
        if room and low >= 0 > low - margin:  # a ratio does not go below 0 for the sake of a margin
            return cls(_edges(0.0, high + margin, _bins(len(numbers)), near))
        return cls(_edges(low - margin, high + margin, _bins(len(numbers)), near))

    @classmethod
    def _whole(cls, low: float, high: float, bounds: Sequence[float]) -> Axis:
        """A bin for each whole number, and one beyond each bound, but none under 0 where nothing is."""
        least, most = min([low, *(bound - 1 for bound in bounds)]), max([high, *(bound + 1 for bound in bounds)])
        least = 0.0 if least < 0 <= low else least
        return cls(np.arange(np.floor(least) - 0.5, np.ceil(most) + 1.0), whole=True)

    def bins_of(self, numbers: Numbers) -> NDArray[np.int64]:
        """The bin of each number; those beyond the ends are in the last ones."""
        found = np.searchsorted(self.edges, numbers, side="right") - 1
        return np.clip(found, 0, len(self.edges) - 2)

    def beyond(self, numbers: Numbers) -> int:
        """How many numbers lie beyond its ends."""
        low = 0.0 if self.zero else self.edges[0]
        return int(((numbers < low) | (numbers > self.edges[-1])).sum())

    def place(self, bound: Bound) -> float:
        """Where a bound, which is itself allowed, is drawn."""
        if self.whole:
            return float(np.ceil(bound.value) - 0.5 if bound.side == "min" else np.floor(bound.value) + 0.5)
        if self.log and bound.value < self.edges[0]:
            allowed_zero = bound.side == "max" and bound.value >= 0 and self.zero
            return float(self.edges[1] if allowed_zero else self.edges[0])
        return bound.value


def _log_axis(positive: Numbers, bounds: Sequence[float], *, zero: bool) -> Axis:
    low, high = min([float(positive.min()), *bounds]) * 0.9, max([float(positive.max()), *bounds]) * 1.1
    exponents = _edges(np.log10(low), np.log10(high), _bins(len(positive)), map(float, np.log10(bounds)))
    edges = 10**exponents
    for bound in bounds:  # which powers and logarithms have moved by a rounding
        edges[np.abs(edges / bound - 1).argmin()] = bound
    if zero:  # beside the others, two of their widths, with one between
        ratio = edges[1] / edges[0]
        edges = np.concatenate([edges[0] / [ratio**3, ratio], edges])
    return Axis(edges, log=True, zero=zero)


def _edges(low: float, high: float, bins: int, bounds: Iterable[float]) -> Numbers:
    """Edges of about so many bins; bounds are edges, so that no bin lies on both sides of one, to the bit."""
    width = (high - low) / bins
    points = sorted({low, high, *(bound for bound in bounds if low < bound < high)})
    stretches = [np.linspace(a, b, max(1, round((b - a) / width)) + 1)[:-1] for a, b in pairwise(points)]
    return np.concatenate([*stretches, [high]])


def _bins(numbers: int) -> int:
    """As many as keep the noise of counts down: they grow with the cube root, after Rice."""
    return int(np.clip(round(5 * numbers ** (1 / 3)), _LEAST_BINS, _MOST_BINS))


def _without_outliers(numbers: Numbers, low: float, high: float) -> tuple[float, float]:
    least, most = np.quantile(numbers, (0.002, 0.998))
    if most > least and high - low > _OUTLYING * (most - least):
        margin = 0.1 * (most - least)
        return max(low, least - margin), min(high, most + margin)
    return low, high


@styled()
def draw_histogram(
    axis: Axis,
    counts: NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str],
    bounds: Sequence[Bound],
    of: str,
) -> Figure:
    """Draw counts in bins, stacked, with the bounds of rules and what lies beyond them shaded.

    Args:
        axis: of the numbers.
        counts: shape (groups, bins).
        names: of the groups.
        colours: of the groups.
        bounds: to draw in.
        of: what the numbers are.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    total = counts.sum(axis=0)
    usual = float(np.median(total[total > 0])) if total.any() else 1.0
    log_counts = bool(total.max() > _LOG_COUNTS_FROM * usual)
    _draw_bounds(axes, axis, bounds)
    _draw_bars(axes, axis, counts, names, colours, log_counts)
    axes.set_xlabel(of)
    axes.set_ylabel("clips, log scale" if log_counts else "clips")
    _set_scales(axes, axis, log_counts)
    if len(names) > 1:
        add_legend(axes, above=1.08 if bounds else 1.0)
    return figure


def _draw_bars(
    axes: Axes,
    axis: Axis,
    counts: NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str],
    log_counts: bool,
) -> None:
    baseline = np.zeros(counts.shape[1])
    for its, name, colour in zip(counts, names, colours, strict=True):
        if log_counts:  # stacks do not add up on a log scale
            axes.stairs(its, axis.edges, color=colour, label=name, linewidth=1.2)
            axes.stairs(its, axis.edges, color=colour, fill=True, alpha=0.2, linewidth=0)
        else:
            axes.stairs(baseline + its, axis.edges, baseline=baseline, fill=True, color=colour, label=name, linewidth=0)
            baseline = baseline + its


def _draw_bounds(axes: Axes, axis: Axis, bounds: Sequence[Bound]) -> None:
    start, end = float(axis.edges[0]), float(axis.edges[-1])
    for bound in bounds:
        at = axis.place(bound)
        beyond = (start, min(at, end)) if bound.side == "min" else (max(at, start), end)
        if beyond[0] < beyond[1]:
            axes.axvspan(*beyond, color=RULE, alpha=0.55, linewidth=0, zorder=0)
        if not start <= at <= end:
            continue
        axes.axvline(at, color=INK, linewidth=1.1, dashes=(3, 2), zorder=3)
        share = _share(axis, at)
        to_right = share < 0.3 or (bound.side == "max" and share < 0.7)
        axes.annotate(
            f"{bound.side} {bound.value:g}".replace("-", "−"),
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2 if to_right else -2, 3),
            textcoords="offset points",
            ha="left" if to_right else "right",
            va="bottom",
            fontsize=8.5,
        )


def _share(axis: Axis, at: float) -> float:
    """How far along the axis something stands, 0 to 1."""
    edges, at = (np.log10(axis.edges), np.log10(at)) if axis.log else (axis.edges, at)
    return float((at - edges[0]) / (edges[-1] - edges[0]))


def _set_scales(axes: Axes, axis: Axis, log_counts: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axes.yaxis.grid(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if log_counts:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", which="minor", length=0)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    if axis.log:
        axes.set_xscale("log")
        least, most = axis.edges[2 * axis.zero], axis.edges[-1]
        decades = LogLocator(numticks=6).tick_values(least, most)
        ticks = [float(tick) for tick in decades if least <= tick <= most]
        zero = [float(np.sqrt(axis.edges[0] * axis.edges[1]))] if axis.zero else []
        axes.set_xticks(zero + ticks, minor=False)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: "0" if zero and x == zero[0] else f"{x:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=axis.whole))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}".replace("-", "−")))
    axes.set_xlim(float(axis.edges[0]), float(axis.edges[-1]))
    axes.tick_params(axis="x", colors=MUTED)
