"""What a run directory says of the recipe that fills it, and who may go on with it."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from audiocur.build import typed
from audiocur.errors import OutputError
from audiocur.storage.base import Store

#: Packages whose version may change a result, those of extras where they are installed.
_PACKAGES = ("audiocur", "av", "numpy", "onnxruntime", "pyarrow", "ray", "scipy", "soundfile", "soxr")
_OPTIONAL = (
    *("audiobox_aesthetics", "ctranslate2", "faster-whisper", "openai-whisper", "pocketsphinx", "torch", "torchaudio"),
    *("transformers",),
)
#: Keys of a recipe that place or bound the work, and never change what it yields.
_ELSEWHERE = ("fingerprint", "source", "output", "engine", "placement", "limits")
#: Parameters of ops that bound the work as well.
_BOUNDS = (
    *("timeout_s", "batch_windows", "batch_chunks", "parallel", "retries", "backoff_s", "max_wait_s"),
    *("requests_per_s", "api_key_env", "url"),
)


def describe(part: Any) -> dict[str, Any]:
    """An op, source or other choice as YAML would build it: its class and every parameter.

    >>> from audiocur.planning import Split
    >>> describe(Split())
    {'_target_': 'audiocur.planning.Split', 'validation': 0.05, 'test': 0.05, 'seed': 0}
    """
    if not is_dataclass(part):
        raise TypeError(f"{part!r} is no dataclass")
    values = {field.name: _plain(getattr(part, field.name)) for field in fields(part) if field.init}
    return {"_target_": f"{type(part).__module__}.{type(part).__qualname__}", **values}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Hash of everything in a recipe that decides the result.

    >>> fingerprint({"decode": {"span_s": 12}}) == fingerprint({"decode": {"span_s": 12.0}})
    True
    """
    decisive = {key: _decisive(value) for key, value in recipe.items() if key not in _ELSEWHERE}
    # The first rule broken is the one that is named, so their order counts.
    decisive["keep"] = list(recipe.get("keep", {}).items())
    return hashlib.sha256(json.dumps(_canonical(decisive), sort_keys=True).encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """Numbers as they compare: a recipe says 12.0 where Python said 12, and that is one length."""
    match value:
        case Mapping():
            return {key: _canonical(each) for key, each in value.items()}
        case list() | tuple():
            return [_canonical(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value


def _decisive(value: Any) -> Any:
    return {k: v for k, v in value.items() if k not in _BOUNDS} if isinstance(value, Mapping) else value


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What decides the result and differs, a line a key.

    >>> differences({"vad": {"threshold": 0.5}}, {"vad": {"threshold": 0.6}})
    ['vad.threshold: 0.5 there, 0.6 here']
    """
    old, new = dict(_flat(there)), dict(_flat(here))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} here" for key in keys]


def _words(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What makes the rules of a recipe those of another, as one types it.

    >>> _words({"dc": {"column": "dc_offset"}, "a": {"min": -40.0}}, {"a": {"min": -30.0}})
    'keep.dc= keep.a.min=-30'
    """
    gone = [f"keep.{name}=" for name in there if name not in here]
    old, new = dict(_flat({"keep": dict(there)})), dict(_flat({"keep": dict(here)}))
    return shlex.join(gone + [typed(key, value) for key, value in new.items() if old.get(key) != value])


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in recipe.items():
        if not prefix and key in _ELSEWHERE:
            continue
        if isinstance(value, Mapping):
            yield from _flat(_decisive(value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


_BEFORE_ITS_RECIPE = ("ledger/", "lease.json", ".lease.json.", ".recipe.yaml.")


def rule_order(store: Store) -> list[str] | None:
    """The names of a run's keep rules in their order; null where there is no run, or its recipe cannot be read."""
    try:
        there = yaml.safe_load(store.read("recipe.yaml"))
    except (OSError, yaml.YAMLError):
        return None
    return list(there.get("keep") or {}) if isinstance(there, dict) else None


def check_claim(store: Store, recipe: Mapping[str, Any]) -> bool:
    """Whether the run directory holds a run of this recipe; False where it is new.

    Raises:
        OutputError: it holds another recipe's run or other files.
    """
    try:
        there = yaml.safe_load(store.read("recipe.yaml"))
    except FileNotFoundError:
        # A run that was killed before it wrote its recipe has left no more than these, or one of them unfinished.
        if any(not name.startswith(_BEFORE_ITS_RECIPE) for name in store.files()):
            raise OutputError(
                f"output.path={store}: expected a new or empty directory, or a run to go on with"
            ) from None
        return False
    except NotADirectoryError:
        raise OutputError(f"output.path={store}: expected a directory") from None
    except yaml.YAMLError:
        there = None
    except OSError as error:
        raise OutputError(f"output.path={store}: cannot be read ({error.strerror or error})") from error
    if not isinstance(there, dict) or "fingerprint" not in there:
        raise OutputError(f"output.path={store}: its recipe.yaml is none of audiocur's; expected a new directory")
    if there["fingerprint"] != recipe["fingerprint"]:
        different = differences(there, recipe)
        shown = "; ".join(different[:5]) or "the same rules in another order"
        remedy = "a new directory"
        if different and all(line.startswith("keep.") for line in different):
            remedy = (
                f"{_words(recipe['keep'], there['keep'])} as well, to go on with it, a new directory, "
                f"or `audiocur decide {store} {_words(there['keep'], recipe['keep'])}`, which changes its rules"
            )
        raise OutputError(f"output.path={store}: it holds another recipe's run ({shown}); expected {remedy}")
    return True


def claim(store: Store, recipe: Mapping[str, Any]) -> None:
    """Write down that the run directory is this recipe's own. Needs the lease."""
    store.write("recipe.yaml", yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True).encode())
    store.write("environment.json", json.dumps(environment(), indent=1).encode())


def environment() -> dict[str, str]:
    """Versions of all that may change a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    for name in _OPTIONAL:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
