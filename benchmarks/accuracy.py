"""Tempo and key of rendered music whose truth is known: audiocur's measures beside librosa's, right answers and cost.

usage: python benchmarks/accuracy.py [--items N] [--seed N]

Each item is 15 s of stereo at 60 to 190 BPM in one of the 24 keys, tuned up to 30 cents off, with a little noise; minor
songs have a major dominant. librosa is asked on the spectrogram that audiocur's measures share, and, as its tutorials
do, from the waveform at 22.05 kHz. Its chroma is matched with Krumhansl's profiles and, to tell chroma from profiles,
with audiocur's too. Accuracy 1 wants the tempo within 4 %; accuracy 2 lets its half, double, third and triple pass.

About a minute for 120 items, on one core. The music is steady and synthetic, some of it played by the demo
library's own band; people who play freely, or change tempo or key, are harder for all of them.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import librosa
import numpy as np
import soxr
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # comes with librosa

from audiocur.audio import Audio, Samples
from audiocur.dsp import key, tempo
from audiocur.sources.synth import instruments
from audiocur.sources.synth.instruments import Instrument
from audiocur.sources.synth.song import Band, Groove, Song, render

Profiles = Iterable[Iterable[float]]
Results = dict[tuple[str, str], list[tuple[float, ...]]]  # by measure and method: CPU-seconds and marks of each item

RATE_HZ, LIBROSA_RATE_HZ, LENGTH_S = 44_100, 22_050, 15.0
TEXTURES = ("band", "off-beat bass", "chords only", "arpeggio", "waltz", "pads, melody")
PHRASES = {False: ((1, 4, 5, 1), (1, 6, 4, 5), (1, 2, 5, 1)), True: ((1, 4, 5, 1), (1, 6, 4, 5), (1, 7, 5, 1))}
RHYTHMS = ((0, 1, 2, 3, 4), (0, 2, 3, 4), (0, 1, 2, 4))
TOLERANCE, LEVELS = 0.04, (1.0, 0.5, 2.0, 1 / 3, 3.0)  # of the true tempo; accuracy 2 lets all these levels pass
# Keys are numbered from C major, 0, to B minor, 23.
NAMES = [f"{tonic} major" for tonic in key._MAJOR_NAMES] + [f"{tonic} minor" for tonic in key._MINOR_NAMES]
OWN_PROFILES = (key._MAJOR, key._MINOR)
# Krumhansl and Kessler (1982): how well each degree, from the tonic in semitones, fits a major and a minor key.
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
IMPORTS = {
    "audiocur's measures": "import audiocur.dsp.tempo, audiocur.dsp.key",
    "librosa's": "import librosa; librosa.beat.beat_track, librosa.feature.chroma_stft",  # loaded when they are named
}


@dataclass(frozen=True)
class Item:
    """A clip, and its truth."""

    texture: str
    bpm: float
    key: int
    audio: Audio
    waveform: Samples  # as librosa.load gives it


def items(count: int, seed: int) -> Iterator[Item]:
    """Tempos and keys spread evenly, and dealt to the textures at random."""
    rng = np.random.default_rng(seed)
    keys = rng.permutation(np.resize(rng.permutation(24), count))
    tempos_bpm = 60 * (190 / 60) ** ((rng.permutation(count) + rng.uniform(size=count)) / count)
    for i in range(count):
        texture, bpm, number = TEXTURES[i % len(TEXTURES)], round(tempos_bpm[i]), int(keys[i])
        groove = Groove.HOUSE if texture == "off-beat bass" else (Groove.ROCK, Groove.BALLAD)[rng.integers(2)]
        band = (Band.KEYS, Band.STRINGS)[rng.integers(2)]
        bars = math.ceil((LENGTH_S + 1) * bpm / 180) + 3  # more than the clip holds, even of three beats
        song = Song(tempo_bpm=bpm, tonic=number % 12, minor=number >= 12, bars=bars, groove=groove, band=band)
        samples = render(song, RATE_HZ, rng) if texture in TEXTURES[:2] else played(song, texture, rng)
        speed = 2 ** (rng.uniform(-30, 30) / 1200)  # detuned as a tape is, so that the tempo is known still
        samples = soxr.resample(samples.T, RATE_HZ, RATE_HZ / speed).T
        start = round(rng.uniform(0, song.bar_s) * RATE_HZ)
        samples = samples[:, start : start + round(LENGTH_S * RATE_HZ)]
        samples = 0.8 * samples / np.abs(samples).max() + 0.002 * rng.standard_normal(samples.shape)
        audio = Audio(samples.astype(np.float32), RATE_HZ)
        waveform = librosa.resample(audio.mono, orig_sr=RATE_HZ, target_sr=LIBROSA_RATE_HZ)
        yield Item(texture, bpm * speed, number, audio, waveform)


def played(song: Song, texture: str, rng: np.random.Generator) -> Samples:
    """The textures for which the demo library has no band, some milliseconds off the beat as people are."""
    beat_s, beats = 60 / song.tempo_bpm, 3 if texture == "waltz" else 4
    mix = np.zeros((2, round((song.bars * beats + 4) * beat_s * RATE_HZ)), np.float32)
    timbre = (instruments.electric_piano, instruments.pluck, instruments.lead)[rng.integers(3)]
    phrase = PHRASES[song.minor][rng.integers(3)]
    for bar in range(song.bars):
        triad = [song.tonic + pitch for pitch in song.pitches(phrase[bar % 4])]
        root, chord = 36 + triad[0] % 12, sorted(55 + (pitch - 55) % 12 for pitch in triad)
        for at, beats_long, instrument, pitch, gain, pan in score(texture, timbre, root, chord, rng):
            sound = note(instrument, pitch, beats_long * beat_s)
            start = max(0, round(((bar * beats + at) * beat_s + rng.normal(0, 0.004)) * RATE_HZ))
            room = mix[:, start : start + len(sound)]
            room += np.float32([[gain * (1 - pan)], [gain * (1 + pan)]]) * sound[: room.shape[1]]
    return mix


def score(
    texture: str, timbre: Instrument, root: int, chord: list[int], rng: np.random.Generator
) -> Iterator[tuple[float, float, Instrument, int, float, float]]:
    """The notes of a bar: beat, length in beats, instrument, pitch, gain, pan."""
    if texture == "chords only":
        yield 0, 4, timbre, root, 0.4, 0.0
        for at in (0, 1, 2, 3, *([3.5] if rng.random() < 0.3 else [])):
            yield from ((at, 0.9, timbre, pitch, 0.3 if at else 0.4, 0.3) for pitch in chord)
    elif texture == "arpeggio":
        for eighth, pitch in enumerate((root, *chord, chord[0] + 12, *chord[::-1])):
            yield eighth / 2, 1, instruments.pluck, pitch, 0.4, 0.3 - 0.1 * eighth
        yield from ((at, 1, hat, 0, 0.1, 0.4) for at in range(4))
        yield from ((at, 1, kick, 0, 0.35, 0.0) for at in (0, 2))
    elif texture == "waltz":
        yield 0, 0.9, instruments.bass, root, 0.5, 0.0
        yield from ((at, 0.6, timbre, pitch, 0.25, -0.3) for at in (1, 2) for pitch in chord)
        yield 0, 2.8, instruments.lead, int(rng.choice(chord)) + 12, 0.2, 0.3
    else:
        yield from ((0, 4, instruments.pad, pitch, 0.25, 0.0) for pitch in (root + 12, *chord))
        for at, end in itertools.pairwise(RHYTHMS[rng.integers(3)]):
            yield at, 0.9 * (end - at), instruments.lead, int(rng.choice(chord)) + 12, 0.25, 0.2


def kick(hz: float, length_s: float, rate_hz: int) -> Samples:
    return instruments.kick(rate_hz)


def hat(hz: float, length_s: float, rate_hz: int) -> Samples:
    return instruments.hat(rate_hz, np.random.default_rng(0), decay=60.0)


@lru_cache(256)
def note(instrument: Instrument, pitch: int, length_s: float) -> Samples:
    return instrument(440.0 * 2 ** ((pitch - 69) / 12), length_s, RATE_HZ)


def own_key(item: Item) -> int | None:
    name = key.key(item.audio.spectrogram).name
    return NAMES.index(name) if name else None


def shared_tempo(item: Item) -> float:
    s = item.audio.spectrogram
    mel_db = librosa.power_to_db(librosa.feature.melspectrogram(S=s.power, sr=s.rate_hz))
    onsets = librosa.onset.onset_strength(S=mel_db, sr=s.rate_hz, hop_length=s.hop, n_fft=s.n_fft)
    return librosa.beat.beat_track(onset_envelope=onsets, sr=s.rate_hz, hop_length=s.hop)[0].item()


def shared_key(item: Item, profiles: Profiles) -> int:
    s = item.audio.spectrogram
    tuning = librosa.estimate_tuning(S=s.power, sr=s.rate_hz, n_fft=s.n_fft)
    return matched(librosa.feature.chroma_stft(S=s.power, sr=s.rate_hz, n_fft=s.n_fft, tuning=tuning), profiles)


def matched(chroma: Samples, profiles: Profiles) -> int:
    """The key whose profile, turned to its tonic, correlates best with the mean chroma."""
    keys = [np.roll(profile, tonic) for profile in profiles for tonic in range(12)]
    return int(np.argmax(np.corrcoef([chroma.mean(axis=1), *keys])[0, 1:]))


def waveform_key(item: Item, chroma: Callable[..., Samples]) -> int:
    return matched(chroma(y=item.waveform, sr=LIBROSA_RATE_HZ), KRUMHANSL)


def tempo_marks(item: Item, found: float | None) -> tuple[float, ...]:
    """Accuracy 1, accuracy 2, and the error in percent of the nearest level."""
    errors = [abs((found or 0.0) / (item.bpm * level) - 1) for level in LEVELS]
    return errors[0] <= TOLERANCE, min(errors) <= TOLERANCE, 100 * min(errors)


def key_marks(item: Item, found: float | None) -> tuple[float, ...]:
    """Whether exact, and the weight at MIREX: 0.5 for a fifth above, 0.3 for the relative key, 0.2 for the parallel."""
    if found is None:
        return 0.0, 0.0
    (minor, tonic), (found_minor, found_tonic) = divmod(item.key, 12), divmod(found, 12)
    step = (found_tonic - tonic) % 12
    weights = {0: 1.0, 7: 0.5} if minor == found_minor else {3 if minor else 9: 0.3, 0: 0.2}
    return found == item.key, weights.get(step, 0.0)


METHODS: dict[str, dict[str, Callable[[Item], object]]] = {
    "view": {"spectrogram": lambda item: (item.audio.spectrogram.power, item.audio.spectrogram.mean_square)},
    "tempo": {
        "audiocur": lambda item: tempo.tempo(item.audio.spectrogram).bpm,
        "librosa, shared spectrogram": shared_tempo,
        "librosa, waveform": lambda item: librosa.beat.beat_track(y=item.waveform, sr=LIBROSA_RATE_HZ)[0].item(),
    },
    "key": {
        "audiocur": own_key,
        "librosa, shared spectrogram": partial(shared_key, profiles=KRUMHANSL),
        "the same, audiocur's profiles": partial(shared_key, profiles=OWN_PROFILES),
        "librosa, waveform, chroma_stft": partial(waveform_key, chroma=librosa.feature.chroma_stft),
        "librosa, waveform, chroma_cqt": partial(waveform_key, chroma=librosa.feature.chroma_cqt),
    },
}
MARKS = {"view": lambda item, found: (), "tempo": tempo_marks, "key": key_marks}
HEADINGS = {"tempo": "tempo: accuracy 1 / accuracy 2, %", "key": "key: exact / weighted, %"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results: Results = defaultdict(list)
    textures = []
    with threadpool_limits(1):  # as in audiocur's workers; threads that wait for work would be charged to librosa
        measure(next(items(1, options.seed)), defaultdict(list))  # caches and compilation are paid for here
        for item in items(options.items, options.seed):
            measure(item, results)
            textures.append(item.texture)
    show(results, textures)


def measure(item: Item, results: Results) -> None:
    for what, methods in METHODS.items():
        for name, method in methods.items():
            began = time.process_time()
            found = method(item)
            results[what, name].append((time.process_time() - began, *MARKS[what](item, found)))


def show(results: Results, textures: list[str]) -> None:
    console, hours = Console(width=120), len(textures) * LENGTH_S / 3600
    for what, heading in HEADINGS.items():
        table = Table("texture", title=heading)
        columns = [np.array(results[what, name]) for name in METHODS[what]]
        for name in METHODS[what]:
            table.add_column(name, justify="right")
        for texture in (*dict.fromkeys(textures), "all"):
            rows = [texture in ("all", each) for each in textures]
            cells = (100 * column[rows, 1:3].mean(axis=0) for column in columns)
            table.add_row(f"{texture} ({sum(rows)})", *(f"{first:.0f} / {second:.0f}" for first, second in cells))
        table.add_section()
        better = [[np.sum(sign * (c[:, 1] - columns[0][:, 1]) > 0) for sign in (1, -1)] for c in columns]
        table.add_row("items better / worse than audiocur", *(f"{more} / {less}" for more, less in better))
        if what == "tempo":
            table.add_row("median error, octaves aside, %", *(f"{np.median(column[:, 3]):.2f}" for column in columns))
        table.add_row("CPU-s an hour", *(f"{column[:, 0].sum() / hours:.2f}" for column in columns))
        console.print(table)
    shared_cpu_s = sum(cpu_s for (cpu_s,) in results["view", "spectrogram"])
    console.print(f"the shared spectrogram, not counted above: {shared_cpu_s / hours:.2f} CPU-s an hour")
    for name, statement in IMPORTS.items():
        command = [sys.executable, "-c", f"{statement}\nimport time; print(time.process_time())"]
        cpu_s = statistics.median(float(subprocess.check_output(command)) for _ in range(3))
        console.print(f"importing {name}: {cpu_s:.2f} CPU-s a process")


if __name__ == "__main__":
    main()
