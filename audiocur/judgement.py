"""Keep rules over whole columns of a ledger: what other rules would make of clips that were measured long ago.

A worker judges one clip at a time, at each gate, as its columns become known; here the same is worked out for all clips
at once. What nobody measured, because the clip was rejected before that op, is told apart from what is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from audiocur.errors import ConfigError
from audiocur.op import Encoder, ModelOp
from audiocur.pipeline import Pipeline, Step
from audiocur.records import AT_THE_END, WITHDRAWN
from audiocur.rules import KeepRule, OnNull, Rules, text_of

Mask = NDArray[np.bool_]
Places = NDArray[np.int16]

#: Columns of the ledger that tell how far a clip came.
FATE = ("clip_id", "verdict", "rule", "gate", "op")


@dataclass(frozen=True)
class Gates:
    """Where in a pipeline rules apply.

    Places count the ops from 0; that of a gate is the place of the op behind it, `end` that of the last gate.

    Attributes:
        places: of each op, by name, and of `AT_THE_END`.
        gates: places of the gates, in order.
        writers: for each column that an op writes, its place.
        stores: an op stores audio, so that a clip which is not kept has to be heard again to be.
        when: for each of those columns, the bounds on the clips that its op is for: its own, and those of the ops that
            make what it takes.
    """

    places: Mapping[str, int]
    gates: tuple[int, ...]
    writers: Mapping[str, int]
    when: Mapping[str, tuple[KeepRule, ...]]
    stores: bool = True

    @classmethod
    def of(cls, pipeline: Pipeline) -> Gates:
        """Those of a pipeline.

        >>> from audiocur import Decode, Encode, Loudness, Window
        >>> gates = Gates.of(Decode() >> Window(length_s=10) >> Loudness() >> Encode())
        >>> gates.gates, gates.gate_of("loudness_lufs"), gates.gate_of("duration_s")
        ((3, 4), 3, 3)
        """
        steps = pipeline.steps
        gates = [i for i, step in enumerate(steps) if isinstance(step.op, Encoder | ModelOp)]
        return cls(
            places={step.name: i for i, step in enumerate(steps)} | {AT_THE_END: len(steps)},
            gates=(*gates, len(steps)),
            writers={column.name: i for i, step in enumerate(steps) for column in step.op.writes},
            stores=pipeline.encoder is not None,
            when={column.name: when for step, when in _conditions(steps) for column in step.op.writes},
        )

    @property
    def end(self) -> int:
        """The place of the last gate."""
        return self.gates[-1]

    def gate_of(self, column: str) -> int:
        """The first gate at which a column is known."""
        written = self.writers.get(column, -1)
        return next(gate for gate in self.gates if gate > written)

    def name_of(self, gate: int) -> str:
        """The op behind a gate, `AT_THE_END` for the last."""
        return next(name for name, place in self.places.items() if place == gate)

    def ops_behind(self, reached: Places) -> list[str]:
        """The ops that one or another of some clips has yet to be heard by."""
        first = reached.min(initial=self.end)
        return [name for name, place in self.places.items() if first <= place < self.end]


@dataclass(frozen=True)
class Clips:
    """The clips of a ledger, with the columns that rules judge.

    Attributes:
        gates: of the pipeline that measured them.
        table: a row a clip: the columns of `FATE`, and those of the rules (see `columns_of`).
    """

    gates: Gates
    table: pa.Table
    _values: dict[str, tuple[NDArray[Any], Mask]] = field(default_factory=dict, repr=False)

    @cached_property
    def kept(self) -> Mask:
        """Which are in the shards."""
        return self._are("verdict", "kept")

    @cached_property
    def failed(self) -> Mask:
        """Which failed."""
        return self._are("verdict", "failed")

    @cached_property
    def withdrawn(self) -> Mask:
        """Which were withdrawn."""
        return self._are("rule", WITHDRAWN)

    @cached_property
    def reached(self) -> Places:
        """How far each came: the place of the gate or op at which it ended."""
        places = dict(self.gates.places)
        # A rejected clip of a ledger that does not say where came as far as nobody knows: nowhere, to be sure.
        rejected = _looked_up(self.table["gate"], lambda name: places.get(name, 0))
        failed = _looked_up(self.table["op"], lambda name: places.get(name, 0))
        kept = np.where(self.kept, np.int16(self.gates.end), rejected)
        return np.where(self.failed, failed, kept)

    def numbers(self, column: str) -> tuple[NDArray[Any], Mask]:
        """A column of numbers in its own type, and where it is null."""
        if column not in self._values:
            values = self.table[column]
            self._values[column] = np.asarray(pc.fill_null(values, 0)), np.asarray(pc.is_null(values))
        return self._values[column]

    def null(self, column: str) -> Mask:
        """Where a column is null."""
        found: Mask = np.asarray(pc.is_null(self.table[column]))
        return found

    def breaking(self, rule: KeepRule) -> tuple[Mask, Mask]:
        """Which clips break a rule, as far as their columns are known, and where they are not.

        What comes too late for a clip that failed is no longer asked of it, and neither broken nor unknown.
        """
        known, broken = self._known_and_broken(rule)
        asked = (self.reached >= self.gates.gate_of(rule.column)) | ~self.failed
        return broken & asked, ~known & asked

    def _known_and_broken(self, rule: KeepRule) -> tuple[Mask, Mask]:
        """Where the column of a rule is known, and where it is and breaks the rule."""
        null, outside = self._against(rule)
        measured: Mask = self.reached > self.gates.writers.get(rule.column, -1)
        known = measured | ~null
        for when in self.gates.when.get(rule.column, ()):
            # Whatever the rules, the column's op would not have been for these: the column is null.
            known |= self._known_and_broken(when)[1]
        return known, known & (outside | (null & (rule.null is OnNull.reject)))

    def _against(self, rule: KeepRule) -> tuple[Mask, Mask]:
        """Where a rule's column is null, and where it is not and lies outside the bounds."""
        if rule.min is not None or rule.max is not None:
            values, null = self.numbers(rule.column)
            outside = np.zeros(len(values), bool)
            if rule.min is not None:
                outside |= values < least(rule.min, values.dtype)
            if rule.max is not None:
                outside |= values > -least(-rule.max, values.dtype)
        else:
            null = self.null(rule.column)
            outside = np.zeros(len(null), bool)
        if rule.allow is not None:
            outside |= ~_allowed(self.table[rule.column], frozenset(rule.allow))
        return null, outside & ~null

    def judged(self, rules: Rules) -> Judged:
        """What these rules make of every clip."""
        return Judged(self, {name: (rule, *self.breaking(rule)) for name, rule in rules.items()})

    def _are(self, column: str, value: str) -> Mask:
        found: Mask = np.asarray(pc.fill_null(pc.equal(self.table[column], value), False))
        return found


@dataclass(frozen=True)
class Judged:
    """What some rules make of clips.

    Attributes:
        clips: whom they judged.
        rules: each rule with which clips break it, and of which that is unknown.
    """

    clips: Clips
    rules: Mapping[str, tuple[KeepRule, Mask, Mask]]

    def _first(self, which: Callable[[KeepRule, Mask, Mask], Mask]) -> Places:
        """The first gate of a rule that something is so of, beyond `end` if there is none."""
        first = np.full(len(self.clips.kept), self.clips.gates.end + 1, np.int16)
        for rule, broken, unknown in self.rules.values():
            gate = self.clips.gates.gate_of(rule.column)
            np.copyto(first, np.minimum(first, gate), where=which(rule, broken, unknown))
        return first

    @cached_property
    def broken_at(self) -> Places:
        """The first gate at which each breaks a rule, beyond `end` if it breaks none."""
        return self._first(lambda rule, broken, unknown: broken)

    @cached_property
    def unknown_at(self) -> Places:
        """The first gate at which it is unknown whether a rule is broken, beyond `end` if all is known."""
        return self._first(lambda rule, broken, unknown: unknown)

    @cached_property
    def rejected(self) -> Mask:
        """Clips that are rejected whatever is unknown."""
        return (self.broken_at <= self.clips.gates.end) | self.clips.withdrawn

    @cached_property
    def failed(self) -> Mask:
        """Clips that failed, and are not rejected before they would."""
        return self.clips.failed & ~self.rejected

    @cached_property
    def kept(self) -> Mask:
        """Clips that are kept, as far as measures can tell: an op that has yet to hear one may fail on it."""
        return ~self.rejected & ~self.failed & (self.unknown_at > self.clips.gates.end)

    @cached_property
    def unknown(self) -> Mask:
        """Clips that break nothing known, and lack a column of which a rule speaks."""
        return ~self.rejected & ~self.failed & (self.unknown_at <= self.clips.gates.end)

    @property
    def settled(self) -> Mask:
        """Clips whose verdict, gate and broken rules are all known without running an op.

        That a column must be null, because its op is not for the clip, is not enough: an op before it might fail.
        """
        clips, end = self.clips, self.clips.gates.end

        def inferred(rule: KeepRule, broken: Mask, _: Mask) -> Mask:
            return broken & clips.null(rule.column) & (clips.reached < clips.gates.gate_of(rule.column))

        broken_at = self._first(lambda rule, broken, unknown: broken & ~inferred(rule, broken, unknown))
        guessed_at = np.minimum(self.unknown_at, self._first(inferred))
        rejected = clips.withdrawn | (self.rejected & (broken_at < guessed_at))
        here = clips.kept if clips.gates.stores else clips.reached == end
        return rejected | self.failed | (self.kept & here)


def columns_of(gates: Gates, *rules: Rules) -> list[str]:
    """The columns that `Clips` needs to be judged by some rules."""
    found = dict.fromkeys(FATE)
    asked = [rule.column for some in rules for rule in some.values()]
    while asked:
        column = asked.pop(0)
        found[column] = None
        asked += [when.column for when in gates.when.get(column, ())]
    return list(found)


def require_measured(rules: Rules, there: Iterable[str]) -> None:
    """Refuse a rule over a column that the ledger does not have.

    Raises:
        ConfigError: it names the rule.
    """
    from audiocur.build import closest

    known = sorted(there)
    for name, rule in rules.items():
        if rule.column not in known:
            near = closest(rule.column, known)
            raise ConfigError(f"keep.{name}.column={rule.column}: was not measured in this run{near}")


def _conditions(steps: Sequence[Step]) -> Iterator[tuple[Step, tuple[KeepRule, ...]]]:
    """Each step with the bounds on the clips that it is for."""
    of_feature: dict[str, tuple[KeepRule, ...]] = {}
    for step in steps:
        taken = [when for name in step.op.takes for when in of_feature.get(name, ())]
        when = (*([step.when] if step.when else []), *taken)
        of_feature |= dict.fromkeys(step.op.makes, when)
        yield step, when


def least(bound: float, kind: np.dtype[Any]) -> Any:
    """The least number of a type that is not below a bound: what lies below it, lies below the bound.

    >>> float(least(0.1, np.dtype(np.float32))) >= 0.1, least(2.5, np.dtype(np.int64))
    (True, 3)
    """
    if kind.kind in "iu":
        return math.ceil(bound)
    with np.errstate(over="ignore"):  # a bound beyond all numbers of the type is infinite
        near = kind.type(bound)
    return near if float(near) >= bound else np.nextafter(near, kind.type(np.inf))


def _looked_up(values: pa.ChunkedArray, number_of: Callable[[Any], int]) -> Places:
    """A number for each value, worked out once for all that are equal."""
    if pa.types.is_nested(values.type):
        return np.array([number_of(value) for value in values.to_pylist()], np.int16)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    chunks = values.dictionary_encode("encode").chunks  # of one dictionary, in which null has a code as well
    if not chunks:
        return np.zeros(0, np.int16)
    numbers: Places = np.array([number_of(value) for value in chunks[0].dictionary.to_pylist()], np.int16)
    return numbers.take(np.concatenate([np.asarray(chunk.indices) for chunk in chunks]))


def _allowed(values: pa.ChunkedArray, allow: frozenset[str]) -> Mask:
    """Which values, or one of the values of a list, are allowed; of null it says nothing."""

    def is_allowed(value: Any) -> bool:
        return text_of(value) in allow

    if not _is_list(values.type):
        return _looked_up(values, is_allowed) > 0
    found = [np.zeros(0, bool)]
    for chunk in values.chunks:
        some = np.zeros(len(chunk), bool)
        one = _looked_up(pa.chunked_array([pc.list_flatten(chunk)]), is_allowed) > 0
        some[np.asarray(pc.list_parent_indices(chunk))[one]] = True
        found.append(some)
    return np.concatenate(found)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
