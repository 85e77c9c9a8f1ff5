"""Ops in order, checked before any work, and split into the stages that an engine runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from audiocur.errors import ConfigError
from audiocur.op import ClipOp, Column, Decoder, Encoder, ModelOp, Op, Segmenter, SpanOp
from audiocur.placement import Placement, Via
from audiocur.records import WITHDRAWN
from audiocur.rules import KeepRule, Rules
from audiocur.schema import BASE_COLUMNS, known_at_the_cut

if TYPE_CHECKING:
    from audiocur.run import Summary


@dataclass(frozen=True)
class Step:
    """An op under its name in the recipe.

    Attributes:
        name: its key.
        op: what it does.
        when: a bound on an earlier column, of the clips that it is for; the columns of the others are null.
    """

    name: str
    op: Op
    when: KeepRule | None = None


@dataclass(frozen=True)
class Stage:
    """Consecutive steps that share hardware, run as one operator of the engine.

    Attributes:
        steps: in order.
        placement: where they run.
        known: columns known before the first of them.
        rules: the active keep rules of the whole pipeline.
        final: no stage follows: what is still open at its end is kept.
        passes_on: names of `Clip.features` that later stages take.
    """

    steps: tuple[Step, ...]
    placement: Placement
    known: frozenset[str]
    rules: Rules
    final: bool
    passes_on: frozenset[str] = frozenset()

    @property
    def names(self) -> str:
        """The steps' names, "decode → vad → segment"."""
        return " → ".join(step.name for step in self.steps)

    @property
    def label(self) -> str:
        """The same in ASCII, "decode-vad-segment": what an engine may call its processes by."""
        return ascii("-".join(step.name for step in self.steps)).strip("'")

    @property
    def timeout_s(self) -> float | None:
        """How long one span may take in it, null for ever."""
        return next((step.op.timeout_s for step in self.steps if isinstance(step.op, Decoder)), None)


@dataclass(frozen=True)
class Pipeline:
    """Ops in order, with the keep rules over what they write. Build one with ``>>`` or from a recipe.

    >>> from audiocur.ops.transform.decode import Decode
    >>> from audiocur.ops.segment.window import Window
    >>> from audiocur.ops.measure.loudness import Loudness
    >>> pipeline = Decode() >> Window(length_s=10) >> Loudness()
    >>> [step.name for step in pipeline.steps]
    ['decode', 'segment', 'loudness']
    """

    steps: tuple[Step, ...]
    rules: Rules = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)

    @classmethod
    def of(cls, *ops: Op) -> Pipeline:
        """A pipeline of ops, each under its own name."""
        return cls(tuple(Step(op.name, op) for op in ops))

    def __rshift__(self, other: Op | Pipeline) -> Pipeline:
        added = other.steps if isinstance(other, Pipeline) else Pipeline.of(other).steps
        return replace(self, steps=self.steps + added)

    def run(self, source: Any, output: str, **settings: Any) -> Summary:
        """Run it over a folder, manifest or source object into a run directory; see `audiocur.run.run`."""
        from audiocur.job import Job
        from audiocur.run import run

        return run(Job.of(self, source, output, **settings))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column its ops write, in order."""
        return tuple(column for step in self.steps for column in step.op.writes)

    @property
    def encoder(self) -> Encoder | None:
        """The op that stores audio, if there is one."""
        return next((step.op for step in self.steps if isinstance(step.op, Encoder)), None)

    @property
    def span_mb(self) -> int | None:
        """The largest span its decoder makes, in MB; null where nobody can tell."""
        return next((step.op.span_mb for step in self.steps if isinstance(step.op, Decoder)), None)

    @property
    def cuts_nothing(self) -> bool:
        """Whether a clip may be as long as its span."""
        return any(step.op.whole for step in self.steps if isinstance(step.op, Segmenter))

    def active_rules(self, meta: Iterable[pa.Field] = ()) -> Rules:
        """The keep rules whose column is known by the end; the others have nothing to judge."""
        known = known_at_the_cut(meta) | {column.name for column in self.columns}
        return {name: rule for name, rule in self.rules.items() if rule.column in known}

    def inactive_rules(self, meta: Iterable[pa.Field] = ()) -> tuple[str, ...]:
        """Names of the keep rules that have nothing to judge."""
        active = self.active_rules(meta)
        return tuple(name for name in self.rules if name not in active)

    def check(self, meta: Iterable[pa.Field] = ()) -> None:
        """Refuse what cannot work.

        Args:
            meta: the source's further columns, that keep rules may judge.

        Raises:
            ConfigError: a step out of order, a name or column twice, or a read that no earlier op writes.
        """
        meta = list(meta)
        self._check_order()
        self._check_placements()
        written: dict[str, str] = {}
        made: set[str] = set()
        for step in self.steps:
            for name in step.op.takes:
                if name not in made:
                    raise ConfigError(f"pipeline: {step.name} takes {name}, but no op before it makes any")
            made |= set(step.op.makes)
            self._check_when(step, written, meta)
            for name in step.op.reads:
                if name not in written and name not in known_at_the_cut():
                    writers = [later.name for later in self.steps if name in {c.name for c in later.op.writes}]
                    hint = f"move {writers[0]} before it" if writers else "no op in the pipeline writes it"
                    raise ConfigError(f"pipeline: {step.name} reads {name}, but {hint}")
            for column in step.op.writes:
                if column.name in BASE_COLUMNS or column.name in written:
                    writer = written.get(column.name, "every run")
                    raise ConfigError(f"pipeline: {step.name} writes {column.name}, which {writer} writes already")
                written[column.name] = step.name
        self._check_rules(meta)

    def _check_when(self, step: Step, written: Mapping[str, str], meta: Sequence[pa.Field]) -> None:
        if step.when is None:
            return
        if not isinstance(step.op, ClipOp | ModelOp) or isinstance(step.op, Encoder):
            raise ConfigError(f"{step.name}.when: {step.name} is for all of a span; expected it of an op on clips")
        if step.when.column not in written and step.when.column not in known_at_the_cut(meta):
            raise ConfigError(f"{step.name}.when.column={step.when.column}: expected a column of an op before it")
        self._check_bounds(f"{step.name}.when", step.when, meta)

    def _check_rules(self, meta: list[pa.Field]) -> None:
        """Refuse bounds on a text, which would fail on every clip, and a name that says something else."""
        if WITHDRAWN in self.rules:
            raise ConfigError(
                f"keep.{WITHDRAWN}: so the ledger calls what was taken out on demand; expected another name"
            )
        for name, rule in self.active_rules(meta).items():
            self._check_bounds(f"keep.{name}", rule, meta)

    def _check_bounds(self, name: str, rule: KeepRule, meta: Sequence[pa.Field]) -> None:
        types = {column.name: column.type for column in (*BASE_COLUMNS.values(), *self.columns)}
        types |= {f"meta_{field.name}": field.type for field in meta}
        kind = types[rule.column]
        number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if not number and (rule.min is not None or rule.max is not None):
            raise ConfigError(f"{name}: {rule.column} is no number; expected allow=[...], not min or max")

    def _check_order(self) -> None:
        names = [step.name for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"pipeline: {twice[0]} stands in it twice; expected each op once")
        for position, step in enumerate(self.steps):
            before = [earlier.op for earlier in self.steps[:position]]
            if (position == 0) != isinstance(step.op, Decoder):
                raise ConfigError(
                    f"pipeline: {step.name} at place {position + 1}: expected decode first, and only there"
                )
            for kind, word in ((Segmenter, "segment"), (Encoder, "encode")):
                if isinstance(step.op, kind) and any(isinstance(op, kind) for op in before):
                    raise ConfigError(f"pipeline: {step.name} is a second {word} op; expected one")
            if isinstance(step.op, ClipOp | ModelOp) and not any(isinstance(op, Segmenter) for op in before):
                raise ConfigError(
                    f"pipeline: {step.name} works on clips, but nothing before it cuts any: expected segment"
                )
            if isinstance(step.op, ModelOp) and not any(isinstance(op, Encoder) for op in before):
                raise ConfigError(
                    f"pipeline: {step.name} is a model, which hears stored clips: expected encode before it"
                )
            if isinstance(step.op, SpanOp) and any(isinstance(op, Encoder) for op in before):
                raise ConfigError(f"pipeline: {step.name} works on spans: expected it before encode")
        for name in self.placements:
            if name not in names:
                raise ConfigError(f"placement.{name}: expected an op of the pipeline: {', '.join(names)}")

    def _check_placements(self) -> None:
        for step in self.steps:
            where = self._placement(step)
            model = isinstance(step.op, ModelOp)
            if where.via is Via.serve and not model:
                raise ConfigError(
                    f"placement.{step.name}.via=serve: expected an op with a model, which {step.name} is not"
                )
            if where.via is Via.task and where.gpus and model:
                # Ray ends the process of such a task with it, and each would load the model again.
                raise ConfigError(
                    f"placement.{step.name}.gpus={where.gpus:g}: expected via=actor or via=serve beside it"
                )

    def plan(self, meta: Iterable[pa.Field] = ()) -> tuple[Stage, ...]:
        """The stages that an engine runs: neighbours with the same placement are fused.

        Raises:
            ConfigError: as `check`, or an op placed off the decode stage although it hears undecoded audio.
        """
        meta = list(meta)
        self.check(meta)
        groups: list[list[Step]] = []
        encoded = False
        for step in self.steps:
            here = self._placement(step)
            if not groups or self._placement(groups[-1][-1]) != here:
                if groups and not encoded:
                    raise ConfigError(
                        f"placement.{step.name}: {here.where} is apart from {groups[-1][-1].name}, and decoded audio "
                        "does not travel: expected the same placement, or an op that follows encode"
                    )
                groups.append([])
            groups[-1].append(step)
            encoded = encoded or isinstance(step.op, Encoder)
        rules = self.active_rules(meta)
        known = known_at_the_cut(meta)
        stages = []
        for i, group in enumerate(groups):
            later = frozenset(name for steps in groups[i + 1 :] for step in steps for name in step.op.takes)
            stages.append(Stage(tuple(group), self._placement(group[0]), known, rules, i == len(groups) - 1, later))
            known |= {column.name for step in group for column in step.op.writes}
        return tuple(stages)

    def _placement(self, step: Step) -> Placement:
        return self.placements.get(step.name, Placement())
