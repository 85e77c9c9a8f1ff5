"""From the command line to a checked `Job`: the library composes, dataclasses say what is allowed."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from audiocur.build import build, closest, expanded, target, words_of_list
from audiocur.engine.base import Engine
from audiocur.errors import ConfigError, OutputError, require
from audiocur.job import Job, Limits
from audiocur.library import CHOICES, KINDS, RESERVED, Composed, Library, load_yaml
from audiocur.op import Op
from audiocur.pipeline import Pipeline, Step
from audiocur.placement import Placement
from audiocur.planning import Split
from audiocur.redo import Redo
from audiocur.rules import KeepRule
from audiocur.sources.base import Found, Listing, SourceSet
from audiocur.storage import open_store
from audiocur.storage.base import Store

T = TypeVar("T")

#: Top-level keys of a recipe that are neither an op nor a choice.
SETTINGS = ("source", "output", "engine", "split", "limits", "keep", "placement", "pipeline", "redo", "report")
#: Of those, the ones with a value and no parameters.
SINGLE = ("pipeline", "redo", "report")
#: What a run's own recipe.yaml says of itself besides, and a rerun from it works out again.
OF_A_RUN = ("fingerprint", "audiocur", "meta", "checkpoints")


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
        path: the run directory, or its URL.
    """

    path: str = field(metadata={"path": True, "hint": "runs/NAME, a new directory or a run to go on with"})

    def __post_init__(self) -> None:
        # Arrow writes below it, and knows of no bytes that are not text.
        is_text = self.path.encode(errors="replace").decode() == self.path
        require(is_text, "path", self.path, "a name in UTF-8")


def job(overrides: Sequence[str], config_dirs: Sequence[Path] = (), *, to_run: bool = True) -> Job:
    """The job that a command line describes.

    Args:
        overrides: ``key=value`` words as the shell hands them over.
        config_dirs: the user's own folders of parts and recipes; their Python files become importable.
        to_run: whether a missing ``source.path`` or ``output.path`` is a mistake, or only means that nothing is listed.

    Raises:
        ConfigError: any word that cannot be, naming key, value and expectation.
    """
    library = Library(tuple(expanded(str(folder), f"--config-dir {folder}").resolve() for folder in config_dirs))
    for folder in library.own:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    words = _words(overrides)
    choices = {key: words.pop(key) for key in list(words) if key == "recipe" or key in library.parts}
    names = words_of_list(words["pipeline"], "pipeline") if "pipeline" in words else []
    return _Builder(library, library.composed(choices, names), words, frozenset(choices), to_run).job()


def job_of_run(store: Store, overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> Job:
    """The job that a run directory is of, as its recipe.yaml has it.

    Args:
        store: the run directory.
        overrides: ``key=value`` words for what may differ: source, engine, placement, limits.
        config_dirs: as of `job`.

    Raises:
        UserError: it is no run, or another word that cannot be.
    """
    try:
        recipe = store.read("recipe.yaml")
    except OSError as error:
        raise OutputError(f"{store}: expected a run of audiocur, with its recipe.yaml") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_bytes(recipe)
        return replace(job([f"recipe={path}", *overrides], config_dirs), output=store)


def with_rules(pipeline: Pipeline, overrides: Sequence[str]) -> Pipeline:
    """A pipeline under other keep rules, without composing its recipe anew.

    Args:
        pipeline: whose rules change.
        overrides: ``keep.NAME.KEY=value`` words, as of `job`.

    Raises:
        ConfigError: any word that cannot be.
    """
    rules = {name: asdict(rule) for name, rule in pipeline.rules.items()}
    return replace(pipeline, rules=_rules(rules, _below("keep", _words(overrides))))


def _words(overrides: Sequence[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"{text}: expected key=value")
        if key in words:
            raise ConfigError(f"{key}={value}: given before as {key}={words[key]}; expected it once")
        words[key] = value
    return words


@dataclass(frozen=True)
class _Builder:
    """Builds each part of a job from what Hydra composed and the words that override it."""

    library: Library
    composed: Composed
    words: Mapping[str, str]
    chosen: frozenset[str]
    to_run: bool

    def job(self) -> Job:
        names = self._names()
        self._refuse_unknown(names)
        self._refuse_unknown_nodes(names)
        pipeline = Pipeline(
            tuple(self._step(name) for name in names),
            _rules(*self._section("keep")),
            {
                name: build(Placement, f"placement.{name}", *_nested("placement", name, *self._section("placement")))
                for name in _names("placement", *self._section("placement"))
                # What a shortened pipeline leaves out may keep its place in the recipe.
                if name in names or any(word.startswith(f"placement.{name}.") for word in self.words)
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
            redo=self._redo(),
            report=self._report(),
        )

    def _redo(self) -> Redo | None:
        said = self.words.get("redo", "")
        require(said in ("", *Redo), "redo", said, " or ".join(Redo))
        return Redo(said) if said else None

    def _report(self) -> bool:
        said = self.words.get("report", str(self.composed.nodes.get("report", True)).lower())
        require(said in ("true", "false"), "report", said, "true or false")
        return said == "true"

    def _source(self) -> SourceSet:
        node, words = self._section("source")
        if not self.to_run and {**node, **words}.get("path") == "???":
            # Built all the same, for the mistakes in its other parameters.
            self._chosen("source", SourceSet, path=".")  # type: ignore[type-abstract]
            return Nowhere()
        return self._chosen("source", SourceSet)  # type: ignore[type-abstract]

    def _output(self) -> Store:
        node, words = self._section("output")
        if not self.to_run and {**node, **words}.get("path") == "???":
            return open_store(".")
        path = build(Output, "output", node, words).path
        try:
            return open_store(path)
        except ConfigError as error:
            raise ConfigError(f"output.path={error}") from error

    def _names(self) -> list[str]:
        if "pipeline" in self.words:
            own = self.composed.nodes.get("pipeline")
            typed = words_of_list(self.words["pipeline"], "pipeline")
            # [*, align] is the recipe's own list, and one more.
            names: Any = [op for name in typed for op in (own if name == "*" and isinstance(own, list) else [name])]
        else:
            names = self.composed.nodes.get("pipeline")
        if not isinstance(names, list) or not names:
            shown = self.words.get("pipeline", "" if names is None else names)
            raise ConfigError(f"pipeline={shown}: expected a list of ops, [decode, vad, segment, ...]")
        return [str(name) for name in names]

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        ops = {stem for group in self.library.parts.values() for stem in group} | set(self.library.parts)
        for key, value in self.words.items():
            top = key.partition(".")[0]
            if top in ops - set(RESERVED) - set(names):
                raise ConfigError(f"{key}={value}: {top} is not in the pipeline [{', '.join(names)}]")
            if top not in (*names, *SETTINGS):
                raise ConfigError(f"{key}={value}: unknown key{closest(top, [*names, *SETTINGS, 'recipe'])}")
            if key == top and key not in SINGLE:
                name = ".<name>" if key in ("keep", "placement") else ""
                raise ConfigError(f"{key}={value}: expected {key}{name}.<parameter>=<value>")
        reserved = [name for name in names if name in RESERVED]
        if reserved:
            raise ConfigError(f"pipeline: {reserved[0]} is a reserved name; expected an op")

    def _refuse_unknown_nodes(self, names: Sequence[str]) -> None:
        """Refuse a recipe's own keys that nothing would read."""
        parts = self.library.parts
        # What a shortened pipeline leaves out may keep its values; the options of a choice have no values of their own.
        choices = {*CHOICES, *names, *self.composed.groups}
        idle = {op for group in parts if group not in choices for op in parts[group]} | set(parts) - {*CHOICES, *KINDS}
        for key in self.composed.nodes:
            if key not in {*names, *SETTINGS, *OF_A_RUN, *idle}:
                near = closest(key, [*SETTINGS, *names])
                raise ConfigError(f"recipe={self.composed.recipe}: {key}: unknown key{near}")

    def _section(self, key: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A top-level node of the recipe, and the words that override it."""
        return _node(key, self.composed.nodes.get(key)), _below(key, self.words)

    def _step(self, name: str) -> Step:
        node, words = self._section(name)
        where = f"recipe, {name}"
        if "_target_" not in node:
            path = self.library.part(name)
            node, where = {**load_yaml(path), **node}, str(path)
        when = self._when(name, node.pop("when", None), words)
        if name in self.chosen:
            # What a recipe sets for its own choice says nothing of another that was typed in its place.
            known = {field.name for field in fields(target(node.get("_target_", ""), Op, where))}  # type: ignore[arg-type]
            node = {key: value for key, value in node.items() if key in known | {"_target_"}}
        return Step(name, self._built(name, node, words, Op, where), when)

    def _when(self, name: str, node: Any, words: dict[str, str]) -> KeepRule | None:
        """The bound on a column that an op is only for, taken out of what its parameters are."""
        taken = {word: words.pop(word) for word in list(words) if word == "when" or word.startswith("when.")}
        if "when" in taken:
            shown = f"{name}.when={taken['when']}"
            if len(taken) > 1 or taken["when"] not in ("", "null"):
                raise ConfigError(f"{shown}: expected {name}.when.column=, min=, max= or allow=, or nothing")
            return None
        values = _node(f"{name}.when", node)
        inner = {word.partition(".")[2]: value for word, value in taken.items()}
        return build(KeepRule, f"{name}.when", values, inner) if values or inner else None

    def _chosen(self, key: str, base: type[T], **values: Any) -> T:
        node, words = self._section(key)
        node |= values
        if "_target_" not in node:
            raise ConfigError(f"{key}: not chosen; expected {key}= one of {', '.join(self.library.parts.get(key, ()))}")
        return self._built(key, node, words, base, f"recipe, {key}")

    def _built(self, key: str, node: dict[str, Any], words: Mapping[str, str], base: type[T], where: str) -> T:
        cls = target(node.pop("_target_", None), base, where)
        return build(cls, key, node, words)

    def _refuse_impossible_rules(self, pipeline: Pipeline) -> None:
        inactive = {pipeline.rules[name].column: name for name in pipeline.inactive_rules()}
        unknown = [column for column in inactive if not column.startswith("meta_")]
        known = self.library.written_columns() if unknown else set()
        for column in unknown:
            if column not in known:
                raise ConfigError(
                    f"keep.{inactive[column]}.column={column}: no op writes it{closest(column, sorted(known))}"
                )


def _node(key: str, node: Any) -> dict[str, Any]:
    """A node of a recipe that holds keys and values; an empty one holds none."""
    if not isinstance(node, dict | NoneType):
        raise ConfigError(f"{key}={node}: expected keys and values")
    return dict(node or {})


def _below(key: str, words: Mapping[str, str]) -> dict[str, str]:
    """The words that begin with a key, without it."""
    return {word.partition(".")[2]: value for word, value in words.items() if word.startswith(f"{key}.")}


def _rules(node: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, KeepRule]:
    """The keep rules of a node, with words that override it."""
    rules = {}
    for name in _names("keep", node, words):
        values, inner = _nested("keep", name, node, words)
        if "column" not in {**values, **inner}:
            raise ConfigError(f"keep.{name}: no such rule{closest(name, node)}; a new one needs keep.{name}.column")
        rules[name] = build(KeepRule, f"keep.{name}", values, inner)
    return rules


def _nested(
    key: str, name: str, node: Mapping[str, Any], words: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a name under a node holds, and the words that override that."""
    return _node(f"{key}.{name}", node.get(name)), _below(name, words)


def _names(key: str, node: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    """Names under a node, those that the command line adds included; an emptied one (``keep.x=``) is gone."""
    names = dict.fromkeys([*node, *(word.partition(".")[0] for word in words)])
    gone = {name for name in node if node[name] is None}
    for word, value in words.items():
        name, dot, _ = word.partition(".")
        shown = f"{key}.{word}={value}"
        if not name or (not dot and value not in ("", "null")):
            raise ConfigError(f"{shown}: expected {key}.{name or '<name>'}.<parameter>=<value>")
        if not dot and name not in node:
            raise ConfigError(f"{shown}: nothing to take away{closest(name, node)}")
        if dot and name in words:
            raise ConfigError(f"{shown}: contradicts {key}.{name}={words[name]}; expected one of them")
        (gone.discard if dot else gone.add)(name)
    return [name for name in names if name not in gone]
