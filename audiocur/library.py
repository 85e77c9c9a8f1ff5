"""The parts and recipes that can be named, and Hydra's composition of those that are.

Three folders take part, in a checkout and in the wheel alike: ``conf/`` holds the parts, one YAML an op or choice,
``recipes/`` the recipes, and ``--config-dir`` names a folder of the user's own with either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from audiocur.build import closest, target
from audiocur.errors import ConfigError
from audiocur.op import Op
from audiocur.schema import known_at_the_cut

#: Top-level keys that are no op.
RESERVED = (
    "source", "output", "pipeline", "keep", "placement", "engine", "models", "split", "limits", "redo", "dedup",
    "balance", "recipe", "hydra", "meta", "audiocur", "fingerprint",
)  # fmt: skip


def shipped(name: str) -> Path:
    """A folder of the wheel, or of the checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


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
        folders = (shipped("recipes"), *(folder / "recipes" for folder in self.own))
        return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}

    @cached_property
    def parts(self) -> Mapping[str, Mapping[str, Path]]:
        """YAML files by group and name: ``parts["segment"]["phrase"]``."""
        found: dict[str, dict[str, Path]] = {}
        for folder in reversed(self.folders):
            for path in sorted(folder.glob("*/*.yaml")):
                if path.parent.name != "recipes":
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

    def composed(self, choices: Mapping[str, str]) -> dict[str, Any]:
        """The recipe and the parts its defaults name, with these choices (recipe=, segment=, …) in their place."""
        recipe = self._register_recipe(choices.get("recipe", "music_gen"))
        for group, option in choices.items():
            if group != "recipe" and option not in self.parts[group]:
                options = ", ".join(sorted(self.parts[group]))
                raise ConfigError(f"{group}={option}: expected one of {options}")
        GlobalHydra.instance().clear()
        path = [f"recipe={recipe}", f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in self.own)}]"]
        try:
            with initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3"):
                first = compose("config", path, return_hydra_config=True)
                made = first.hydra.runtime.choices
                chosen = [
                    f"{'' if group in made else '+'}{group}={option}"
                    for group, option in choices.items()
                    if group != "recipe"
                ]
                composed = compose("config", [*path, *chosen])
            return dict(OmegaConf.to_container(composed, resolve=True))  # type: ignore[arg-type]
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"recipe={choices.get('recipe', 'music_gen')}: {str(error).splitlines()[0]}") from error

    def _register_recipe(self, recipe: str) -> str:
        path = Path(recipe).expanduser() if recipe.endswith(".yaml") else self.recipes.get(recipe)
        if path is None or not path.is_file():
            raise ConfigError(f"recipe={recipe}: expected a YAML file, or one of {', '.join(sorted(self.recipes))}")
        node = OmegaConf.create(load_yaml(path, resolve=False))
        ConfigStore.instance().store(group="recipe", name=path.stem, node=node, package="_global_")
        return path.stem


def load_yaml(path: Path, *, resolve: bool = True) -> dict[str, Any]:
    """A YAML of keys and values."""
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=resolve)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected keys and values")
    return {str(key): value for key, value in loaded.items()}
