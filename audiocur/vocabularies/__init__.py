"""Words to choose tags from, and the text that stands for each: one YAML a vocabulary.

::

    # Moods: how a clip feels.
    text: This is a {} song.   # what a model compares a clip with; {} is the word
    most: 2                    # words at most for one clip
    words: [calm, tense]       # or, where each has a text of its own, `calm: Soft and slow music.` and so on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiocur.errors import ConfigError
from audiocur.library import load_yaml

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Vocabulary:
    """Words that exclude or rival one another.

    Attributes:
        name: "mood".
        texts: what stands for each word, by the word.
        most: words at most for one clip.

    >>> vocabulary("vocals").texts["rap"]
    'Somebody raps.'
    """

    name: str
    texts: Mapping[str, str]
    most: int


def shipped() -> tuple[str, ...]:
    """The names of those that come with the package.

    >>> shipped()
    ('genre', 'instrument', 'mood', 'vocals')
    """
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def path_of(name: str) -> Path:
    """The file of a vocabulary: of one that is shipped by its name, of the user's own by its path.

    Raises:
        ConfigError: there is none.

    >>> path_of("moods")
    Traceback (most recent call last):
    audiocur.errors.ConfigError: vocabularies=moods: expected genre, instrument, mood, vocals or the path of a YAML file
    """
    path = _FOLDER / f"{name}.yaml" if name in shipped() else Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"vocabularies={name}: expected {', '.join(shipped())} or the path of a YAML file")
    return path


def vocabulary(name: str) -> Vocabulary:
    """Read a vocabulary, by its name or its path.

    Raises:
        ConfigError: there is none, or it is not as the module says.
    """
    path = path_of(name)
    said = load_yaml(path, resolve=False)
    text, most, words = said.pop("text", None), said.pop("most", None), said.pop("words", None)
    if said:
        raise ConfigError(f"{path}: {next(iter(said))}: unknown key; expected text, most, words")
    if isinstance(words, list) and not (isinstance(text, str) and text.count("{}") == 1):
        raise ConfigError(f"{path}: text={text}: expected a text with one {{}} for the word")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ConfigError(f"{path}: most={most}: expected a whole number, 1 or more")
    return Vocabulary(path.stem, _texts(path, str(text), words), most)


def _texts(path: Path, text: str, words: Any) -> dict[str, str]:
    given = words if isinstance(words, dict) else {}
    listed = list(given) if given else words
    if not isinstance(listed, list) or len(listed) < 2:
        raise ConfigError(f"{path}: words: expected a list of two words or more, or of words and their texts")
    for word in (*listed, *given.values()):
        # YAML reads `no` as false and `1990` as a number.
        if not isinstance(word, str) or not word.strip():
            raise ConfigError(f"{path}: words: {word!r}: expected text; put it in quotes")
    if len(set(listed)) < len(listed):
        twice = next(word for word in listed if listed.count(word) > 1)
        raise ConfigError(f"{path}: words: {twice} is there twice")
    return given or {word: text.replace("{}", word) for word in listed}
