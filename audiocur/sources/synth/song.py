"""Songs for the demo library: chords, bass, drums and a melody at a known tempo and in a known key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import scipy.signal

from audiocur.audio import Samples
from audiocur.sources.synth import instruments
from audiocur.sources.synth.instruments import Instrument

_MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)

#: Chords of four bars, as degrees of the scale: a phrase that asks, and one that answers on the tonic.
_QUESTIONS = {
    False: ((1, 5, 6, 4), (1, 6, 4, 5), (1, 4, 1, 5), (1, 6, 2, 5)),
    True: ((1, 6, 4, 5), (1, 4, 1, 5), (1, 7, 6, 5), (1, 4, 6, 5)),
}
_ANSWERS = {False: ((1, 4, 5, 1), (4, 1, 5, 1)), True: ((1, 4, 5, 1), (6, 4, 5, 1))}
#: Melody rhythms of one bar: start and length in eighths.
_MOTIFS = (
    ((0, 2), (2, 1), (3, 1), (4, 3)),
    ((0, 3), (3, 1), (4, 2), (6, 2)),
    ((0, 1), (1, 1), (2, 2), (5, 1), (6, 2)),
    ((0, 4), (4, 2), (6, 1)),
)


class Groove(StrEnum):
    """How the rhythm section plays."""

    BALLAD = "ballad"
    ROCK = "rock"
    HOUSE = "house"


#: Drum hits of a bar in sixteenths, with their strength. The beat is never in doubt: a tempo needs to be heard.
_DRUMS: Mapping[Groove, Mapping[str, Mapping[int, float]]] = {
    Groove.BALLAD: {
        "kick": {0: 1.0, 8: 0.9},
        "snare": {4: 0.7, 12: 0.8},
        "closed": {0: 0.8, 4: 0.9, 8: 0.8, 12: 0.9, 14: 0.2},
    },
    Groove.ROCK: {
        "kick": {0: 1.0, 8: 0.95, 10: 0.6},
        "snare": {4: 1.0, 12: 1.0},
        "closed": {step: 0.9 if step % 4 == 0 else 0.5 for step in range(0, 16, 2)},
    },
    Groove.HOUSE: {
        "kick": {0: 1.0, 4: 1.0, 8: 1.0, 12: 1.0},
        "clap": {4: 0.9, 12: 0.9},
        "open": {2: 0.6, 6: 0.6, 10: 0.6, 14: 0.65},
        "closed": dict.fromkeys(range(16), 0.35),
    },
}
#: Bass notes of a bar: sixteenth, length in sixteenths, semitones above the chord's root.
_BASS: Mapping[Groove, tuple[tuple[int, int, int], ...]] = {
    Groove.BALLAD: ((0, 8, 0), (8, 4, 0), (12, 4, 7)),
    Groove.ROCK: ((0, 3, 0), (4, 2, 0), (8, 3, 0), (10, 2, 0), (12, 2, 7), (14, 2, 12)),
    Groove.HOUSE: ((2, 2, 0), (6, 2, 0), (10, 2, 12), (14, 2, 0)),
}


class Band(StrEnum):
    """Who plays the chords, over a pad: an electric piano, or a plucked string in arpeggios."""

    KEYS = "keys"
    STRINGS = "strings"


@dataclass(frozen=True, kw_only=True)
class Song:
    """What is played.

    Attributes:
        tempo_bpm: beats a minute, four to the bar.
        tonic: pitch class, 0 is C.
        minor: the mode.
        bars: length; the last bar rests on the tonic.
        groove: of bass and drums.
        band: who plays the chords.
        intro_bars: before drums and bass come in.
    """

    tempo_bpm: int
    tonic: int
    minor: bool
    bars: int
    groove: Groove
    band: Band
    intro_bars: int = 0

    @property
    def key(self) -> str:
        """The key as the measures write it, "A minor"."""
        return f"{_MINOR_NAMES[self.tonic]} minor" if self.minor else f"{_MAJOR_NAMES[self.tonic]} major"

    @property
    def bar_s(self) -> float:
        """Length of a bar in seconds."""
        return 240.0 / self.tempo_bpm

    def pitches(self, degree: int) -> tuple[int, int, int]:
        """Semitones above the tonic of the triad on a degree of the scale; the dominant is major in minor too."""
        scale = _MINOR if self.minor else _MAJOR
        triad = [scale[(degree - 1 + step) % 7] + 12 * ((degree - 1 + step) // 7) for step in (0, 2, 4)]
        if self.minor and degree == 5:
            triad[1] += 1
        return triad[0], triad[1], triad[2]


def render(song: Song, rate_hz: int, rng: np.random.Generator) -> Samples:
    """Play a song: shape (2, samples), about -15 LUFS, peaks below -1 dBFS."""
    mix = _Mix(song.bars * song.bar_s + 1.5, rate_hz)
    degrees = _harmony(song, rng)
    _play_chords(song, degrees, mix)
    _play_bass(song, degrees, mix, rng)
    _play_melody(song, degrees, mix, rng)
    _play_drums(song, mix, rng)
    return mix.mastered(rng)


@dataclass
class _Mix:
    """A mixing desk: a dry bus, a bus to the reverb, and the notes already rendered."""

    length_s: float
    rate_hz: int
    dry: Samples = field(init=False)
    wet: Samples = field(init=False)
    notes: dict[tuple[str, int, int], Samples] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dry = np.zeros((2, round(self.length_s * self.rate_hz)), np.float32)
        self.wet = np.zeros_like(self.dry)

    def note(self, instrument: Instrument, pitch: int, length_s: float) -> Samples:
        """A note by its MIDI number; each is rendered once."""
        key = (instrument.__name__, pitch, round(length_s * 1000))
        if key not in self.notes:
            self.notes[key] = instrument(440.0 * 2 ** ((pitch - 69) / 12), length_s, self.rate_hz)
        return self.notes[key]

    def add(self, sound: Samples, at_s: float, gain: float, *, pan: float = 0.0, send: float = 0.0) -> None:
        """Place a sound; pan runs from -1, left, to 1."""
        start = max(0, round(at_s * self.rate_hz))
        sound = sound[: self.dry.shape[1] - start]
        angle = (pan + 1) * np.pi / 4
        for channel, level in enumerate((np.cos(angle), np.sin(angle))):
            part = sound * np.float32(gain * level)
            self.dry[channel, start : start + sound.size] += part
            if send:
                self.wet[channel, start : start + sound.size] += part * np.float32(send)

    def mastered(self, rng: np.random.Generator) -> Samples:
        """The mix with its room, gently limited, ending in a fade."""
        t = np.arange(round(1.3 * self.rate_hz)) / self.rate_hz
        room = rng.standard_normal((2, t.size)) * np.exp(-5.0 * t)
        room = scipy.signal.sosfilt(scipy.signal.butter(1, 5000, fs=self.rate_hz, output="sos"), room)
        room /= np.sqrt(np.square(room).sum(-1, keepdims=True))
        reverb = scipy.signal.oaconvolve(self.wet, room.astype(np.float32), axes=-1)[:, : self.dry.shape[1]]
        rumble = scipy.signal.butter(2, 28, "highpass", fs=self.rate_hz, output="sos")
        mix = scipy.signal.sosfilt(rumble, self.dry + reverb)
        fade = round(0.5 * self.rate_hz)
        mix[:, -fade:] *= np.linspace(1, 0, fade) ** 2
        # An RMS of -16 dBFS before the limiter leaves only the drums to be rounded off.
        mix = np.tanh(mix * (10 ** (-16 / 20) / np.sqrt(np.square(mix).mean())))
        return np.asarray(mix * 10 ** (-1 / 20), np.float32)


def _harmony(song: Song, rng: np.random.Generator) -> list[int]:
    phrases = [choices[rng.integers(len(choices))] for choices in (_QUESTIONS[song.minor], _ANSWERS[song.minor])]
    degrees = [phrases[bar // 4 % 2][bar % 4] for bar in range(song.bars)]
    degrees[-2:] = [5, 1]
    return degrees


def _voicing(song: Song, degree: int, centre: int) -> list[int]:
    """The chord's notes in the octave around a centre, so that chords follow each other in small steps."""
    return sorted(centre - 6 + (song.tonic + pitch - centre + 6) % 12 for pitch in song.pitches(degree))


def _play_chords(song: Song, degrees: list[int], mix: _Mix) -> None:
    step_s = song.bar_s / 16
    for bar, degree in enumerate(degrees):
        start_s, last = bar * song.bar_s, bar == len(degrees) - 1
        chord = _voicing(song, degree, 62)
        for voice, pitch in enumerate(chord):
            note = mix.note(instruments.pad, pitch - 12 * (voice == 0), song.bar_s)
            mix.add(note, start_s, 0.13, pan=(-0.8, 0.8, 0.1)[voice], send=0.5)
        if song.band is Band.KEYS:
            for step, length in ((0, 16),) if last else ((0, 6), (6, 4), (10, 6)):
                for voice, pitch in enumerate(chord):
                    note = mix.note(instruments.electric_piano, pitch, length * step_s * 0.95)
                    mix.add(note, start_s + step * step_s + 0.004 * voice, 0.22, pan=-0.35, send=0.25)
        else:
            arpeggio = [*chord, chord[0] + 12, chord[2], chord[1]]
            for step in range(0, 1 if last else 16, 2):
                pitch = arpeggio[step // 2 % 6] + 12
                note, gain = mix.note(instruments.pluck, pitch, 4 * step_s), 0.34 if step % 4 else 0.42
                mix.add(note, start_s + step * step_s, gain, pan=0.4 - 0.1 * (step % 8), send=0.35)


def _play_bass(song: Song, degrees: list[int], mix: _Mix, rng: np.random.Generator) -> None:
    step_s = song.bar_s / 16
    for bar, degree in list(enumerate(degrees))[song.intro_bars :]:
        root = 40 + (song.tonic + song.pitches(degree)[0] - 40) % 12 - 12 * (song.groove is Groove.HOUSE)
        last = bar == len(degrees) - 1
        for step, length, interval in ((0, 15, 0),) if last else _BASS[song.groove]:
            note = mix.note(instruments.bass, max(root, 28) + interval, length * step_s * 0.92)
            mix.add(note, bar * song.bar_s + step * step_s, 0.42 * rng.uniform(0.9, 1.0))


def _play_melody(song: Song, degrees: list[int], mix: _Mix, rng: np.random.Generator) -> None:
    """Two motifs, A A B A, on the notes of the chord where they are long and on the scale between them."""
    eighth_s = song.bar_s / 8
    motifs = [_MOTIFS[index] for index in rng.permutation(len(_MOTIFS))[:2]]
    scale = sorted((song.tonic + step) % 12 for step in (_MINOR if song.minor else _MAJOR))
    place = 72
    for bar in range(max(song.intro_bars, 1), len(degrees) - 1):
        chord = {(song.tonic + pitch) % 12 for pitch in song.pitches(degrees[bar])}
        for start, length in motifs[bar % 4 == 2]:
            allowed = chord if length > 1 or start % 4 == 0 else chord | set(scale)
            near = [pitch for pitch in range(max(65, place - 5), min(82, place + 6)) if pitch % 12 in allowed]
            # Small steps are likelier than large ones, and the tonic draws the melody home.
            pulls = [(2.5 if pitch % 12 == song.tonic else 1.0) / (1 + abs(pitch - place)) for pitch in near]
            place = int(rng.choice(near, p=np.array(pulls) / sum(pulls)))
            at_s = bar * song.bar_s + start * eighth_s + rng.uniform(0, 0.006)
            mix.add(mix.note(instruments.lead, place, length * eighth_s * 0.9), at_s, 0.26, pan=0.15, send=0.4)


def _play_drums(song: Song, mix: _Mix, rng: np.random.Generator) -> None:
    rate_hz, step_s = mix.rate_hz, song.bar_s / 16
    kit: dict[str, tuple[Samples, float, float, float]] = {  # sound, gain, pan, reverb
        "kick": (instruments.kick(rate_hz), 0.95, 0.0, 0.0),
        "snare": (instruments.snare(rate_hz, rng), 0.62, -0.05, 0.2),
        "clap": (instruments.clap(rate_hz, rng), 0.58, 0.05, 0.3),
        "closed": (instruments.hat(rate_hz, rng, decay=60.0), 0.4, 0.35, 0.0),
        "open": (instruments.hat(rate_hz, rng, decay=12.0), 0.36, 0.35, 0.05),
    }
    for bar, name, step, strength in _hits(song):
        sound, gain, pan, send = kit[name]
        at_s = bar * song.bar_s + step * step_s + rng.uniform(0, 0.003)
        mix.add(sound, at_s, gain * strength * rng.uniform(0.88, 1.0), pan=pan, send=send)


def _hits(song: Song) -> Iterator[tuple[int, str, int, float]]:
    backbeat = "clap" if song.groove is Groove.HOUSE else "snare"
    for bar in range(song.intro_bars, song.bars):
        if bar == song.bars - 1:
            yield bar, "kick", 0, 1.0
            yield bar, "open", 0, 1.0
            return
        for name, steps in _DRUMS[song.groove].items():
            for step, strength in steps.items():
                yield bar, name, step, strength
        if bar % 4 == 3:  # a fill into the next four bars
            for step in (13, 14, 15):
                yield bar, backbeat, step, 0.3 + 0.1 * (step - 13)
