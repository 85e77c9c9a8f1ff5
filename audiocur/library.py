"""The parts and recipes that can be named, and Hydra's composition of those that are.

Three folders take part, in a checkout and in the wheel alike: ``conf/`` holds the parts, one YAML an op or choice,
``recipes/`` the recipes, and ``--config-dir`` names a folder of the user's own with either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from audiocur.build import closest, expanded, target
from audiocur.errors import ConfigError
from audiocur.op import Op
from audiocur.schema import known_at_the_cut

#: Top-level keys that are no op.
RESERVED = (
    "source", "output", "pipeline", "keep", "placement", "engine", "models", "split", "limits", "redo", "report",
    "dedup", "balance", "recipe", "hydra", "meta", "audiocur", "fingerprint", "checkpoints",
)  # fmt: skip

#: Groups that are chosen from although no op has their name.
CHOICES = ("source", "engine", "models")

#: Folders of ops that go by their own names: a pipeline lists loudness, not measure.
KINDS = ("measure", "transform")

#: What Hydra calls the root and the recipe: whatever name a user's file has, Hydra's grammar never sees it.
_ROOT, _RECIPE = "_audiocur_", "_chosen_"


def shipped(name: str) -> Path:
    """A folder of the wheel, or of the checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


class _OwnFirst(SearchPathPlugin):
    """Has Hydra look into the user's folders before ours; as an override, their names would have to be escaped."""

    folders: ClassVar[tuple[Path, ...]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Insert the folders, in order, before the primary one."""
        for folder in self.folders:
            search_path.prepend("own", f"file://{folder}", "main")


@dataclass(frozen=True)
class Composed:
    """What Hydra made of a recipe and the choices.

    Attributes:
        recipe: its name, as typed.
        nodes: values by top-level key.
        groups: the groups that something was chosen from.
    """

    recipe: str
    nodes: Mapping[str, Any]
    groups: frozenset[str]


@dataclass(frozen=True)
class Library:
    """The parts and recipes that can be named.

    Attributes:
        own: the user's folders, each of which may hold parts as ``conf/`` does, and recipes in ``recipes/``.
    """

    own: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for folder in self.own:
            if not folder.is_dir():
                raise ConfigError(f"--config-dir {folder}: no such folder")

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Where parts are looked for, the user's first."""
        return (*self.own, shipped("conf"))

    @cached_property
    def recipes(self) -> Mapping[str, Path]:
        """Recipes by name."""
        folders = (shipped("recipes"), *(folder / "recipes" for folder in reversed(self.own)))
        return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}

    @cached_property
    def parts(self) -> Mapping[str, Mapping[str, Path]]:
        """YAML files by group and name: ``parts["segment"]["phrase"]``."""
        found: dict[str, dict[str, Path]] = {}
        for folder in reversed(self.folders):
            for path in sorted(folder.glob("*/*.yaml")):
                if path.parent.name not in {"recipes", *RESERVED} - {*CHOICES}:
                    found.setdefault(path.parent.name, {})[path.stem] = path
        return found

    def part(self, name: str) -> Path:
        """The one YAML that an op's name stands for.

        Raises:
            ConfigError: there is none, more than one, or it is a choice that nobody made.
        """
        if name in self.parts:
            raise ConfigError(f"{name}: not chosen; expected {name}= one of {', '.join(self.parts[name])}")
        paths = [group[name] for group in self.parts.values() if name in group]
        if not paths:
            known = sorted({*self.parts, *(stem for group in self.parts.values() for stem in group)} - set(RESERVED))
            raise ConfigError(f"pipeline: {name} is no op{closest(name, known)}")
        if len(paths) > 1:
            raise ConfigError(f"pipeline: {name} is ambiguous: {', '.join(map(str, paths))}")
        return paths[0]

    def written_columns(self) -> set[str]:
        """Every column that some op writes."""
        columns = set(known_at_the_cut())
        for group in self.parts.values():
            for path in group.values():
                part = load_yaml(path)
                if "_target_" in part and issubclass(cls := target(part["_target_"], object, str(path)), Op):
                    columns |= {column.name for column in cls.writes}
        return columns

    def composed(self, choices: Mapping[str, str], pipeline: Sequence[str] = ()) -> Composed:
        """The recipe and the parts its defaults name, with these choices (recipe=, segment=, …) in their place.

        Args:
            choices: options by group.
            pipeline: the ops, where the recipe's own list of them does not hold.

        Raises:
            ConfigError: no such recipe, choice or option, or a YAML that does not compose.
        """
        recipe = choices.get("recipe", "music_gen")
        said = self._recipe(recipe)
        choices = self._with_its_engine(said, choices)
        store = ConfigStore.instance()
        store.store(_ROOT, OmegaConf.create(load_yaml(shipped("conf") / "config.yaml", resolve=False)))
        store.store(_RECIPE, said, group="recipe", package="_global_")
        Plugins.instance().register(_OwnFirst)
        _OwnFirst.folders = self.own
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3"):
                first = compose(_ROOT, [f"recipe={_RECIPE}"], return_hydra_config=True)
                chosen = self._overrides(choices, pipeline, first)
                last = compose(_ROOT, [f"recipe={_RECIPE}", *chosen], return_hydra_config=True) if chosen else first
            made = {str(group): str(option) for group, option in last.hydra.runtime.choices.items()}
            del last.hydra
            nodes = dict(OmegaConf.to_container(last, resolve=True))  # type: ignore[arg-type]
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as error:
            self._read_own(path for group in self.parts.values() for path in group.values())
            raise ConfigError(f"recipe={recipe}: {str(error).splitlines()[0]}") from error
        finally:
            _OwnFirst.folders = ()
        self._read_own(self.parts[group][option] for group, option in made.items() if group in self.parts)
        return Composed(recipe, {str(key): node for key, node in nodes.items()}, frozenset(made))

    def _with_its_engine(self, recipe: DictConfig, choices: Mapping[str, str]) -> Mapping[str, str]:
        """The choices, and the engine that a run's own recipe spells out, unless another is chosen."""
        said = recipe.get("engine")
        if not isinstance(said, DictConfig) or "_target_" not in said:
            return choices
        engines = self.parts.get("engine", {})
        targets = {name: load_yaml(path).get("_target_") for name, path in engines.items()}
        its = next((name for name, cls in targets.items() if cls == said["_target_"]), None)
        chosen = choices.get("engine", its)
        if chosen is None:
            return choices
        if chosen != its:
            del recipe["engine"]
        return {**choices, "engine": chosen}

    def _overrides(self, choices: Mapping[str, str], pipeline: Sequence[str], first: DictConfig) -> list[str]:
        """The choices as Hydra's grammar wants them."""
        listed = first.get("pipeline")
        names = {*pipeline, *(map(str, listed) if isinstance(listed, ListConfig) else ()), *CHOICES}
        overrides = []
        for group, option in choices.items():
            if group == "recipe":
                continue
            if group not in names and group in self.parts and group not in KINDS:
                raise ConfigError(
                    f"{group}={option}: {group} is not in the pipeline; expected pipeline=[*,{group}] beside it"
                )
            if group not in names:
                known = ", ".join(f"{name}=" for name in sorted(names & set(self.parts)))
                raise ConfigError(f"{group}={option}: not a choice; expected one of {known}")
            if option not in self.parts[group]:
                raise ConfigError(f"{group}={option}: expected one of {', '.join(sorted(self.parts[group]))}")
            quoted = option.replace("\\", "\\\\").replace("'", "\\'")
            overrides.append(f"{'' if group in first.hydra.runtime.choices else '+'}{group}='{quoted}'")
        return overrides

    def _read_own(self, paths: Iterable[Path]) -> None:
        """Read those that are the user's, for an error that names the file, or where Hydra sees none."""
        for path in paths:
            if any(path.is_relative_to(folder) for folder in self.own):
                load_yaml(path, resolve=False)

    def _recipe(self, name: str) -> DictConfig:
        path = expanded(name, f"recipe={name}") if name.endswith(".yaml") else self.recipes.get(name)
        if path is None or not path.is_file():
            raise ConfigError(f"recipe={name}: expected a YAML file, or one of {', '.join(sorted(self.recipes))}")
        return OmegaConf.create(load_yaml(path, resolve=False))


def load_yaml(path: Path, *, resolve: bool = True) -> dict[str, Any]:
    """A YAML of keys and values.

    Raises:
        ConfigError: it cannot be read, is no YAML, or a text or list instead.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # OmegaConf makes a key of a plain text.
        if not isinstance(yaml.safe_load(text), dict | NoneType):
            raise ConfigError(f"{path}: expected keys and values")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        said = OmegaConf.create(str(yaml.serialize(node))) if _name_keys(node) else OmegaConf.load(path)
        loaded: Any = OmegaConf.to_container(said, resolve=resolve)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return {str(key): value for key, value in loaded.items()}


def _name_keys(node: yaml.Node | None) -> bool:
    """A rule says `null: keep` and an op `on: vocals`; YAML takes such keys for nothing and for true. Was there one?"""
    found = False
    if isinstance(node, yaml.SequenceNode):
        found = sum(map(_name_keys, node.value)) > 0  # all of them
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"):
                key.tag, found = "tag:yaml.org,2002:str", True
            found |= _name_keys(value)
    return found
