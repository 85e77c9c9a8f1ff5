"""Do not cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audiocur.op import Segmenter
from audiocur.records import Span


@dataclass(frozen=True, kw_only=True)
class Whole(Segmenter):
    """The whole span as one clip."""

    whole: ClassVar[bool] = True

    def apply(self, span: Span) -> None:
        if span.num_samples:
            span.cut(0, span.num_samples)
