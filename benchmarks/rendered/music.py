"""Rendered music whose tempo, beats, bars and key are known.

Each item is 20 s of stereo at 60 to 200 BPM (6/8: 60 to 120) in one of the 24 keys, tuned up to 30 cents off, with a
little noise, beginning anywhere in a bar; minor songs have a major dominant. The beat of 6/8 is the dotted quarter, two
to the bar. The music is steady and synthetic, some of it played by the demo library's own band, the rest
some milliseconds off the beat as people are; who plays freely, or changes tempo or key, is harder for every method.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import soxr

from audiocur.audio import Audio, Samples
from audiocur.sources.synth import instruments
from audiocur.sources.synth.instruments import Instrument
from audiocur.sources.synth.song import Band, Groove, Song, render

Note = tuple[float, float, Instrument, int, float, float]  # beat, length in beats, instrument, pitch, gain, pan

RATE_HZ, LENGTH_S = 44_100, 20.0
SLOWEST_BPM, FASTEST_BPM, FASTEST_COMPOUND_BPM = 60.0, 200.0, 120.0
TIMING_S = 0.004  # standard deviation of a played note
#: Textures and their meters, by beats to the bar.
TEXTURES = {
    "band": "4/4",
    "off-beat bass": "4/4",
    "breakbeat": "4/4",
    "plain drums": "4/4",
    "oom-pah": "4/4",
    "chords only": "4/4",
    "arpeggio": "4/4",
    "pads, melody": "4/4",
    "waltz": "3/4",
    "waltz with drums": "3/4",
    "slow rock": "6/8",
    "jig": "6/8",
}
BEATS_PER_BAR = {"4/4": 4, "3/4": 3, "6/8": 2}
#: Chords as degrees of the scale, in major and in minor.
PHRASES = {False: ((1, 4, 5, 1), (1, 6, 4, 5), (1, 2, 5, 1)), True: ((1, 4, 5, 1), (1, 6, 4, 5), (1, 7, 5, 1))}
CHORDS_PER_BAR = (1.0, 1.0, 1.0, 0.5, 2.0)  # most often one
MELODIES = ((0, 1, 2, 3, 4), (0, 2, 3, 4), (0, 1, 2, 4))
KICKS = ((0, 1.5, 2.5), (0, 0.75, 2.5), (0, 2, 2.75), (0, 1.75, 2.25))


class Bar(NamedTuple):
    """What a bar is made of: who plays, the chord's root and notes as MIDI numbers, and where the bass drum is."""

    timbre: Instrument
    root: int
    chord: list[int]
    kicks: tuple[float, ...]
    rng: np.random.Generator


@dataclass(frozen=True)
class Item:
    """A clip, and its truth.

    Attributes:
        texture: what plays, see `TEXTURES`.
        bpm: beats a minute.
        key: from C major, 0, to B minor, 23.
        audio: 20 s at 44.1 kHz, stereo.
        beats_s: in seconds from its start.
        downbeats_s: those of them that begin a bar.
    """

    texture: str
    bpm: float
    key: int
    audio: Audio
    beats_s: np.ndarray
    downbeats_s: np.ndarray

    @property
    def meter(self) -> str:
        """As it is written, "4/4"."""
        return TEXTURES[self.texture]

    @property
    def beats_per_bar(self) -> int:
        """Of the beats that `bpm` counts."""
        return BEATS_PER_BAR[self.meter]


def items(count: int, seed: int) -> Iterator[Item]:
    """Tempos and keys spread evenly, and dealt to the textures at random."""
    rng = np.random.default_rng(seed)
    keys = rng.permutation(np.resize(rng.permutation(24), count))
    places = (rng.permutation(count) + rng.uniform(size=count)) / count
    for i in range(count):
        texture = list(TEXTURES)[i % len(TEXTURES)]
        yield item(texture, places[i], int(keys[i]), np.random.default_rng((seed, i)))


def item(texture: str, place: float, key: int, rng: np.random.Generator) -> Item:
    """One item, its tempo at a place from 0, slowest, to 1."""
    meter = TEXTURES[texture]
    fastest_bpm = FASTEST_COMPOUND_BPM if meter == "6/8" else FASTEST_BPM
    bpm = round(SLOWEST_BPM * (fastest_bpm / SLOWEST_BPM) ** place)
    per_bar = BEATS_PER_BAR[meter]
    song = Song(
        tempo_bpm=bpm,
        tonic=key % 12,
        minor=key >= 12,
        bars=math.ceil((LENGTH_S + 1) * bpm / 60 / per_bar) + 3,  # more than the clip holds
        groove=Groove.HOUSE if texture == "off-beat bass" else (Groove.ROCK, Groove.BALLAD)[rng.integers(2)],
        band=(Band.KEYS, Band.STRINGS)[rng.integers(2)],
    )
    own = texture in ("band", "off-beat bass")
    samples = render(song, RATE_HZ, rng) if own else played(song, texture, per_bar, rng)
    speed = 2 ** (rng.uniform(-30, 30) / 1200)  # detuned as a tape is, so that the tempo is known still
    samples = soxr.resample(samples.T, RATE_HZ, RATE_HZ / speed).T
    start = round(rng.uniform(0, per_bar * 60 / bpm) * RATE_HZ)
    samples = samples[:, start : start + round(LENGTH_S * RATE_HZ)]
    samples = 0.8 * samples / np.abs(samples).max() + 0.002 * rng.standard_normal(samples.shape)
    beats_s = np.arange(song.bars * per_bar) * 60 / (bpm * speed) - start / RATE_HZ
    inside = (beats_s >= 0) & (beats_s < LENGTH_S)
    first = np.arange(len(beats_s)) % per_bar == 0
    audio = Audio(samples.astype(np.float32), RATE_HZ)
    return Item(texture, bpm * speed, key, audio, beats_s[inside], beats_s[inside & first])


def played(song: Song, texture: str, per_bar: int, rng: np.random.Generator) -> Samples:
    """The textures for which the demo library has no band."""
    beat_s = 60 / song.tempo_bpm
    mix = np.zeros((2, round((song.bars + 2) * per_bar * beat_s * RATE_HZ)), np.float32)
    timbre = (instruments.electric_piano, instruments.pluck, instruments.lead)[rng.integers(3)]
    phrase = PHRASES[song.minor][rng.integers(3)]
    chords_per_bar = CHORDS_PER_BAR[rng.integers(len(CHORDS_PER_BAR))] if TEXTURES[texture] == "4/4" else 1.0
    kicks = KICKS[rng.integers(len(KICKS))]
    for bar in range(song.bars):
        for part in range(max(1, int(chords_per_bar))):
            triad = [song.tonic + pitch for pitch in song.pitches(phrase[int(bar * chords_per_bar + part) % 4])]
            root, chord = 36 + triad[0] % 12, sorted(55 + (pitch - 55) % 12 for pitch in triad)
            length = per_bar / max(1, int(chords_per_bar))
            for at, beats_long, instrument, pitch, gain, pan in SCORES[texture](Bar(timbre, root, chord, kicks, rng)):
                if not part * length <= at < (part + 1) * length:
                    continue
                at_s = (bar * per_bar + at) * beat_s + rng.normal(0, TIMING_S)
                sound = note(instrument, pitch, min(beats_long, (part + 1) * length - at + 0.1) * beat_s)
                start = max(0, round(at_s * RATE_HZ))
                room = mix[:, start : start + len(sound)]
                room += np.float32([[gain * (1 - pan)], [gain * (1 + pan)]]) * sound[: room.shape[1]]
    return mix


# The notes of one bar over one chord, each as `Note`.


def breakbeat(bar: Bar) -> Iterator[Note]:
    yield from ((at, 1, kick, 0, 0.6, 0.0) for at in bar.kicks)
    yield from ((at, 1, snare, 0, 0.45, 0.0) for at in (1, 3))
    yield from ((at / 2, 1, hat, 0, 0.15, 0.3) for at in range(8))
    yield from ((at, 0.4, instruments.bass, bar.root, 0.35, 0.0) for at in bar.kicks)
    yield from ((at, 0.4, bar.timbre, pitch, 0.15, -0.3) for at in (0, 2.5) for pitch in bar.chord)


def plain_drums(bar: Bar) -> Iterator[Note]:
    yield from ((at, 1, (kick, snare)[at % 2], 0, 0.5, 0.0) for at in range(4))
    yield from ((at, 0.9, instruments.bass, bar.root, 0.3, 0.0) for at in (0, 2))
    yield from ((at, 2, bar.timbre, pitch, 0.15, -0.3) for at in (0, 2) for pitch in bar.chord)


def oom_pah(bar: Bar) -> Iterator[Note]:
    yield from ((at, 0.8, instruments.bass, bar.root - at // 2 * 5, 0.45, 0.0) for at in (0, 2))
    yield from ((at, 0.5, bar.timbre, pitch, 0.22, -0.3) for at in (1, 3) for pitch in bar.chord)
    for at, end in itertools.pairwise(
        MELODIES[bar.rng.integers(3)] if bar.rng.random() < 0.5 else (0, 1, 1.5, 2, 3, 4)
    ):
        yield at, 0.9 * (end - at), instruments.lead, int(bar.rng.choice(bar.chord)) + 12, 0.25, 0.2


def chords_only(bar: Bar) -> Iterator[Note]:
    yield from ((at, 4, bar.timbre, bar.root, 0.4, 0.0) for at in (0, 2) if at == 0 or bar.rng.random() < 0.5)
    for at in (0, 1, 2, 3, *([3.5] if bar.rng.random() < 0.3 else [])):
        yield from ((at, 0.9, bar.timbre, pitch, 0.3 if at else 0.4, 0.3) for pitch in bar.chord)


def arpeggio(bar: Bar) -> Iterator[Note]:
    for eighth, pitch in enumerate((bar.root, *bar.chord, bar.chord[0] + 12, *bar.chord[::-1])):
        yield eighth / 2, 1, instruments.pluck, pitch, 0.4, 0.3 - 0.1 * eighth
    yield from ((at, 1, hat, 0, 0.1, 0.4) for at in range(4))
    yield from ((at, 1, kick, 0, 0.35, 0.0) for at in (0, 2))


def pads_melody(bar: Bar) -> Iterator[Note]:
    yield from ((at, 4, instruments.pad, pitch, 0.25, 0.0) for at in (0, 2) for pitch in (bar.root + 12, *bar.chord))
    for at, end in itertools.pairwise(MELODIES[bar.rng.integers(3)]):
        yield at, 0.9 * (end - at), instruments.lead, int(bar.rng.choice(bar.chord)) + 12, 0.25, 0.2


def waltz(bar: Bar) -> Iterator[Note]:
    yield 0, 0.9, instruments.bass, bar.root, 0.5, 0.0
    yield from ((at, 0.6, bar.timbre, pitch, 0.25, -0.3) for at in (1, 2) for pitch in bar.chord)
    yield 0, 2.8, instruments.lead, int(bar.rng.choice(bar.chord)) + 12, 0.2, 0.3


def waltz_with_drums(bar: Bar) -> Iterator[Note]:
    yield 0, 1.8, instruments.bass, bar.root, 0.4, 0.0
    yield 0, 1, kick, 0, 0.6, 0.0
    yield from ((at, 1, snare, 0, 0.2, 0.0) for at in (1, 2))
    yield from ((at / 2, 1, hat, 0, 0.12, 0.3) for at in range(6))
    for at, end in itertools.pairwise(((0, 1, 2, 3), (0, 2, 3), (0, 1.5, 2, 3))[bar.rng.integers(3)]):
        yield at, 0.9 * (end - at), bar.timbre, int(bar.rng.choice(bar.chord)) + 12, 0.3, -0.2
    yield from ((0, 3, instruments.pad, pitch, 0.15, 0.0) for pitch in bar.chord)


def slow_rock(bar: Bar) -> Iterator[Note]:
    yield 0, 0.9, instruments.bass, bar.root, 0.4, 0.0
    yield 1, 0.9, instruments.bass, bar.root, 0.3, 0.0
    yield 0, 1, kick, 0, 0.6, 0.0
    yield 1, 1, snare, 0, 0.4, 0.0
    yield from ((at / 3, 1, hat, 0, 0.15, 0.3) for at in range(6))
    for eighth, pitch in enumerate((*bar.chord, bar.chord[0] + 12, bar.chord[2], bar.chord[1])):
        yield eighth / 3, 0.6, bar.timbre, pitch, 0.25, 0.2


def jig(bar: Bar) -> Iterator[Note]:
    for beat in (0, 1):
        yield beat, 0.6, instruments.pluck, bar.root + 12 * beat, 0.4, 0.0
        yield from ((beat + 2 / 3, 0.3, instruments.pluck, pitch, 0.12, -0.3) for pitch in bar.chord)
    for at, end in itertools.pairwise(((0, 2, 3, 4, 5, 6), (0, 1, 2, 3, 5, 6), (0, 2, 3, 5, 6))[bar.rng.integers(3)]):
        yield (
            at / 3,
            0.28 * (end - at),
            bar.timbre,
            int(bar.rng.choice(bar.chord)) + 12,
            0.4 if at in (0, 3) else 0.3,
            0.2,
        )


SCORES = {
    "breakbeat": breakbeat,
    "plain drums": plain_drums,
    "oom-pah": oom_pah,
    "chords only": chords_only,
    "arpeggio": arpeggio,
    "pads, melody": pads_melody,
    "waltz": waltz,
    "waltz with drums": waltz_with_drums,
    "slow rock": slow_rock,
    "jig": jig,
}


def kick(hz: float, length_s: float, rate_hz: int) -> Samples:
    return instruments.kick(rate_hz)


def snare(hz: float, length_s: float, rate_hz: int) -> Samples:
    return instruments.snare(rate_hz, np.random.default_rng(0))


def hat(hz: float, length_s: float, rate_hz: int) -> Samples:
    return instruments.hat(rate_hz, np.random.default_rng(0), decay=60.0)


@lru_cache(512)
def note(instrument: Instrument, pitch: int, length_s: float) -> Samples:
    return instrument(440.0 * 2 ** ((pitch - 69) / 12), length_s, RATE_HZ)
