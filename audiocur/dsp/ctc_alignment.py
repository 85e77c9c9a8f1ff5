"""Where the words of a known text lie in the emissions of a CTC model: its letters, the best path, and their times.

The path is torchaudio's `forced_align` (Pratap et al. 2023, "Scaling Speech Technology to 1,000+ Languages").
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

APOSTROPHES = "'’ʼ"


class Placed(NamedTuple):
    """A word in time.

    Attributes:
        start: its first frame.
        end: the frame after its last.
        score: mean probability of its letters over those frames, 0 to 1.
    """

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Letters:
    """What a CTC model can emit.

    Attributes:
        ids: of its letters, single characters.
        blank: the id that stands for nothing.
        delimiter: the id between two words, null where the model has none.
    """

    ids: Mapping[str, int]
    blank: int
    delimiter: int | None = None

    @classmethod
    def of(cls, vocabulary: Mapping[str, int], blank: int) -> Letters:
        """The letters among the tokens of a vocabulary; digits, signs and names in brackets are none."""
        delimiter = vocabulary.get("|", vocabulary.get(" "))
        return cls({token: i for token, i in vocabulary.items() if _is_letter(token) and i != blank}, blank, delimiter)

    def spell(self, word: str) -> list[int]:
        """The ids of a word's letters, as far as the model knows them: in its case, else without their accents.

        >>> Letters({"E": 1, "T": 2, "'": 3}, 0).spell("Été’s, 42")
        [1, 2, 1, 3]
        """
        return [i for char in unicodedata.normalize("NFC", word) for i in self._spell(char)]

    def _spell(self, char: str) -> Iterator[int]:
        for form in ("'" if char in APOSTROPHES else char, char.lower(), char.upper()):
            if form in self.ids:
                yield self.ids[form]
                return
        parts = unicodedata.normalize("NFKD", char.casefold())
        if parts != char:
            for part in parts:
                yield from self._spell(part)


def frames_needed(letters: Sequence[int]) -> int:
    """The fewest frames in which CTC can emit these ids: a blank must part two that are the same.

    >>> frames_needed([1, 1, 2])
    4
    """
    return len(letters) + sum(a == b for a, b in pairwise(letters))


def line(words: Sequence[Sequence[int]], delimiter: int | None) -> tuple[list[int], list[int | None]]:
    """The ids of all words in a row, and the word that each belongs to; words without letters have none.

    >>> line([[1, 2], [], [3]], 9)
    ([1, 2, 9, 3], [0, 0, None, 2])
    """
    ids: list[int] = []
    owners: list[int | None] = []
    for i, word in enumerate(words):
        if word and ids and delimiter is not None:
            ids.append(delimiter)
            owners.append(None)
        ids.extend(word)
        owners.extend([i] * len(word))
    return ids, owners


def place(emission: Tensor, words: Sequence[Sequence[int]], letters: Letters) -> list[Placed | None] | None:
    """Place each word on the best path through an emission.

    Args:
        emission: log-probabilities, shape (frames, ids), float32 on the CPU.
        words: the ids of each word's letters, see `Letters.spell`.
        letters: of the model.

    Returns:
        For each word where it lies, None where it has no letters; None for all of them where no word has any, or the
        clip is too short to say them.
    """
    import torch
    from torchaudio.functional import forced_align, merge_tokens

    ids, owners = line(words, letters.delimiter)
    if not ids or frames_needed(ids) > len(emission):
        return None
    path, scores = forced_align(emission[None], torch.tensor([ids], dtype=torch.int32), blank=letters.blank)
    spans = merge_tokens(path[0], scores[0].exp(), blank=letters.blank)
    placed: list[Placed | None] = []
    for i in range(len(words)):
        own = [span for span, owner in zip(spans, owners, strict=True) if owner == i]
        if not own:
            placed.append(None)
            continue
        score = sum(span.score * len(span) for span in own) / sum(map(len, own))
        placed.append(Placed(own[0].start, own[-1].end, score))
    return placed


def _is_letter(token: str) -> bool:
    return len(token) == 1 and (token.isalpha() or token == "'" or unicodedata.category(token).startswith("M"))
