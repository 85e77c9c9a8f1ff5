"""Typed objects from loose values: a dataclass is its own schema."""

from __future__ import annotations

import difflib
import importlib
import math
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from omegaconf import ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from audiocur.errors import ConfigError
from audiocur.rules import text_of

T = TypeVar("T")

#: One item of a list as typed, and the comma that follows it: in double quotes, in single ones, or bare.
_ITEM = re.compile(r"""\s*(?:"([^"]*)"\s*|'([^']*)'\s*|([^,]*))(?:,|$)""")


def target(name: str, base: type[T], where: str) -> type[T]:
    """The class that a ``_target_`` names, if it is a dataclass of the kind expected and nothing else.

    >>> target("os.system", object, "evil.yaml")
    Traceback (most recent call last):
    audiocur.errors.ConfigError: evil.yaml: _target_=os.system: expected the dotted name of a dataclass of kind object
    """
    module, _, attribute = str(name).rpartition(".")
    expectation = f"{where}: _target_={name}: expected the dotted name of a dataclass of kind {base.__name__}"
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{expectation} ({error})") from error
    if not (isinstance(found, type) and is_dataclass(found) and issubclass(found, base)):
        raise ConfigError(expectation)
    return found


def build(cls: type[T], key: str, values: Mapping[str, Any], words: Mapping[str, str]) -> T:
    """An object of a dataclass from a YAML's values, overridden by words of the command line.

    Args:
        cls: a dataclass of scalars, enums and lists of scalars.
        key: what the user calls it, "vad"; errors name ``vad.threshold``.
        values: from YAML.
        words: from the command line, as typed.

    Raises:
        ConfigError: an unknown key, a wrong type, a bad range or a missing value.
    """
    known = {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    values, words = _with_inner(key, hints, values, words)
    for name, value in {**values, **words}.items():
        if name not in known:
            raise ConfigError(f"{key}.{name}={_shown(value)}: unknown key{closest(name, known)}")
    given = {name: _from_yaml(f"{key}.{name}", known[name], value) for name, value in values.items()} | {
        name: _parsed(f"{key}.{name}", hints[name], known[name], text) for name, text in words.items()
    }
    for name, field in known.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if given.get(name) == "???" or (required and given.get(name) is None):
            hint = field.metadata.get("hint")
            raise ConfigError(f"{key}.{name}: missing; expected {key}.{name}={hint or f'<{_type_name(hints[name])}>'}")
    try:
        # `$` is no interpolation in what a person typed: values are literal by now.
        literal = {name: _member(hints[name], _escaped(value)) for name, value in given.items()}
        merged: Any = OmegaConf.merge(OmegaConf.structured(cls), literal)
        for name in given:
            if _infinite(merged[name]):
                raise ConfigError(f"{name}={_shown(words.get(name, given[name]))}: expected a finite number")
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except ConfigError as error:
        raise ConfigError(f"{key}.{error}") from None
    except OmegaConfBaseException as error:
        name = str(error.full_key or "").split("[")[0]
        shown = _shown(words.get(name, given.get(name)))
        expected = _type_name(hints[name]) if name in hints else str(error).splitlines()[0]
        raise ConfigError(f"{key}.{name}={shown}: expected {expected}") from error


def closest(word: str, known: Iterable[str]) -> str:
    """The rest of a sentence that says what was meant, or what there is.

    >>> closest("treshold", ["threshold", "pad_s"])
    '; did you mean threshold?'
    """
    known = list(known)
    if not known:
        return ""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(known)}"


def expanded(text: str, where: str) -> Path:
    """A path as typed, with its ``~`` expanded; an error begins with `where`."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{where}: expected a user of this machine after ~, or ./{text} for a name") from error


def _with_inner(
    key: str, hints: Mapping[str, Any], values: Mapping[str, Any], words: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Words like ``env.NAME=value`` taken into the mapping that the field ``env`` is."""
    given, left = dict(values), dict(words)
    for word, text in words.items():
        name, dot, inner = word.partition(".")
        if get_origin(hints.get(name)) is not dict:
            continue
        if not (dot and inner):
            raise ConfigError(f"{key}.{word}={text}: expected {key}.{name}.<name>=<value>")
        there = given.get(name) or {}
        given[name] = {**there, inner: words_of_list(text, word) if text.startswith("[") else text}
        del left[word]
    return given, left


def _from_yaml(key: str, field: Field[Any], value: Any) -> Any:
    literal = isinstance(value, str) and value != "???" and field.metadata.get("path")
    return _path(key, field, value) if literal else value


def _path(key: str, field: Field[Any], text: str) -> str:
    # Path("") is the current directory, which nobody means who forgot to set a variable of the shell.
    if not text or "\0" in text:
        raise ConfigError(f"{key}={text}: expected {field.metadata.get('hint', 'a path')}")
    return text if "://" in text else str(expanded(text, f"{key}={text}"))


def _parsed(key: str, hint: Any, field: Field[Any], text: str) -> Any:
    """A word of the command line as the field's type wants it; scalars are left for OmegaConf to convert."""
    optional, kind = _without_none(hint)
    a_list = get_origin(kind) is list
    if optional and a_list and not text:
        raise ConfigError(f"{key}=: expected at least one value, or null")
    if optional and text in ("", "null"):
        return None
    if field.metadata.get("path"):
        return _path(key, field, text)
    if a_list:
        return words_of_list(text, key)
    if text == "" and kind is not str:
        raise ConfigError(f"{key}=: expected {_type_name(hint)}")
    return text


def words_of_list(text: str, key: str) -> list[str]:
    """A list as typed: ``a,b``, ``[a, b]`` or one word; a comma within quotes parts nothing.

    >>> words_of_list("[decode, vad]", "pipeline"), words_of_list("*.wav,*.mp3", "source.include")
    (['decode', 'vad'], ['*.wav', '*.mp3'])
    >>> words_of_list('["Rock, Pop", Drum & Bass]', "keep.genre.allow")
    ['Rock, Pop', 'Drum & Bass']
    """
    if text.startswith("[") != text.endswith("]"):
        raise ConfigError(f"{key}={text}: expected a list, [a, b]")
    inner = text[1:-1] if text.startswith("[") else text
    items = [double or single or plain.strip() for double, single, plain in _ITEM.findall(inner)]
    return [item for item in items if item]


def typed(key: str, value: Any) -> str:
    """A value as one types it, so that it is read as the same again.

    >>> typed("keep.loudness.min", -30.0), typed("keep.genre.allow", ["Rock, Pop", "Funk"]), typed("keep.dc.max", None)
    ('keep.loudness.min=-30', 'keep.genre.allow=["Rock, Pop",Funk]', 'keep.dc.max=')
    """
    match value:
        case None:
            text = "null" if key.endswith(".allow") else ""
        case set() | frozenset() | list() | tuple():
            items = sorted(value) if isinstance(value, set | frozenset) else value
            text = f"[{','.join(_quoted(key, text_of(each)) for each in items)}]"
        case float():
            text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
        case _:
            text = text_of(value)
    return f"{key}={text}"


def _quoted(key: str, text: str) -> str:
    """One item of a list, in quotes where it would be taken for another."""
    if "," not in text and text == text.strip() and text[:1] not in ('"', "'"):
        return text
    quote = next((mark for mark in ('"', "'") if mark not in text), None)
    if quote is None:
        raise ConfigError(f"{key}={text}: expected no comma beside both kinds of quotes")
    return f"{quote}{text}{quote}"


def _member(hint: Any, value: Any) -> Any:
    """The member of an enum that a value stands for; what stands for none is left for OmegaConf to refuse."""
    optional, kind = _without_none(hint)
    if isinstance(kind, type) and issubclass(kind, Enum):
        # `null` is a word for some of them, and needs no quotes in YAML.
        said = "null" if value is None and not optional else str(value)
        return next((member for member in kind if str(member.value) == said), value)
    return value


def _infinite(value: Any) -> bool:
    if isinstance(value, ListConfig):
        return any(map(_infinite, value))
    return isinstance(value, float) and not math.isfinite(value)


def _without_none(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [kind for kind in get_args(hint) if kind is not type(None)]
        return len(rest) < len(get_args(hint)), rest[0]
    return False, hint


def _type_name(hint: Any) -> str:
    optional, kind = _without_none(hint)
    if isinstance(kind, type) and issubclass(kind, Enum):
        name = f"one of {', '.join(str(member.value) for member in kind)}"
    elif get_origin(kind) is list:
        name = f"a list of {_type_name(get_args(kind)[0])}"
    else:
        name = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, str(kind))
    return f"{name}, or nothing" if optional else name


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
