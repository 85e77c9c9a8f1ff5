"""A pipeline as it is drawn, in text and as a picture: its stages, and in each the ops with the gates between them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from audiocur.job import Job
from audiocur.judgement import Gates
from audiocur.op import Encoder
from audiocur.pipeline import Step
from audiocur.placement import Via
from audiocur.rules import KeepRule
from audiocur.store.recipe import describe


@dataclass(frozen=True)
class Gate:
    """Where keep rules apply for the first time: those whose column is known by then, by name."""

    rules: tuple[tuple[str, KeepRule], ...]

    @property
    def lines(self) -> list[str]:
        """A line a rule, "keep.loudness: loudness_lufs from -40 to -5"."""
        return [f"keep.{name}: {rule.bounds}" for name, rule in self.rules]


@dataclass(frozen=True)
class DrawnStage:
    """A stage.

    Attributes:
        title: its number and where it runs, "Stage 1: tasks of 1 CPU, 2 at once".
        rows: its steps in order, and gates before some of them; one after the last.
        passes_on: what goes from it to the next stage, or into the run.
    """

    title: str
    rows: tuple[Step | Gate, ...]
    passes_on: str


def drawn_stages(job: Job) -> tuple[DrawnStage, ...]:
    """The stages of a job.

    Raises:
        ConfigError: what the pipeline cannot be run as.
    """
    stages = job.stages()
    gates = Gates.of(job.pipeline)
    rules: defaultdict[int, list[tuple[str, KeepRule]]] = defaultdict(list)
    for name, rule in job.pipeline.active_rules(job.source.meta_fields()).items():
        rules[gates.gate_of(rule.column)].append((name, rule))
    drawn, place = [], 0
    for number, stage in enumerate(stages, 1):
        rows: list[Step | Gate] = []
        for step in stage.steps:
            rows += [Gate(tuple(rules[place]))] if rules[place] else []
            rows.append(step)
            place += 1
        if stage.final and rules[place]:
            rows.append(Gate(tuple(rules[place])))
        title = f"Stage {number}: {stage.placement.where}"
        title += f", {job.engine.workers} at once" if stage.placement.via is Via.task else ""
        made = "clips as they are stored, and their columns" + "".join(f", {name}" for name in sorted(stage.passes_on))
        drawn.append(DrawnStage(title, tuple(rows), _committed(job) if stage.final else made))
    return tuple(drawn)


def parameters(step: Step) -> str:
    """What an op is called with, "min_s=5.0, max_s=30.0; when voiced_ratio from 0.1"."""
    values: dict[str, Any] = {key: value for key, value in describe(step.op).items() if key != "_target_"}
    shown = ", ".join(f"{key}={'' if value is None else value}" for key, value in values.items())
    return shown + (f"; when {step.when.bounds}" if step.when else "")


def written(step: Step) -> str:
    """The columns that an op writes; an encoder writes the audio as well."""
    audio = ["audio"] if isinstance(step.op, Encoder) else []
    return ", ".join([*audio, *(column.name for column in step.op.writes)])


def _committed(job: Job) -> str:
    if job.pipeline.encoder is None:
        return "every span and every clip, with all columns, into the ledger"
    return "kept clips into shards; every span and every clip, with all columns, into the ledger"
