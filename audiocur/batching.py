"""Clips put together for a model: of about one length, so that little of what it computes is padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Of what a model works through, this much may be padding, unless it hears windows of fixed length anyway.
MAX_PADDING_RATIO = 0.1


def batches(
    lengths_s: Sequence[float],
    computed_s: Callable[[float, int], float],
    *,
    max_clips: int,
    max_s: float,
    fixed: bool = False,
) -> list[list[int]]:
    """Which clips go together, as their places in `lengths_s`: longest first, each once.

    A batch ends where it is full, where one more clip would take it over `max_s`, or where padding would be more than a
    tenth of it. The same lengths give the same batches.

    Args:
        lengths_s: of the clips.
        computed_s: seconds that the model works through for so many clips of which the longest has that length.
        max_clips: in a batch.
        max_s: computed in a batch; a single clip may take more.
        fixed: the model hears windows of one length, so that mixing lengths costs nothing more.

    >>> batches([5.0, 30.0, 29.0, 5.0], lambda longest_s, clips: longest_s * clips, max_clips=8, max_s=600)
    [[1, 2], [0, 3]]
    """
    found: list[list[int]] = []
    heard_s = 0.0
    for place in sorted(range(len(lengths_s)), key=lambda i: (-lengths_s[i], i)):
        batch = found[-1] if found else []
        clips, longest_s = len(batch) + 1, lengths_s[batch[0]] if batch else lengths_s[place]
        computed = computed_s(longest_s, clips)
        padding = 0.0 if fixed else 1 - (heard_s + lengths_s[place]) / computed if computed else 0.0
        if not batch or clips > max_clips or computed > max_s or padding > MAX_PADDING_RATIO:
            found.append([place])
            heard_s = lengths_s[place]
        else:
            batch.append(place)
            heard_s += lengths_s[place]
    return found
