"""What there is to see and hear of one clip: its sound, pictures of it, and all that was measured, ready for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from audiocur.audio import Audio
from audiocur.errors import UserError
from audiocur.inspect.frame import shown
from audiocur.inspect.playable import Playable, data_uri, playable
from audiocur.inspect.spectrogram import frequency_marks, spectrogram_png, waveform_path
from audiocur.rules import KeepRule, OnNull
from audiocur.schema import BASE_COLUMNS
from audiocur.words import clock

if TYPE_CHECKING:
    from audiocur.inspect.sound import Sounds

#: Of the pictures; they are stretched to the width of the page.
WIDTH_PX, SPECTROGRAM_PX, WAVEFORM_PX = 1000, 160, 64

#: Columns with words and their times, the best first.
_TIMED = (("aligned_words", "word"), ("lyrics_words", "word"), ("lyrics_segments", "text"))
#: What is drawn, or stands elsewhere in the card.
_DRAWN = frozenset(("voiced", "beats_s", "downbeats_s", "lyrics", "tags", "caption", *(column for column, _ in _TIMED)))
#: What an engineer looks at first, and how it is written.
_HEADLINE = {
    "loudness_lufs": "{:.1f} LUFS",
    "true_peak_dbtp": "{:+.1f} dBTP",
    "tempo_bpm": "{:.0f} BPM",
    "beats_per_bar": "{} beats a bar",
    "key": "{}",
    "bandwidth_hz": "up to {:,.0f} Hz",
    "stereo_image": "{}",
    "language": "language {}",
}
#: Units that the name of a column tells, and nobody writes behind a number.
_UNSAID = ("ratio", "probability")
#: Steps of a time axis that read well, in seconds; the finest is taken that gives at most so many labels.
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10)
_MOST_LABELS = 8


@dataclass(frozen=True)
class Mark:
    """Something in time over the picture: where it begins and how wide it is, in per cent of the width."""

    at: float
    wide: float
    label: str = ""
    start_s: float = 0.0
    end_s: float = 0.0


@dataclass(frozen=True)
class Fact:
    """A measure of a clip.

    Attributes:
        name, value, unit, meaning: of the column.
        bounds: of the rules that judge it, in words; `broken` if one of them is broken.
    """

    name: str
    value: str
    unit: str
    meaning: str
    bounds: str
    broken: bool


@dataclass(frozen=True)
class Card:
    """A clip on a page.

    Attributes:
        clip: its row of the ledger.
        schema: of the ledger, which says what columns mean.
        rules: keep rules of the run.
        sound: what plays, null where it cannot be had, and `problem` says why.
    """

    clip: Mapping[str, Any]
    schema: pa.Schema
    rules: Mapping[str, KeepRule]
    sound: Playable | None
    problem: str

    @classmethod
    def of(cls, sounds: Sounds, clip: Mapping[str, Any]) -> Card:
        """Everything there is of a clip; that its sound cannot be had is one of the things to tell."""
        rules = {
            name: KeepRule(**{**rule, "null": OnNull(rule["null"])}) for name, rule in sounds.run.recipe["keep"].items()
        }
        schema = sounds.run.ledger_dataset.schema
        try:
            return cls(clip, schema, rules, playable(sounds, clip), "")
        except UserError as error:
            return cls(clip, schema, rules, None, str(error))

    # Words.

    @property
    def place(self) -> str:
        """Where in its recording it lies."""
        return f"{clock(self.clip['start_s'])} to {clock(self.clip['end_s'])}, {self.clip['duration_s']:.1f} s"

    @property
    def recording(self) -> str:
        """Artist and title, as far as the recording has tags."""
        return ": ".join(self.clip[tag] for tag in ("artist", "title") if self.clip[tag])

    @property
    def fate(self) -> str:
        """Its verdict, and by what."""
        by = {"rejected": self.clip["rule"], "failed": self.clip["op"]}.get(self.clip["verdict"])
        return f"{self.clip['verdict']} by {by}" if by else str(self.clip["verdict"])

    @property
    def headline(self) -> list[str]:
        """The measures that are looked at first."""
        values = {name: self.clip.get(name) for name in _HEADLINE}
        return [_signed(_HEADLINE[name].format(value)) for name, value in values.items() if value is not None]

    @property
    def lyrics(self) -> str:
        """What was heard of words."""
        return self.clip.get("lyrics") or ""

    @property
    def language(self) -> str:
        """Of the lyrics."""
        return self.clip.get("language") or ""

    @property
    def caption(self) -> str:
        """What is known of it in a sentence."""
        return self.clip.get("caption") or ""

    @property
    def tags(self) -> Sequence[str]:
        """Its tags."""
        return self.clip.get("tags") or ()

    @property
    def facts(self) -> list[Fact]:
        """All that was measured, in the order of the ops, and the rules over it; then what manifests say."""
        judged = {rule.column for rule in self.rules.values()}
        named = [name for name in self.schema.names if name in judged or name not in BASE_COLUMNS]
        return [self._fact(name) for name in named if name not in _DRAWN and self.clip.get(name) not in (None, [])]

    def _fact(self, name: str) -> Fact:
        value, said = self.clip[name], self.schema.field(name).metadata or {}
        numbers = isinstance(value, list) and len(value) > 6
        unit = said.get(b"unit", b"").decode()
        judging = {key: rule for key, rule in self.rules.items() if rule.column == name}
        return Fact(
            name=name,
            value=f"{len(value):,} values" if numbers else _signed(shown(value)),
            unit="" if numbers or unit in _UNSAID else unit,
            meaning=said.get(b"meaning", b"").decode(),
            bounds="; ".join(rule.bounds.removeprefix(f"{name} ") for rule in judging.values()),
            broken=any(key in (self.clip["rules"] or ()) for key in judging),
        )

    @property
    def text(self) -> str:
        """What the picture shows, for who cannot see it."""
        said = [f"Waveform and spectrogram of {self.length_s:.1f} s"]
        if "voiced" in self.clip:
            voiced_s = sum(each["end_s"] - each["start_s"] for each in self.clip["voiced"] or ())
            said.append(f"voice for {voiced_s:.1f} s")
        for column, name in (("beats_s", "beats"), ("downbeats_s", "downbeats")):
            if self.clip.get(column):
                said.append(f"{len(self.clip[column])} {name}")
        return ", ".join(said)

    # Pictures. Places are shares of the width, in per cent.

    @property
    def length_s(self) -> float:
        """Of what is shown."""
        return self.sound.audio.duration_s if self.sound else float(self.clip["duration_s"])

    @property
    def waveform(self) -> str:
        """The outline, for the ``d`` of a path in a box of `WIDTH_PX` by `WAVEFORM_PX`."""
        return waveform_path(self._audio, width=WIDTH_PX, height=WAVEFORM_PX)

    @property
    def spectrogram(self) -> str:
        """As a data URI."""
        return data_uri("image/png", spectrogram_png(self._audio, width_px=WIDTH_PX, height_px=SPECTROGRAM_PX))

    @property
    def frequencies(self) -> list[tuple[str, float]]:
        """Labels, and how far up the spectrogram they stand; the last is its upper edge."""
        rate_hz = self._audio.rate_hz
        marks = [(label, 100 * share) for label, share in frequency_marks(rate_hz) if share < 0.85]
        return [*marks, (f"{rate_hz / 2000:g} kHz", 100.0)]

    @property
    def _audio(self) -> Audio:
        if self.sound is None:
            raise ValueError("a clip that cannot be heard has no picture")
        return self.sound.audio

    @property
    def voiced(self) -> list[Mark]:
        """Stretches with voice."""
        return [self._mark(each["start_s"], each["end_s"]) for each in self._times("voiced")]

    @property
    def beats(self) -> list[float]:
        """Beats that begin no bar."""
        bars = set(self.clip.get("downbeats_s") or ())
        return [self._share(at_s) for at_s in self._times("beats_s") if at_s not in bars]

    @property
    def downbeats(self) -> list[float]:
        """Beats that begin a bar."""
        return [self._share(at_s) for at_s in self._times("downbeats_s")]

    @property
    def words(self) -> list[Mark]:
        """Words of the lyrics with times, or lines where there are none of words."""
        for column, key in _TIMED:
            found = [each for each in self.clip.get(column) or () if each["start_s"] is not None]
            if found:
                return [self._mark(each["start_s"], each["end_s"], each[key].strip()) for each in found]
        return []

    @property
    def between_words(self) -> str:
        """What parts the `words`."""
        return " " if any(self.clip.get(column) for column, key in _TIMED if key == "word") else "\n"

    @property
    def seconds(self) -> list[tuple[str, float]]:
        """Labels of the time axis, from the clip's start."""
        step_s = next((step for step in _STEPS_S if self.length_s / step <= _MOST_LABELS), _STEPS_S[-1])
        ticks = (number * step_s for number in range(int(self.length_s / step_s) + 1))
        return [(f"{tick:g} s", self._share(tick)) for tick in ticks if tick <= self.length_s * 0.97]

    def _times(self, column: str) -> Iterator[Any]:
        """The entries of a list of times that begin within what is shown."""
        for each in self.clip.get(column) or ():
            if (each["start_s"] if isinstance(each, Mapping) else each) < self.length_s:
                yield each

    def _mark(self, start_s: float, end_s: float, label: str = "") -> Mark:
        start, end = self._share(start_s), self._share(min(end_s, self.length_s))
        return Mark(start, max(0.0, end - start), label, start_s, end_s)

    def _share(self, at_s: float) -> float:
        return 100 * at_s / self.length_s if self.length_s else 0.0


def _signed(text: str) -> str:
    """A number with a minus that is as wide as the plus."""
    return f"−{text[1:]}" if text.startswith("-") else text
