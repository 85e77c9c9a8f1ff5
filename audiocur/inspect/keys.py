"""Keys around the circle of fifths: a library that sits on one side of it says so at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from audiocur.inspect.style import IN, INK, KEPT, MUTED, add_legend, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Major keys by fifths, from six flats to five sharps, each above the minor key of the same accidentals.
MAJORS = ("F#", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B")
MINORS = ("Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#")
#: Other spellings of the same keys.
_SAME = {"Gb": "F#", "C#": "Db", "D#": "Eb", "G#": "Ab", "A#": "Bb", "Cb": "B"}
_SAME_MINOR = {"D#": "Eb", "A#": "Bb", "Db": "C#", "Gb": "F#", "Ab": "G#"}


def by_fifths(clips: Mapping[str, float]) -> tuple[list[float], list[float]] | None:
    """Clips in the keys of `MAJORS` and of `MINORS`, null if some name is none of a key.

    >>> majors, minors = by_fifths({"C major": 3, "A minor": 2, "D# minor": 1})
    >>> majors[MAJORS.index("C")], minors[MINORS.index("A")], minors[MINORS.index("Eb")]
    (3.0, 2.0, 1.0)
    >>> by_fifths({"H-Moll": 1}) is None
    True
    """
    majors, minors = [0.0] * 12, [0.0] * 12
    for name, number in clips.items():
        tonic, _, mode = name.partition(" ")
        if mode == "major" and (its := _SAME.get(tonic, tonic)) in MAJORS:
            majors[MAJORS.index(its)] += number
        elif mode == "minor" and (its := _SAME_MINOR.get(tonic, tonic)) in MINORS:
            minors[MINORS.index(its)] += number
        else:
            return None
    return majors, minors


@styled()
def draw_keys(majors: list[float], minors: list[float]) -> Figure:
    """Draw clips in major keys upwards, and those in the relative minor keys downwards."""
    figure = new_figure()
    axes = figure.add_subplot()
    places = np.arange(12)
    most = max(*majors, *minors, 1.0)
    room = most * 0.28  # between the two, for the names
    axes.bar(places, majors, bottom=room, width=0.74, color=KEPT, label="major", linewidth=0)
    axes.bar(places, [-number for number in minors], bottom=-room, width=0.74, color=IN, label="minor", linewidth=0)
    for names, height, suffix in ((MAJORS, room * 0.47, ""), (MINORS, -room * 0.47, "m")):
        for place, name in enumerate(names):
            axes.text(place, height, f"{name}{suffix}", ha="center", va="center", fontsize=8.5, color=INK)
    for sign, numbers in ((1, majors), (-1, minors)):
        for place, number in enumerate(numbers):
            if number:
                axes.annotate(
                    f"{number:,.0f}" if number < 10_000 else f"{number / 1000:,.0f}k",
                    (place, sign * (room + number)),
                    xytext=(0, 3 * sign),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if sign > 0 else "top",
                    fontsize=8.5,
                    color=MUTED,
                )
    axes.set_ylim(-(most + room) * 1.14, (most + room) * 1.14)
    axes.set_xlim(-0.6, 11.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel("by fifths, relative keys above each other")
    add_legend(axes)
    return figure
