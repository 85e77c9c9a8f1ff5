"""A small table with a picture of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audiocur.inspect.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def nothing_to_draw() -> Figure:
    """What a table has that was made without a picture."""
    raise TypeError("this table has no picture")


@dataclass(frozen=True, repr=False)
class Figured(Frame):
    """A table, and what draws it; a notebook shows both, a terminal the table.

    Attributes:
        draw: makes the picture when it is asked for.
        text: what the picture shows, in a sentence, for who cannot see it.
    """

    draw: Callable[[], Figure] = nothing_to_draw
    text: str = ""

    def plot(self) -> Figure:
        """The picture."""
        return self.draw()

    def _repr_html_(self) -> str:
        from audiocur.inspect.style import svg_of

        return svg_of(self.draw(), self.text) + super()._repr_html_()
