from __future__ import annotations

import pytest

from audiocur.errors import ConfigError
from audiocur.rules import KeepRule, OnNull, broken_rules


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        (KeepRule(column="x", min=1), [1, 1.0, 5], [0.999, None]),
        (KeepRule(column="x", max=1), [1, -5], [1.001, None]),
        (KeepRule(column="x", min=0, max=1, null=OnNull.keep), [0, 1, None], [-0.1, 1.1]),
        (KeepRule(column="x", allow=["A minor", "true"]), ["A minor", True, ["B", "A minor"]], ["C", False, [], None]),
        (KeepRule(column="x"), [0, "", False], [None]),
    ],
)
def test_bounds_are_inclusive_and_null_is_rejected_unless_kept(rule, kept, broken):
    assert [rule.broken_by(value) for value in kept] == [None] * len(kept)
    assert all(rule.broken_by(value) for value in broken)


def test_the_reason_names_column_value_and_bound():
    assert KeepRule(column="loudness_lufs", max=-5).broken_by(-3.14159) == "loudness_lufs is -3.142, above max -5"
    assert KeepRule(column="key", allow=["A minor"]).broken_by("C major") == "key is C major, not one of A minor"


def test_all_broken_rules_are_listed_in_the_recipes_order():
    rules = {"b": KeepRule(column="y", min=1), "a": KeepRule(column="x", min=1), "c": KeepRule(column="z")}
    assert [name for name, _ in broken_rules(rules, {"x": 0, "y": 0, "z": 0}.get)] == ["b", "a"]


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"min": float("nan")}, "min=nan: expected a finite number"),
        ({"max": float("inf")}, "max=inf: expected a finite number"),
        ({"allow": []}, r"allow=\[\]: expected at least one value"),
    ],
)
def test_bounds_that_no_clip_or_any_clip_meets_are_refused(bounds, message):
    with pytest.raises(ConfigError, match=message):
        KeepRule(column="x", **bounds)


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(ConfigError, match="min=2: expected at most max=1"):
        KeepRule(column="x", min=2, max=1)
