"""From the command line to a checked `Job`: the library composes, dataclasses say what is allowed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from audiocur.build import build, closest, target, words_of_list
from audiocur.engine.base import Engine
from audiocur.errors import ConfigError
from audiocur.job import Job, Limits
from audiocur.library import RESERVED, Library, load_yaml
from audiocur.op import Op
from audiocur.pipeline import Pipeline, Placement, Step
from audiocur.planning import Split
from audiocur.rules import KeepRule
from audiocur.sources.base import Found, Listing, SourceSet

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Nowhere(SourceSet):
    """The source of a plan that names none: it lists nothing."""

    @property
    def place(self) -> str:
        """No path."""
        return "source.path="

    def scan(self, ignored: Counter[str]) -> Iterator[Found]:
        """Nothing."""
        yield from ()

    def list(self) -> Listing:
        """Nothing, and that is no mistake."""
        return Listing([], {})


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a run goes.

    Attributes:
        path: the run directory.
    """

    path: str = field(metadata={"path": True, "hint": "runs/NAME, a new directory or a run to go on with"})


def job(overrides: Sequence[str], config_dirs: Sequence[Path] = (), *, to_run: bool = True) -> Job:
    """The job that a command line describes.

    Args:
        overrides: ``key=value`` words as the shell hands them over.
        config_dirs: the user's own folders of parts and recipes; their Python files become importable.
        to_run: whether a missing ``source.path`` or ``output.path`` is a mistake, or only means that nothing is listed.

    Raises:
        ConfigError: any word that cannot be, naming key, value and expectation.
    """
    library = Library(tuple(folder.expanduser().resolve() for folder in config_dirs))
    for folder in library.own:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    words = dict(_word(text) for text in overrides)
    choices = {key: words.pop(key) for key in list(words) if key == "recipe" or key in library.parts}
    return _Builder(library, library.composed(choices), words, to_run).job()


def _word(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"{text}: expected key=value")
    return key, value


@dataclass(frozen=True)
class _Builder:
    """Builds each part of a job from what Hydra composed and the words that override it."""

    library: Library
    composed: Mapping[str, Any]
    words: Mapping[str, str]
    to_run: bool

    def job(self) -> Job:
        names = self._names()
        self._refuse_unknown(names)
        pipeline = Pipeline(
            tuple(Step(name, self._op(name)) for name in names),
            self._rules(),
            {
                name: build(Placement, f"placement.{name}", *self._nested("placement", name))
                for name in self._keys("placement")
            },
        )
        pipeline.check()
        self._refuse_impossible_rules(pipeline)
        return Job(
            pipeline=pipeline,
            source=self._source(),
            output=self._output(),
            engine=self._chosen("engine", Engine),  # type: ignore[type-abstract]
            split=build(Split, "split", *self._section("split")),
            limits=build(Limits, "limits", *self._section("limits")),
        )

    def _source(self) -> SourceSet:
        node, words = self._section("source")
        if not self.to_run and {**node, **words}.get("path") == "???":
            return Nowhere()
        return self._chosen("source", SourceSet)  # type: ignore[type-abstract]

    def _output(self) -> Path:
        node, words = self._section("output")
        if not self.to_run and {**node, **words}.get("path") == "???":
            return Path()
        return Path(build(Output, "output", node, words).path)

    def _names(self) -> list[str]:
        if "pipeline" in self.words:
            return words_of_list(self.words["pipeline"], "pipeline")
        names = self.composed.get("pipeline")
        if not isinstance(names, list) or not names:
            raise ConfigError(f"pipeline={names}: expected a list of ops, [decode, vad, segment, ...]")
        return [str(name) for name in names]

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        settings = ("source", "output", "engine", "split", "limits", "keep", "placement", "pipeline")
        ops = {stem for group in self.library.parts.values() for stem in group} | set(self.library.parts)
        for key, value in self.words.items():
            top = key.partition(".")[0]
            if top in ops - set(RESERVED) - set(names):
                raise ConfigError(f"{key}={value}: {top} is not in the pipeline [{', '.join(names)}]")
            if top not in (*names, *settings):
                raise ConfigError(f"{key}={value}: unknown key{closest(top, [*names, *settings, 'recipe'])}")
            if key == top and key != "pipeline":
                raise ConfigError(f"{key}={value}: expected {key}.<parameter>=<value>")
        reserved = [name for name in names if name in RESERVED]
        if reserved:
            raise ConfigError(f"pipeline: {reserved[0]} is a reserved name; expected an op")

    def _section(self, key: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A top-level node of the recipe, and the words that override it."""
        node = self.composed.get(key) or {}
        if not isinstance(node, dict):
            raise ConfigError(f"{key}={node}: expected keys and values")
        return dict(node), {k.partition(".")[2]: v for k, v in self.words.items() if k.startswith(f"{key}.")}

    def _nested(self, key: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        node, words = self._section(key)
        inner = {k.partition(".")[2]: v for k, v in words.items() if k.startswith(f"{name}.")}
        return dict(node.get(name) or {}), inner

    def _keys(self, key: str) -> list[str]:
        """Names under a node, those that the command line adds included; an emptied one (``keep.x=``) is gone."""
        node, words = self._section(key)
        names = dict.fromkeys([*node, *(word.partition(".")[0] for word in words)])
        gone = {name for name in names if words.get(name) in ("", "null") or (name in node and node[name] is None)}
        for name, value in words.items():
            if "." not in name and name not in gone:
                raise ConfigError(f"{key}.{name}={value}: expected {key}.{name}.<parameter>=<value>")
        return [name for name in names if name not in gone]

    def _op(self, name: str) -> Op:
        node, words = self._section(name)
        where = f"recipe, {name}"
        if "_target_" not in node:
            path = self.library.part(name)
            node, where = {**load_yaml(path), **node}, str(path)
        return self._built(name, node, words, Op, where)

    def _chosen(self, key: str, base: type[T]) -> T:
        node, words = self._section(key)
        if "_target_" not in node:
            raise ConfigError(f"{key}: not chosen; expected {key}= one of {', '.join(self.library.parts.get(key, ()))}")
        return self._built(key, node, words, base, f"recipe, {key}")

    def _built(self, key: str, node: dict[str, Any], words: Mapping[str, str], base: type[T], where: str) -> T:
        cls = target(node.pop("_target_", None), base, where)
        return build(cls, key, node, words)

    def _rules(self) -> dict[str, KeepRule]:
        known = self._section("keep")[0]
        rules = {}
        for name in self._keys("keep"):
            values, words = self._nested("keep", name)
            if "column" not in {**values, **words}:
                raise ConfigError(
                    f"keep.{name}: no such rule{closest(name, known)}; a new one needs keep.{name}.column"
                )
            rules[name] = build(KeepRule, f"keep.{name}", values, words)
        return rules

    def _refuse_impossible_rules(self, pipeline: Pipeline) -> None:
        inactive = {pipeline.rules[name].column: name for name in pipeline.inactive_rules()}
        unknown = [column for column in inactive if not column.startswith("meta_")]
        known = self.library.written_columns() if unknown else set()
        for column in unknown:
            if column not in known:
                raise ConfigError(
                    f"keep.{inactive[column]}.column={column}: no op writes it{closest(column, sorted(known))}"
                )
