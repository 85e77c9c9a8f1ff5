"""Suggested bounds do what their row says, and none that lies nearer would."""

from __future__ import annotations

import shlex

import pytest

from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError
from audiocur.inspect.opened import open_run
from audiocur.job import Job
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.rules import KeepRule, OnNull
from audiocur.run import run
from tests.inspect.judged import Fussy, Guess, Heard, write_library

RULES = {
    "level": KeepRule(column="level_db", min=-24, max=-10),
    "changes": KeepRule(column="sign_changes", min=530),
    "year": KeepRule(column="meta_year", min=1971, null=OnNull.keep),
    "moods": KeepRule(column="moods"),
}
CUT = Decode(span_s=8) >> Window(length_s=0.5) >> Heard() >> Fussy() >> Encode()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("judged") / "library")


@pytest.fixture(scope="module")
def opened(library, tmp_path_factory):
    output = tmp_path_factory.mktemp("judged") / "run"
    run(Job.of(CUT, library, output, keep=RULES, engine=LocalEngine()))
    return open_run(output)


@pytest.fixture(scope="module")
def modelled(library, tmp_path_factory):
    """The same with a model, whose guess is judged."""
    output = tmp_path_factory.mktemp("judged") / "run"
    rules = RULES | {"guess": KeepRule(column="guess", min=40)}
    run(Job.of(CUT >> Guess(), library, output, keep=rules, engine=LocalEngine()))
    return open_run(output)


def changes_of(row):
    """What a row tells to type, as changes."""
    return dict(word.split("=") for word in shlex.split(row["to type"]))


def kept_by(opened, changes):
    return opened.whatif({key: float(value) for key, value in changes.items()}).after


def hours_at_most(opened):
    """What is kept without any bound on numbers."""
    sides = [(name, side) for name, rule in opened.rules.items() for side in ("min", "max") if getattr(rule, side)]
    return opened.whatif({f"{name}.{side}": None for name, side in sides}).after.hours


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 1.1, 1.4, 1.8, 2.5])
def test_every_row_gives_what_it_says_and_at_least_what_was_asked_for(opened, share):
    now = opened.whatif({}).before
    target = share * now.hours
    found = opened.suggest(target)
    assert [row["bound"] for row in found] == ["level.min", "level.max", "changes.min", "year.min", "all together"]
    for row in found:
        if row["to type"]:
            assert kept_by(opened, changes_of(row)) == (row["clips"], pytest.approx(row["audio"]))
            assert row["audio"] >= target * (1 - 1e-9)
        else:
            assert str(row["would be"]).startswith("cannot")
            assert row["audio"] < target or share < 1
    most = hours_at_most(opened)
    assert bool(list(found)[-1]["to type"]) == (target <= most)


def exact(opened, name, side, target):
    """The tightest bound among the values that occur which keeps as much, by trying each."""
    rule = opened.rules[name]
    values = {value for value in opened.clip_columns([rule.column])[rule.column].to_pylist() if value is not None}
    values = {value for value in values if side == "max" or rule.max is None or value <= rule.max}
    values = {value for value in values if side == "min" or rule.min is None or value >= rule.min}
    held = [float(v) for v in values if kept_by(opened, {f"{name}.{side}": v}).hours >= target * (1 - 1e-9)]
    return (max if side == "min" else min)(held, default=None)


@pytest.mark.parametrize("share", [0.4, 1.2])
def test_no_bound_that_is_tighter_would_do(opened, share):
    target = share * opened.whatif({}).before.hours
    told = 0
    for row in opened.suggest(target):
        name, _, side = row["bound"].partition(".")
        if side and row["to type"]:
            best = exact(opened, name, side, target)
            # Rounded to the loose side, by what keeps a hundredth more at most: here, no clip.
            assert row["would be"] == pytest.approx(best, rel=0.01)
            assert (row["would be"] <= best) if side == "min" else (row["would be"] >= best)
            assert kept_by(opened, {row["bound"]: best}).clips == row["clips"]
            told += 1
    assert told >= 2


def test_bounds_are_told_in_few_digits(opened):
    shown = [row["would be"] for row in opened.suggest(0.5 * opened.whatif({}).before.hours) if row["to type"]]
    assert all(len(str(abs(value)).replace(".", "").strip("0")) <= 6 for value in shown if isinstance(value, float))


def test_bounds_move_to_their_own_side(opened):
    now = opened.whatif({}).before.hours
    for share, looser in ((0.5, False), (1.5, True)):
        for row in opened.suggest(share * now):
            if row["now"] is not None and row["to type"]:
                side = 1 if row["bound"].endswith("min") else -1
                assert (side * (row["would be"] - row["now"]) < 0) == looser


def test_together_every_bound_moves_less_than_it_would_alone(opened):
    found = {row["bound"]: row for row in opened.suggest(1.3 * opened.whatif({}).before.hours)}
    moved = changes_of(found["all together"])
    for key, value in moved.items():
        alone = found[key.removeprefix("keep.")]
        if alone["to type"]:
            side = 1 if key.endswith("min") else -1
            assert side * float(value) >= side * alone["would be"]
    assert "% of what lies beyond each" in found["all together"]["would be"]


def test_what_nobody_measured_counts_for_nothing_and_is_told(modelled):
    now = modelled.whatif({}).before.hours
    found = modelled.suggest(now + 0.5 / 3600)
    assert "never reached an op whose column a rule judges, and count for nothing" in found.note
    for row in found:
        if row["to type"]:
            assert kept_by(modelled, changes_of(row)).clips == row["clips"]
    assert modelled.suggest(now / 2).note == ""


def test_clips_that_come_in_may_yet_fail_which_is_told(opened):
    assert "have yet to be heard by encode" in opened.suggest(1.2 * opened.whatif({}).before.hours).note


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_no_number_of_hours_is_refused(opened, hours):
    with pytest.raises(ConfigError, match=r"target_hours=.*: expected a number of hours above 0"):
        opened.suggest(hours)


def test_a_run_without_bounds_has_none_to_suggest(library, tmp_path):
    run(Job.of(CUT, library, tmp_path / "run", keep={}, engine=LocalEngine()))
    assert len(open_run(tmp_path / "run").suggest(1)) == 0
