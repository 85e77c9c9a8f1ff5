"""Rules over whole columns, held against `rules.broken_rules` row by row and against what a worker does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiocur.errors import ConfigError
from audiocur.judgement import Clips, Gates, columns_of, least, require_measured
from audiocur.op import ClipOp, Column
from audiocur.pipeline import Pipeline, Step
from audiocur.records import AT_THE_END, WITHDRAWN
from audiocur.rules import KeepRule, OnNull, broken_rules, text_of

#: One op that writes x and y, and the gate behind it.
ONE = Gates(places={"op": 0, AT_THE_END: 1}, gates=(1,), writers={"x": 0, "y": 0}, when={})

FLOATS = st.sampled_from([-40.0, -23.5, 0.0, 0.1, 1.0, 1e-9]) | st.floats(width=32)
TEXTS = st.sampled_from(["A minor", "true", "", "null", "1"]) | st.text(max_size=3)
NUMBERS = [
    (pa.float64(), FLOATS | st.floats()),
    (pa.float32(), FLOATS),
    (pa.float16(), st.floats(width=16)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int32(), st.integers(-5, 5)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53, 2**53 + 1])),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
]
OTHERS = [
    (pa.bool_(), st.booleans()),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    (pa.date32(), st.dates()),
    (pa.null(), st.none()),
    (pa.list_(pa.string()), st.lists(st.none() | TEXTS, max_size=3)),
    (pa.list_(pa.float32()), st.lists(FLOATS, max_size=3)),
    (pa.list_(pa.float32(), 2), st.lists(FLOATS, min_size=2, max_size=2)),
    (pa.list_(pa.list_(pa.string())), st.lists(st.lists(TEXTS, max_size=2), max_size=2)),
    (pa.struct([("a", pa.int8())]), st.fixed_dictionaries({"a": st.integers(0, 3)})),
]


@st.composite
def columns(draw, kinds, rows):
    kind, values = draw(st.sampled_from(kinds))
    column = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
    cut = draw(st.integers(0, rows))
    return pa.chunked_array(draw(st.sampled_from([[column], [column[:cut], column[cut:]], [column[:0], column]])))


@st.composite
def rules_over(draw, name, column):
    """A rule whose bounds are often values that occur."""
    there = [value for value in column.to_pylist() if value is not None]
    elements = [each for value in there for each in (value if isinstance(value, list) else [value])]
    texts = st.sampled_from([text_of(each) for each in elements] or ["x"]) | TEXTS
    allow = draw(st.none() | st.lists(texts, min_size=1, max_size=3))
    low = high = None
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        finite = [float(value) for value in there if np.isfinite(value)]
        bounds = st.none() | st.sampled_from(finite or [0.0]) | st.floats(allow_nan=False, allow_infinity=False)
        low, high = draw(bounds), draw(bounds)
        if low is not None and high is not None and low > high:
            low, high = high, low
    return KeepRule(column=name, min=low, max=high, allow=allow, null=draw(st.sampled_from(OnNull)))


@st.composite
def ledgers(draw):
    rows = draw(st.integers(0, 6))
    there = {"x": draw(columns(NUMBERS, rows)), "y": draw(columns(NUMBERS + OTHERS, rows))}
    rules = {f"{name}{i}": draw(rules_over(name, there[name])) for name in there for i in range(2)}
    fate = {"verdict": "kept", "rule": None, "gate": None, "op": None}
    table = {name: pa.chunked_array([pa.array([value] * rows, pa.string())]) for name, value in fate.items()}
    return pa.table(table | there), rules


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(ledgers())
def test_of_clips_that_were_measured_it_says_what_a_worker_says(ledger):
    table, rules = ledger
    judged = Clips(ONE, table).judged(rules)
    rows = table.to_pylist()
    for number, row in enumerate(rows):
        broken = {name for name, _ in broken_rules(rules, row.__getitem__)}
        assert {name for name, (_, breaks, _) in judged.rules.items() if breaks[number]} == broken
        assert judged.kept[number] == (not broken)
    assert len(judged.kept) == len(rows)
    assert not judged.unknown.any()
    assert judged.settled[judged.kept | judged.rejected].all()


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
def test_a_bound_in_a_narrower_type_parts_the_same_numbers(bound, value):
    assert (np.float32(value) < least(bound, np.dtype(np.float32))) == (value < bound)
    assert (np.float32(value) > -least(-bound, np.dtype(np.float32))) == (value > bound)


# How far a clip came: ops a, encode, asr, check in this order, with a gate before each but the first.


@dataclass(frozen=True, kw_only=True)
class Writes(ClipOp):
    """An op that writes one column."""

    column: str

    @property
    def writes(self):  # type: ignore[override]
        return (Column(self.column, pa.float32(), "", ""),)


FOUR = Gates(
    places={"a": 0, "encode": 1, "asr": 2, "check": 3, AT_THE_END: 4},
    gates=(1, 2, 3, 4),
    writers={"loud": 0, "words": 2, "score": 3},
    when={"words": (KeepRule(column="loud", min=1),), "score": (KeepRule(column="words"),)},
)


def clips(*rows, gates=FOUR):
    """Each row: verdict, rule, gate or op at which it ended, and what it measured."""
    made = [
        {
            "verdict": verdict,
            "rule": rule,
            "gate": where if verdict == "rejected" else None,
            "op": where if verdict == "failed" else None,
            "loud": 2.0,
            "words": None,
            "score": None,
        }
        | measures
        for verdict, rule, where, measures in rows
    ]
    types = dict.fromkeys(("verdict", "rule", "gate", "op"), pa.string())
    return Clips(
        gates, pa.Table.from_pylist(made, pa.schema(types | dict.fromkeys(made[0].keys() - types, pa.float32())))
    )


def verdicts(judged):
    names = {"kept": judged.kept, "rejected": judged.rejected, "failed": judged.failed, "unknown": judged.unknown}
    found = [[name for name, mask in names.items() if mask[i]] for i in range(len(judged.kept))]
    assert all(len(each) == 1 for each in found)
    return [each[0] for each in found]


def test_what_nobody_measured_is_unknown_and_what_is_null_is_not():
    found = clips(
        ("kept", None, None, {"words": 0.5}),
        ("kept", None, None, {}),  # the model had nothing to say
        ("rejected", "loud", "encode", {}),  # the model was never asked
        ("rejected", "words", "check", {"words": 0.1}),
    )
    assert verdicts(found.judged({"words": KeepRule(column="words", min=0.2)})) == [
        "kept", "rejected", "unknown", "rejected"
    ]  # fmt: skip
    assert verdicts(found.judged({"words": KeepRule(column="words", min=0.2, null=OnNull.keep)})) == [
        "kept", "kept", "unknown", "rejected"
    ]  # fmt: skip
    assert verdicts(found.judged({})) == ["kept"] * 4


def test_what_is_broken_for_certain_is_not_unknown():
    found = clips(("rejected", "loud", "encode", {"loud": 0.0}))
    rules = {"loud": KeepRule(column="loud", min=1), "words": KeepRule(column="words")}
    judged = found.judged(rules)
    assert verdicts(judged) == ["rejected"]
    assert judged.settled.all()
    late = {"words": KeepRule(column="words"), "score": KeepRule(column="score", max=-1)}
    judged = clips(("rejected", "x", "encode", {"score": 3.0})).judged(late)
    assert verdicts(judged) == ["rejected"]
    assert not judged.settled.any()  # it may be rejected before, by a rule that nobody can judge


def test_a_clip_that_an_op_is_not_for_is_null_there_whatever_the_rules():
    quiet = ("rejected", "x", "encode", {"loud": 0.5})
    found = clips(quiet, ("rejected", "x", "encode", {}))
    for column in ("words", "score"):  # score follows words, which follows loud
        assert verdicts(found.judged({"r": KeepRule(column=column, null=OnNull.keep)})) == ["kept", "unknown"]
        assert verdicts(found.judged({"r": KeepRule(column=column)})) == ["rejected", "unknown"]


def test_a_failed_clip_stays_failed_unless_a_rule_stops_it_before():
    found = clips(
        ("failed", None, "a", {"loud": None}),
        ("failed", None, "encode", {"loud": 0.0}),
        ("failed", None, "check", {"words": 0.1}),
    )
    assert verdicts(found.judged({})) == ["failed"] * 3
    assert verdicts(found.judged({"loud": KeepRule(column="loud", min=1)})) == ["failed", "rejected", "failed"]
    assert verdicts(found.judged({"words": KeepRule(column="words", min=1)})) == ["failed", "failed", "rejected"]
    assert verdicts(found.judged({"score": KeepRule(column="score", min=1)})) == ["failed"] * 3


def test_the_gate_is_the_first_at_which_a_rule_is_broken():
    rules = {"score": KeepRule(column="score", min=1), "loud": KeepRule(column="loud", min=1)}
    judged = clips(("kept", None, None, {"loud": 0.0, "words": 1.0, "score": 0.0})).judged(rules)
    assert judged.broken_at.tolist() == [1]
    assert FOUR.name_of(1) == "encode"
    assert FOUR.name_of(4) == AT_THE_END


def test_what_was_withdrawn_never_comes_back():
    judged = clips(("rejected", WITHDRAWN, None, {"words": 1.0})).judged({})
    assert verdicts(judged) == ["rejected"]
    assert judged.settled.all()


def test_a_clip_that_ended_nobody_knows_where_is_known_by_its_measures_alone():
    found = clips(("rejected", "x", None, {"words": 1.0}), ("rejected", "x", None, {}))
    assert verdicts(found.judged({"words": KeepRule(column="words", min=1)})) == ["kept", "unknown"]


@pytest.mark.parametrize("chunks", [0, 1])
def test_an_empty_ledger_is_judged(chunks):
    schema = clips(("kept", None, None, {})).table.schema
    table = pa.table({field.name: pa.chunked_array([[]] * chunks, field.type) for field in schema})
    judged = Clips(FOUR, table).judged(
        {"r": KeepRule(column="words", min=1), "s": KeepRule(column="loud", allow=["1"])}
    )
    assert len(judged.kept) == len(judged.settled) == 0


def test_bounds_on_who_an_op_is_for_pass_on_with_what_it_makes(ops):
    @dataclass(frozen=True, kw_only=True)
    class Makes(Writes):
        makes = ("heard",)

    @dataclass(frozen=True, kw_only=True)
    class Takes(Writes):
        takes = ("heard",)

    when = KeepRule(column="duration_s", min=5)
    gates = Gates.of(
        Pipeline(
            (
                *(ops.Tone() >> ops.Halves()).steps,
                Step("makes", Makes(column="x"), when),
                Step("takes", Takes(column="y"), KeepRule(column="x")),
            )
        )
    )
    assert gates.when == {"x": (when,), "y": (KeepRule(column="x"), when)}
    assert columns_of(gates, {"y": KeepRule(column="y")})[-3:] == ["y", "x", "duration_s"]


def test_a_rule_over_what_was_not_measured_is_refused():
    with pytest.raises(
        ConfigError, match=r"keep.words.column=words: was not measured in this run; expected one of loud"
    ):
        require_measured({"words": KeepRule(column="words", min=1)}, ["loud"])
