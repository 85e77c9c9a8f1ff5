"""What a model op was given and did, for the summary of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields


@dataclass(slots=True)
class Usage:
    """Of one model op, over some batches.

    Attributes:
        clips: measured; `skipped`: not, because its `when` did not hold; `nulled`: null, because of an error.
        batches: handed to the model, and `room`: for how many clips there was room in them.
        heard_s: seconds of audio in them; `computed_s`: with the padding.
        halvings: batches that ran out of memory and were tried again in halves.
        busy_s: seconds that the model was at work.

    >>> some = Usage(clips=6, batches=2, room=8, heard_s=95.0, computed_s=100.0)
    >>> some.fill_ratio, round(some.padding_ratio, 3)
    (0.75, 0.05)
    """

    clips: int = 0
    skipped: int = 0
    nulled: int = 0
    batches: int = 0
    room: int = 0
    heard_s: float = 0.0
    computed_s: float = 0.0
    halvings: int = 0
    busy_s: float = 0.0

    def add(self, other: Usage) -> None:
        """Take in what was done elsewhere."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def fill_ratio(self) -> float:
        """How full the batches were."""
        return self.clips / self.room if self.room else 0.0

    @property
    def padding_ratio(self) -> float:
        """How much of what was computed is padding."""
        return 1 - self.heard_s / self.computed_s if self.computed_s else 0.0


def totals(usages: Iterable[Mapping[str, Usage]]) -> dict[str, Usage]:
    """Of each op, over all of them."""
    found: dict[str, Usage] = {}
    for usage in usages:
        for op, its in usage.items():
            found.setdefault(op, Usage()).add(its)
    return found
