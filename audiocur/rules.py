"""Keep rules: thresholds over measures, apart from the ops that took them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from audiocur.errors import ConfigError


class OnNull(StrEnum):
    """What a rule makes of a measure that is undefined."""

    reject = "reject"
    keep = "keep"


@dataclass(frozen=True, kw_only=True)
class KeepRule:
    """A clip is kept if `column` lies within the bounds.

    Attributes:
        column: the column it judges.
        min, max: bounds, inclusive, for numbers.
        allow: the values allowed, for texts, truth values (written true, false) and lists (one of them suffices).
        null: whether a clip without the measure is rejected (default) or kept.

    >>> rule = KeepRule(column="loudness_lufs", min=-40)
    >>> rule.broken_by(-41.25), rule.broken_by(-20.0), rule.broken_by(None)
    ('loudness_lufs is -41.25, below min -40', None, 'loudness_lufs is null')
    >>> KeepRule(column="license", allow=["CC0-1.0"]).broken_by("CC-BY-NC-4.0")
    'license is CC-BY-NC-4.0, not one of CC0-1.0'
    """

    column: str
    min: float | None = None
    max: float | None = None
    allow: list[str] | None = field(default=None)
    null: OnNull = OnNull.reject

    def __post_init__(self) -> None:
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not math.isfinite(bound):
                raise ConfigError(f"{name}={bound}: expected a finite number")
        if self.allow is not None and not self.allow:
            raise ConfigError("allow=[]: expected at least one value")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ConfigError(f"min={self.min:g}: expected at most max={self.max:g}")

    @property
    def bounds(self) -> str:
        """The rule in words, "loudness_lufs from -40 to -5"."""
        parts = [f"from {self.min:g}"] if self.min is not None else []
        parts += [f"to {self.max:g}"] if self.max is not None else []
        parts += [f"one of {', '.join(self.allow)}"] if self.allow is not None else []
        return f"{self.column} {' '.join(parts) or 'known'}" + (", or null" if self.null is OnNull.keep else "")

    def broken_by(self, value: Any) -> str | None:
        """Why the value breaks the rule, or None if it does not."""
        if value is None:
            return None if self.null is OnNull.keep else f"{self.column} is null"
        if self.min is not None and value < self.min:
            return f"{self.column} is {text_of(value)}, below min {self.min:g}"
        if self.max is not None and value > self.max:
            return f"{self.column} is {text_of(value)}, above max {self.max:g}"
        if self.allow is not None and not {text_of(v) for v in (value if isinstance(value, list) else [value])} & set(
            self.allow
        ):
            return f"{self.column} is {text_of(value)}, not one of {', '.join(self.allow)}"
        return None


Rules = Mapping[str, KeepRule]


def broken_rules(rules: Rules, value_of: Callable[[str], Any]) -> Sequence[tuple[str, str]]:
    """Every rule broken, in the recipe's order, as (name of the rule, why)."""
    return [(name, why) for name, rule in rules.items() if (why := rule.broken_by(value_of(rule.column))) is not None]


def text_of(value: Any) -> str:
    """A value as rules write it: what `allow` is held against.

    >>> text_of(True), text_of(0.123456), text_of(["a", "b"])
    ('true', '0.1235', 'a, b')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(text_of, value)) if isinstance(value, list) else str(value)
