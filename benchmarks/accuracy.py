"""Tempo and key on rendered music whose truth is known: audiocur's measures beside librosa's, right answers and cost.

usage: python benchmarks/accuracy.py [--items N] [--seed N]

Each item is 15 s of stereo at 60 to 190 BPM in one of the 24 keys, tuned up to 30 cents off, with a little noise; minor
songs have a major dominant. librosa is asked twice: on the spectrogram that audiocur's measures share, and as its
tutorials do, from the waveform at 22.05 kHz. Its chroma is matched with Krumhansl's profiles, and, to tell the chroma
from the profiles, also with audiocur's. One core, no network; two minutes for the usual 120 items. The music is
steady and synthetic: recordings of people, with rubato or changes of tempo and key, are harder for all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import librosa
import numpy as np
import soxr
from rich.console import Console
from rich.table import Table

from audiocur.audio import Audio, Samples
from audiocur.dsp import key as own_key
from audiocur.dsp import tempo as own_tempo
from audiocur.sources.synth import instruments
from audiocur.sources.synth.song import Band, Groove, Song, render

RATE_HZ, LIBROSA_RATE_HZ, LENGTH_S = 44_100, 22_050, 15.0
LEVELS = (1.0, 0.5, 2.0, 1 / 3, 3.0)  # of the true tempo, that accuracy 2 lets pass
TOLERANCE = 0.04

TEXTURES = ("band", "off-beat bass", "chords only", "arpeggio", "waltz", "pads, melody")
PHRASES = {False: ((1, 4, 5, 1), (1, 6, 4, 5), (1, 6, 2, 5)), True: ((1, 4, 5, 1), (1, 6, 4, 5), (1, 7, 6, 5))}
RHYTHMS = ((0, 1, 2, 3), (0, 2, 3), (0, 1, 2))

# Krumhansl and Kessler (1982): how well each degree fits a major and a minor key.
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
IMPORTS = {
    "audiocur": "import audiocur.dsp.tempo, audiocur.dsp.key",
    "librosa": "import librosa; librosa.beat.beat_track, librosa.feature.chroma_stft",  # its modules load when named
}


@dataclass(frozen=True)
class Item:
    """A rendered clip and its truth; keys are numbered from C major 0 to B minor 23."""

    texture: str
    bpm: float
    key: int
    audio: Audio
    waveform: Samples  # as librosa.load gives it


def items(count: int, seed: int) -> Iterator[Item]:
    """Tempos and keys spread evenly and dealt to the textures at random."""
    rng = np.random.default_rng(seed)
    keys = rng.permutation(np.resize(np.arange(24), count))
    tempos = 60 * (190 / 60) ** ((rng.permutation(count) + rng.uniform(size=count)) / count)
    for i in range(count):
        texture, bpm = TEXTURES[i % len(TEXTURES)], round(tempos[i])
        groove = Groove.HOUSE if texture == "off-beat bass" else (Groove.ROCK, Groove.BALLAD)[rng.integers(2)]
        song = Song(
            tempo_bpm=bpm,
            tonic=int(keys[i] % 12),
            minor=bool(keys[i] >= 12),
            bars=math.ceil((LENGTH_S + 1) * bpm / 180) + 3,  # of three beats, so that none ends within the clip
            groove=groove,
            band=(Band.KEYS, Band.STRINGS)[rng.integers(2)],
        )
        samples = render(song, RATE_HZ, rng) if i % len(TEXTURES) < 2 else played(song, texture, rng)
        # Detuned as a tape is, by its speed, so that the tempo is known still.
        speed = 2 ** (rng.uniform(-30, 30) / 1200)
        samples = soxr.resample(samples.T, RATE_HZ, RATE_HZ / speed).T
        start = round(rng.uniform(0, song.bar_s) * RATE_HZ)
        samples = samples[:, start : start + round(LENGTH_S * RATE_HZ)]
        samples = 0.8 * samples / np.abs(samples).max() + 0.002 * rng.standard_normal(samples.shape)
        audio = Audio(samples.astype(np.float32), RATE_HZ)
        resampled = librosa.resample(audio.mono, orig_sr=RATE_HZ, target_sr=LIBROSA_RATE_HZ)
        yield Item(texture, bpm * speed, int(keys[i]), audio, resampled)


def played(song: Song, texture: str, rng: np.random.Generator) -> Samples:
    """The textures that the demo library has no band for, a few milliseconds off the beat as people are."""
    beat_s, beats = 60 / song.tempo_bpm, 3 if texture == "waltz" else 4
    mix = np.zeros((2, round((song.bars * beats + 4) * beat_s * RATE_HZ)), np.float32)
    timbre = (instruments.electric_piano, instruments.pluck, instruments.lead)[rng.integers(3)]
    kick, hat = instruments.kick(RATE_HZ), instruments.hat(RATE_HZ, rng, decay=60.0)
    phrase = PHRASES[song.minor][rng.integers(3)]
    for bar in range(song.bars):
        pitches = [song.tonic + pitch for pitch in song.pitches(phrase[bar % 4])]
        root, chord = 36 + pitches[0] % 12, sorted(55 + (pitch - 55) % 12 for pitch in pitches)
        for at, sound, gain, pan in score(texture, timbre, kick, hat, root, chord, beat_s, rng):
            start = max(0, round(((bar * beats + at) * beat_s + rng.normal(0, 0.004)) * RATE_HZ))
            for channel, level in zip(mix, (1 - pan, 1 + pan), strict=True):
                room = channel[start : start + len(sound)]
                room += np.float32(gain * level) * sound[: len(room)]
    return mix


def score(
    texture: str,
    timbre: instruments.Instrument,
    kick: Samples,
    hat: Samples,
    root: int,
    chord: list[int],
    beat_s: float,
    rng: np.random.Generator,
) -> Iterator[tuple[float, Samples, float, float]]:
    """What sounds in a bar: beat, sound, gain, pan."""
    if texture == "chords only":
        yield 0, note(timbre, root, 4 * beat_s), 0.4, 0.0
        for at in (0, 1, 2, 3, *([3.5] if rng.random() < 0.3 else [])):
            yield from ((at, note(timbre, pitch, 0.9 * beat_s), 0.3 if at else 0.4, 0.3) for pitch in chord)
    elif texture == "arpeggio":
        for eighth, pitch in enumerate((root, *chord, chord[0] + 12, *chord[::-1])):
            yield eighth / 2, note(instruments.pluck, pitch, beat_s), 0.4, 0.3 - 0.1 * eighth
        yield from ((at, hat, 0.1, 0.4) for at in range(4))
        yield from ((at, kick, 0.35, 0.0) for at in (0, 2))
    elif texture == "waltz":
        yield 0, note(instruments.bass, root, 0.9 * beat_s), 0.5, 0.0
        yield from ((at, note(timbre, pitch, 0.6 * beat_s), 0.25, -0.3) for at in (1, 2) for pitch in chord)
        yield 0, note(instruments.lead, int(rng.choice(chord)) + 12, 2.8 * beat_s), 0.2, 0.3
    else:
        yield from ((0, note(instruments.pad, pitch, 4 * beat_s), 0.25, 0.0) for pitch in (root + 12, *chord))
        starts = (*RHYTHMS[rng.integers(3)], 4)
        for at, end in zip(starts, starts[1:], strict=False):
            yield at, note(instruments.lead, int(rng.choice(chord)) + 12, 0.9 * (end - at) * beat_s), 0.25, 0.2


@lru_cache(256)
def note(instrument: instruments.Instrument, pitch: int, length_s: float) -> Samples:
    return instrument(440.0 * 2 ** ((pitch - 69) / 12), length_s, RATE_HZ)


def shared_tempo(item: Item) -> float:
    s = item.audio.spectrogram
    mel_db = librosa.power_to_db(librosa.feature.melspectrogram(S=s.power, sr=s.rate_hz))
    onsets = librosa.onset.onset_strength(S=mel_db, sr=s.rate_hz, hop_length=s.hop, n_fft=s.n_fft)
    bpm, _ = librosa.beat.beat_track(onset_envelope=onsets, sr=s.rate_hz, hop_length=s.hop)
    return float(bpm[0])


def waveform_tempo(item: Item) -> float:
    bpm, _ = librosa.beat.beat_track(y=item.waveform, sr=LIBROSA_RATE_HZ)
    return float(bpm[0])


def shared_chroma(item: Item) -> Samples:
    s = item.audio.spectrogram
    tuning = librosa.estimate_tuning(S=s.power, sr=s.rate_hz, n_fft=s.n_fft)
    return librosa.feature.chroma_stft(S=s.power, sr=s.rate_hz, n_fft=s.n_fft, tuning=tuning)


def matched(chroma: Samples, profiles: Iterable[Iterable[float]]) -> int:
    """The key whose profile, turned to its tonic, the mean chroma correlates with best."""
    keys = [np.roll(profile, tonic) for profile in profiles for tonic in range(12)]
    return int(np.argmax([np.corrcoef(chroma.mean(axis=1), key)[0, 1] for key in keys]))


def named(key: str | None) -> int | None:
    return NAMES.index(key) if key else None


NAMES = [
    Song(tempo_bpm=120, tonic=tonic, minor=minor, bars=1, groove=Groove.ROCK, band=Band.KEYS).key
    for minor in (False, True)
    for tonic in range(12)
]
OWN_PROFILES = (own_key._MAJOR, own_key._MINOR)
TEMPOS: dict[str, Callable[[Item], float | None]] = {
    "audiocur": lambda item: own_tempo.tempo(item.audio.spectrogram).bpm,
    "librosa, shared spectrogram": shared_tempo,
    "librosa, waveform": waveform_tempo,
}
KEYS: dict[str, Callable[[Item], int | None]] = {
    "audiocur": lambda item: named(own_key.key(item.audio.spectrogram).name),
    "librosa, shared spectrogram": lambda item: matched(shared_chroma(item), KRUMHANSL),
    " … audiocur's profiles": lambda item: matched(shared_chroma(item), OWN_PROFILES),
    "librosa, chroma_stft": lambda item: matched(
        librosa.feature.chroma_stft(y=item.waveform, sr=LIBROSA_RATE_HZ), KRUMHANSL
    ),
    "librosa, chroma_cqt": lambda item: matched(
        librosa.feature.chroma_cqt(y=item.waveform, sr=LIBROSA_RATE_HZ), KRUMHANSL
    ),
}
