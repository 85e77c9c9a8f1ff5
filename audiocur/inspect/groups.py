"""Clips grouped by the values of a column, whatever its type: the most frequent values, the others together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from audiocur.errors import ConfigError
from audiocur.rules import text_of

#: What clips without a value are called.
NONE = "none"
_BINS = 10


@dataclass(frozen=True)
class Groups:
    """Clips by value.

    Attributes:
        names: of the groups, in the order to show them.
        values: the same as rules write them, null for what is no single value (the others together, a range, none).
        codes: the group of each entry; `rows`: its clip. A clip of a list column has an entry for each item.
    """

    names: tuple[str, ...]
    values: tuple[str | None, ...]
    codes: NDArray[np.int64]
    rows: NDArray[np.int64]

    def sums(self, weights: NDArray[np.float64] | None = None, by: Groups | None = None) -> NDArray[np.float64]:
        """Clips in each group, or the sum of a weight a clip; shape (groups,), or (groups, groups of another column).

        >>> groups = grouped(pa.chunked_array([["a", "b", "a", None]]), most=5)
        >>> groups.names, groups.sums().tolist(), groups.sums(np.array([1.0, 2.0, 4.0, 8.0])).tolist()
        (('a', 'b', 'none'), [2.0, 1.0, 1.0], [5.0, 2.0, 8.0])
        """
        its_weights = None if weights is None else weights[self.rows]
        if by is None:
            return np.bincount(self.codes, its_weights, len(self.names)).astype(float)
        codes = self.codes * len(by.names) + by.codes[self.rows]
        summed = np.bincount(codes, its_weights, len(self.names) * len(by.names))
        return summed.reshape(len(self.names), len(by.names)).astype(float)


def is_list(kind: pa.DataType) -> bool:
    """Whether values of a type are lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether values of a type lie on an axis."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def grouped(values: pa.ChunkedArray, most: int) -> Groups:
    """Clips by the most frequent values of a column, or by round ranges of numbers where there are many.

    Args:
        values: texts, truth values, numbers, or lists of texts; a row a clip.
        most: groups, but for the clips without a value and those of all other values.

    Raises:
        ConfigError: values of another type.
    """
    kind, rows = values.type, np.arange(len(values))
    if is_list(kind):
        if not pa.types.is_string(kind.value_type):
            raise ConfigError(f"a column of {kind}: expected texts, truth values, numbers or lists of texts")
        lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64)
        empty = np.flatnonzero(lengths == 0)
        rows = np.concatenate([np.repeat(rows, lengths), empty])
        values = pa.chunked_array([*pc.list_flatten(values).chunks, pa.nulls(len(empty), kind.value_type)])
        kind = kind.value_type
    if not (is_number(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind)):
        raise ConfigError(f"a column of {kind}: expected texts, truth values, numbers or lists of texts")
    encoded = values.dictionary_encode().unify_dictionaries()
    dictionary = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], kind)
    if is_number(kind) and len(dictionary) > (_BINS if pa.types.is_floating(kind) else max(most, _BINS)):
        return _ranged(values, rows)
    indices = [np.asarray(pc.fill_null(chunk.indices, len(dictionary))).astype(np.int64) for chunk in encoded.chunks]
    return _chosen(dictionary.to_pylist(), np.concatenate([*indices, np.empty(0, np.int64)]), rows, most)


def verdicts(values: pa.ChunkedArray) -> Groups:
    """Clips by verdict: kept, rejected, failed, whether there are any or not.

    >>> verdicts(pa.chunked_array([["failed", "kept"]])).sums().tolist()
    [1.0, 0.0, 1.0]
    """
    names = ("kept", "rejected", "failed")
    codes = np.asarray(pc.index_in(values, pa.array(names))).astype(np.int64)
    return Groups(names, names, codes, np.arange(len(values)))


def _chosen(every: list[Any], codes: NDArray[np.int64], rows: NDArray[np.int64], most: int) -> Groups:
    """The most frequent of all values; their number counts for clips without one."""
    counts = np.bincount(codes, minlength=len(every) + 1)
    by_count = sorted(range(len(every)), key=lambda i: (-counts[i], str(every[i])))
    # One other value is no longer than "1 other".
    shown = by_count if len(by_count) <= most + 1 else by_count[:most]
    if every and not isinstance(every[0], str):
        shown = sorted(shown, key=lambda i: float(every[i]))
    places = np.full(len(every) + 1, len(shown), np.int64)
    places[shown] = np.arange(len(shown))
    names = [text_of(every[i]) for i in shown]
    values: list[str | None] = list(names)
    if len(shown) < len(every):
        names.append(f"{len(every) - len(shown):,} others")
    places[len(every)] = len(names)
    if counts[len(every)]:
        names.append(NONE)
    values += [None] * (len(names) - len(values))
    return Groups(tuple(names), tuple(values), places[codes], rows)


def _ranged(values: pa.ChunkedArray, rows: NDArray[np.int64]) -> Groups:
    """Numbers by round ranges; what is not finite is none."""
    from matplotlib.ticker import MaxNLocator

    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    finite = np.isfinite(numbers)
    edges = MaxNLocator(_BINS).tick_values(numbers[finite].min(), numbers[finite].max())
    codes = np.clip(np.searchsorted(edges, np.where(finite, numbers, 0.0), side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    none: list[str] = [] if finite.all() else [NONE]
    codes = np.where(finite, codes, len(names)).astype(np.int64)
    return Groups((*names, *none), (None,) * (len(names) + len(none)), codes, rows)
