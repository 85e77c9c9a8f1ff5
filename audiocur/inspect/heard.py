"""Examples as the report shows them: values with units, times, and sound as data that a page holds."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from audiocur.inspect.examples import SPECTROGRAM_PX, WAVEFORM_PX, Example, Excerpt
from audiocur.inspect.frame import shown
from audiocur.words import clock


@dataclass(frozen=True)
class Heard:
    """One example, to be shown.

    Attributes:
        example: what is shown.
        rule: whose; `unit` of its column, "" without one.
        room: there is room left for its sound.
    """

    example: Example
    rule: str
    unit: str
    room: bool

    @property
    def excerpt(self) -> Excerpt:
        """Its sound; to be asked for only where `problem` says nothing."""
        if isinstance(self.example.excerpt, str):
            raise TypeError(f"no sound: {self.example.excerpt}")
        return self.example.excerpt

    @property
    def problem(self) -> str:
        """Why it has no sound, "" where it has."""
        if isinstance(self.example.excerpt, str):
            return self.example.excerpt
        return "" if self.room else "left out to keep this page small; the notebook plays it"

    @property
    def value(self) -> str:
        """The measure, with its unit."""
        return with_unit(self.example.value, self.unit)

    @property
    def verdict(self) -> str:
        """Of the clip."""
        return str(self.example.clip["verdict"])

    @property
    def uri(self) -> str:
        """Of the recording."""
        return str(self.example.clip["uri"])

    @property
    def clip_id(self) -> str:
        """Of the clip."""
        return str(self.example.clip["clip_id"])

    @property
    def times(self) -> str:
        """Where it lies in the recording."""
        return f"{clock(self.example.clip['start_s'])} to {clock(self.example.clip['end_s'])}"

    @property
    def also(self) -> str:
        """What other rules it breaks."""
        return ", ".join(rule for rule in self.example.clip["rules"] or () if rule != self.rule)

    @property
    def label(self) -> str:
        """What its player plays."""
        start_s = self.example.clip["start_s"] + self.excerpt.start_s
        return f"{self.uri}, {self.excerpt.length_s:.0f} s from {clock(start_s)}, {self.verdict}, {self.value}"

    @property
    def picture(self) -> str:
        """What its picture shows."""
        return f"Waveform and spectrogram of {self.label}"

    @property
    def png(self) -> str:
        """Its spectrogram, as a page holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.excerpt.png).decode()}"

    @property
    def mp3(self) -> str:
        """Its sound, as a page holds it."""
        return f"data:audio/mpeg;base64,{base64.b64encode(self.excerpt.mp3).decode()}"

    def height_of(self, share: float) -> float:
        """Where a frequency so far up the spectrogram stands in the picture."""
        return round(WAVEFORM_PX + 4 + SPECTROGRAM_PX * (1 - share), 1)


def with_unit(value: Any, unit: str) -> str:
    """A measure as one reads it.

    >>> with_unit(-14.7, "LUFS"), with_unit(0.25, "ratio"), with_unit(None, "Hz"), with_unit(True, "")
    ('−14.7 LUFS', '0.25', 'null', 'yes')
    """
    if value is None:
        return "null"
    if not isinstance(value, int | float):
        return shown(value)
    told = f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else shown(value)
    return f"{told.replace('-', '−')} {unit if unit != 'ratio' else ''}".strip()
