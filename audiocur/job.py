"""All that a run needs, checked and typed, and the recipe that it amounts to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from audiocur import __version__
from audiocur.checkpoints import OwnFile, hashes
from audiocur.engine.base import Engine
from audiocur.engine.ray import RayEngine
from audiocur.errors import require
from audiocur.op import ModelOp
from audiocur.pipeline import Pipeline, Stage, Step
from audiocur.placement import Placement
from audiocur.planning import Split
from audiocur.redo import Redo
from audiocur.rules import Rules
from audiocur.sources import open_source
from audiocur.sources.base import SourceSet
from audiocur.storage import is_url, open_store
from audiocur.storage.base import Store
from audiocur.store.recipe import describe, fingerprint


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a run gives up.

    Attributes:
        max_attempts: how often a span may kill its worker before it is recorded as failed.
        max_unexpected_ratio: share of clips that one op may fail on by a bug of its own before the run stops.
    """

    max_attempts: int = 3
    max_unexpected_ratio: float = 0.5

    def __post_init__(self) -> None:
        require(self.max_attempts > 0, "max_attempts", self.max_attempts, "a number of attempts, 1 or more")
        in_range = 0 < self.max_unexpected_ratio <= 1
        require(in_range, "max_unexpected_ratio", self.max_unexpected_ratio, "a ratio above 0, up to 1")


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a run needs, checked and typed."""

    pipeline: Pipeline
    source: SourceSet
    output: Store
    engine: Engine = field(default_factory=RayEngine)
    split: Split = field(default_factory=Split)
    limits: Limits = field(default_factory=Limits)
    redo: Redo | None = None
    report: bool = False

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        source: SourceSet | str | Path,
        output: str | Path,
        *,
        keep: Rules | None = None,
        **settings: Any,
    ) -> Job:
        """A job from Python.

        Args:
            pipeline: the ops.
            source: a source, or the path of a folder or manifest.
            output: the run directory.
            keep: keep rules by name; default: the pipeline's own.
            settings: `engine`, `split`, `limits`, `redo` and `report`, whether the run ends with one.

        Raises:
            ConfigError: an output that is no directory.
        """
        require(str(output) not in ("", "."), "output", output, "a directory")
        return cls(
            pipeline=pipeline if keep is None else replace(pipeline, rules=keep),
            source=source if isinstance(source, SourceSet) else open_source(source),
            output=open_store(output if is_url(str(output)) else Path(output).expanduser()),
            **settings,
        )

    def stages(self) -> tuple[Stage, ...]:
        """The checked stages of the pipeline."""
        return self.pipeline.plan(self.source.meta_fields())

    def recipe(self) -> dict[str, Any]:
        """The resolved recipe: what decides the result, its fingerprint, and what else is worth writing down."""
        weights = {step.name: found for step in self.pipeline.steps if (found := hashes(step.op))}
        recipe: dict[str, Any] = {
            "audiocur": ".".join(__version__.split(".")[:2]),
            "pipeline": [step.name for step in self.pipeline.steps],
            **{step.name: _described(step) for step in self.pipeline.steps},
            **({"checkpoints": weights} if weights else {}),
            "keep": {name: _untargeted(rule) for name, rule in self.pipeline.rules.items()},
            "split": _untargeted(self.split),
            "meta": {field.name: str(field.type) for field in self.source.meta_fields()},
        }
        return {
            "fingerprint": fingerprint(self._by_content(recipe)),
            **recipe,
            "source": _at_home(describe(self.source)),
            "output": {"path": str(self.output)},
            "engine": describe(self.engine),
            "placement": {name: _placed(where) for name, where in self.pipeline.placements.items()},
            "limits": _untargeted(self.limits),
        }

    def _by_content(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe with files of weights by their content alone: a run goes on where they lie elsewhere."""
        there = {**recipe, "checkpoints": [list(found.values()) for found in recipe.get("checkpoints", {}).values()]}
        for step in self.pipeline.steps:
            checkpoints = step.op.checkpoints() if isinstance(step.op, ModelOp) else ()
            paths = {checkpoint.path for checkpoint in checkpoints if isinstance(checkpoint, OwnFile)}
            there[step.name] = {key: _without(value, paths) for key, value in recipe[step.name].items()}
        return there


def _without(value: Any, paths: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_without(item, paths) for item in value]
    return "a file" if isinstance(value, str) and value in paths else value


def _described(step: Step) -> dict[str, Any]:
    return describe(step.op) | ({"when": _untargeted(step.when)} if step.when else {})


def _placed(where: Placement) -> dict[str, Any]:
    """A placement as a run writes it down: its variables may be secrets, and are not."""
    return {key: value for key, value in _untargeted(where).items() if key != "env"}


def _at_home(source: dict[str, Any]) -> dict[str, Any]:
    """A source as it is described, with a path that holds wherever the run is taken up again."""
    path = source.get("path")
    return source if path is None or is_url(path) else {**source, "path": str(Path(path).absolute())}


def _untargeted(part: Any) -> dict[str, Any]:
    described = describe(part)
    del described["_target_"]
    return described
