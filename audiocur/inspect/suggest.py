"""Bounds that would keep so many hours: the least change of each alone, and of all together."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audiocur.errors import require
from audiocur.inspect.frame import Frame, Hours
from audiocur.inspect.whatif import TOGETHER, Amount, amount, words_of
from audiocur.judgement import Clips, Judged, Mask
from audiocur.rules import KeepRule, Rules
from audiocur.words import count, hours

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

Floats = NDArray[np.float64]

#: A bound is told in as few digits as keep at most so much more than the value that it is rounded from.
_DIGITS = (3, 4, 5, 6)
_AT_MOST = 1.01
#: Sums of hours depend on their order.
_EXACT = 1 - 1e-12


def suggested(run: Run, target_hours: float) -> Frame:
    """Bounds that keep at least so many hours, and as little more as can be.

    From fewer hours each bound is loosened as little as will do, from more it is tightened as far as will do; a bound
    is a value that occurs, rounded to the loose side. In the last row all move, each past the same share of the clips
    that lie beyond it, or within it where it is tightened.

    Args:
        run: whose clips are judged.
        target_hours: how much is wanted.

    Raises:
        ConfigError: it is no number of hours above 0.
    """
    is_number = isinstance(target_hours, int | float)
    require(is_number and 0 < target_hours < float("inf"), "target_hours", target_hours, "a number of hours above 0")
    rules = run.rules
    clips = run.judged_by(rules)
    search = _Search(clips, rules, run.clip_columns(["duration_s"])["duration_s"].to_numpy() / 3600, target_hours)
    rows = [search.alone(bound) for bound in search.bounds]
    return Frame(
        ("bound", "now", "would be", "clips", "audio", "to type"),
        rows + ([search.together()] if len(rows) > 1 else []),
        title=f"Bounds that keep at least {hours(target_hours * 3600)}; kept now: {search.now}",
        note=_note(run, search),
    )


@dataclass(frozen=True)
class _Bound:
    """A bound of a rule; a number turned so that greater ones lie further within it is called inward."""

    name: str
    side: str
    rule: KeepRule

    @property
    def label(self) -> str:
        """What it is called on the command line."""
        return f"{self.name}.{self.side}"

    @property
    def sign(self) -> int:
        return 1 if self.side == "min" else -1

    @property
    def now(self) -> float:
        return float(getattr(self.rule, self.side))

    @property
    def edge(self) -> float:
        """Where it stands, inward."""
        return self.sign * self.now

    def rounded(self, place: float, digits: int, loosen: bool) -> float:
        """A place in so few digits, to the loose side, but never looser than a bound that is to be tightened is."""
        if place == self.edge:
            return place
        rounded = float(Context(prec=digits, rounding=ROUND_FLOOR).create_decimal(repr(place)))
        return rounded if loosen else max(rounded, self.edge)

    def inward(self, clips: Clips) -> Floats:
        """How far within it each clip lies; infinitely where it says nothing of it."""
        values, null = clips.numbers(self.rule.column)
        found: Floats = self.sign * values.astype(np.float64)
        found[null | np.isnan(found)] = np.inf
        return found


@dataclass(frozen=True)
class _Search:
    """Where bounds are looked for.

    Attributes:
        clips: all of the run, and `rules` as they are.
        length_h: of each clip.
        target_h: hours wanted.
    """

    clips: Clips
    rules: Rules
    length_h: Floats
    target_h: float

    @cached_property
    def now(self) -> Amount:
        return amount(self.clips.kept, self.length_h)

    @cached_property
    def loosen(self) -> bool:
        return self.now.hours < self.target_h * _EXACT

    @cached_property
    def bounds(self) -> list[_Bound]:
        return [
            _Bound(name, side, rule)
            for name, rule in self.rules.items()
            for side in ("min", "max")
            if getattr(rule, side) is not None
        ]

    @cached_property
    def boundless(self) -> Judged:
        """Every clip under the rules without their bounds."""
        return self.clips.judged({name: replace(rule, min=None, max=None) for name, rule in self.rules.items()})

    def alone(self, bound: _Bound) -> Sequence[Any]:
        """The row of one bound, the others as they are."""
        freed = replace(bound.rule, min=None) if bound.side == "min" else replace(bound.rule, max=None)
        free = self.clips.judged({**self.rules, bound.name: freed}).kept
        moving = self.moving(free)
        inward = bound.inward(self.clips)[moving]
        last = self._last(moving, inward)
        if last is not None:
            kept, words, (would_be,) = self._drawn(moving, [bound], [inward], inward >= last)
            if kept != self.now:
                return bound.label, bound.now, would_be, *kept, words
        most = amount(free, self.length_h) if self.loosen else self.now
        return bound.label, bound.now, "cannot alone", *most, ""

    def together(self) -> Sequence[Any]:
        """The row of all bounds at once: a clip comes in when the last of them lets it in."""
        moving = self.moving(self.boundless.kept)
        inwards = [bound.inward(self.clips)[moving] for bound in self.bounds]
        scores = np.full(len(moving), np.inf)
        for bound, inward in zip(self.bounds, inwards, strict=True):
            np.minimum(scores, _loosened(inward, bound.edge) if self.loosen else _tightened(inward), out=scores)
        last = self._last(moving, scores)
        if last is None:
            return TOGETHER, None, "cannot either", *amount(self.boundless.kept, self.length_h), ""
        kept, words, _ = self._drawn(moving, self.bounds, inwards, scores >= last)
        share = f"{100 * abs(last):.3g} %" if np.isfinite(last) else "all that can be"
        return TOGETHER, None, f"{share} of what lies {'beyond' if self.loosen else 'within'} each", *kept, words

    def moving(self, free: Mask) -> NDArray[np.intp]:
        """The clips that bounds are moved for, of those kept without them: to let them in, or to leave them out."""
        return np.flatnonzero(free & ~self.clips.kept if self.loosen else self.clips.kept)

    def _last(self, moving: NDArray[np.intp], scores: Floats) -> float | None:
        """The score of the last clip that is needed, if those with the highest come in first; null if all are few."""
        order = np.argsort(-scores)
        reached = (self.now.hours if self.loosen else 0.0) + np.cumsum(self.length_h[moving[order]])
        last = int(np.searchsorted(reached, self.target_h * _EXACT))
        return float(scores[order[last]]) if last < len(order) else None

    def _drawn(
        self, moving: NDArray[np.intp], bounds: Sequence[_Bound], inwards: Sequence[Floats], within: Mask
    ) -> tuple[Amount, str, list[float]]:
        """Bounds drawn round some of the clips: what they keep, those that move as one types them, and all of them."""
        places = [self._place(bound, inward, within) for bound, inward in zip(bounds, inwards, strict=True)]
        exact = found = self._kept(moving, inwards, places)
        for digits in _DIGITS:
            rounded = [bound.rounded(place, digits, self.loosen) for bound, place in zip(bounds, places, strict=True)]
            kept = self._kept(moving, inwards, rounded)
            if kept.hours <= exact.hours * _AT_MOST:
                found, places = kept, rounded
                break
        typed = [bound.sign * place + 0.0 for bound, place in zip(bounds, places, strict=True)]  # never -0
        changes = {bound.label: to for bound, to in zip(bounds, typed, strict=True) if to != bound.now}
        return found, shlex.join(words_of(changes)), typed

    def _place(self, bound: _Bound, inward: Floats, within: Mask) -> float:
        """Where a bound must lie to keep these clips; as far within as any lies, if it says nothing of them."""
        outermost = inward[within].min(initial=np.inf)
        if np.isinf(outermost):
            outermost = inward[np.isfinite(inward)].max(initial=bound.edge)
        return float(min(outermost, bound.edge) if self.loosen else outermost)

    def _kept(self, moving: NDArray[np.intp], inwards: Sequence[Floats], places: Sequence[float]) -> Amount:
        within = np.ones(len(moving), bool)
        for inward, place in zip(inwards, places, strict=True):
            within &= inward >= place
        more = Amount(int(within.sum()), Hours(self.length_h[moving[within]].sum()))
        return Amount(self.now.clips + more.clips, Hours(self.now.hours + more.hours)) if self.loosen else more


def _note(run: Run, search: _Search) -> str:
    """What a reader of suggestions to loosen bounds should know."""
    if not search.loosen:
        return ""
    unknown = int(search.boundless.unknown.sum())
    behind = run.gates.ops_behind(search.clips.reached[search.moving(search.boundless.kept)])
    told = [f"{count(unknown, 'clip')} never reached an op whose column a rule judges, and count for nothing."]
    told = told if unknown else []
    if behind:
        told.append(f"Clips that come in have yet to be heard by {', '.join(behind)}: one may fail there.")
    return " ".join(told)


def _loosened(inward: Floats, edge: float) -> Floats:
    """Of each clip beyond a bound the share of those there that lie nearer, below 0; 0 of all others."""
    beyond = inward < edge
    found = np.zeros(len(inward))
    found[beyond] = _ranks(inward[beyond]) - 1
    return found


def _tightened(inward: Floats) -> Floats:
    """Of each clip the share of those that lie nearer the bound; nothing is tighter than the best that there is."""
    finite = np.isfinite(inward)
    found = np.full(len(inward), np.inf)
    found[finite] = _ranks(inward[finite])
    found[inward == inward[finite].max(initial=-np.inf)] = np.inf
    return found


def _ranks(numbers: Floats) -> Floats:
    """Of each number the share of all that are less, and of half of its equals.

    >>> _ranks(np.array([3.0, 1.0, 3.0, 2.0]))
    array([0.75 , 0.125, 0.75 , 0.375])
    """
    order = np.argsort(numbers)
    ascending = numbers[order]
    less, most = (np.searchsorted(ascending, ascending, side) for side in ("left", "right"))
    found = np.empty(len(numbers))
    found[order] = (less + most) / (2 * max(1, len(numbers)))
    return found
