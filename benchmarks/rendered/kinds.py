"""What is music and what is not, rendered: how often `music_ratio` is on the right side of one half.

usage: python benchmarks/rendered/kinds.py [--seed N] [--real FOLDER]

Half a minute of each sound is rendered a few times and judged whole and in pieces of 5 and 10 s. The formula's weights
were fitted on sounds of the same kinds, rendered from other seeds, beside recordings that are not rendered here. With a
folder of recordings, those are judged as well; what is not named below as speech or animals counts as music.

About half a minute, on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from audiocur.audio import Audio
from audiocur.dsp.music import music_ratio
from audiocur.sources.synth import instruments, treatments
from audiocur.sources.synth.song import Band, Groove, Song, render

Sound = NDArray[np.floating]
Rng = np.random.Generator

RATE_HZ, LENGTH_S, TIMES = 44_100, 30.0, 4
PIECES_S = (5.0, 10.0, 30.0)
OVER_DB = (6, 0, -6, -12)
#: Beginnings of the names of recordings that are not music.
NOT_MUSIC = ("198-209", "3436-172162", "5703-47212", "jfk", "456440", "glacier", "pibble", "long_voice")
T = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ


def coloured(rng: Rng, slope: float) -> Sound:
    """Noise whose power falls with this power of frequency, of variance 1."""
    spectrum = np.fft.rfft(rng.standard_normal(len(T)))
    noise = np.fft.irfft(spectrum * np.maximum(np.fft.rfftfreq(len(T), 1 / RATE_HZ), 20) ** (slope / 2), len(T))
    return noise / noise.std()


def wandering(rng: Rng, hz: float) -> Sound:
    """A curve of about unit size that turns about as often as `hz` says."""
    knots = rng.standard_normal(int(LENGTH_S * hz * 2) + 3)
    return np.interp(T, np.linspace(0, LENGTH_S, len(knots)), knots)


def harmonics(frequency_hz: Sound, count: int, fall: float) -> Sound:
    phase = 2 * np.pi * np.cumsum(frequency_hz) / RATE_HZ
    return sum(np.sin(k * phase) / k**fall for k in range(1, count + 1))


def scattered(rng: Rng, gaps_s: Callable[[], float], event: Callable[[], Sound]) -> Sound:
    """Events one after another; a gap is counted from start to start."""
    mix, at = np.zeros(len(T) + 3 * RATE_HZ), rng.uniform(0, 0.5)
    while at < LENGTH_S:
        sound = event()
        mix[round(at * RATE_HZ) :][: len(sound)] += sound * rng.lognormal(0, 0.4)
        at += gaps_s()
    return mix[: len(T)]


def burst(rng: Rng, low_hz: float, high_hz: float, decay: float) -> Sound:
    t = np.arange(round(min(0.3, 6 / decay) * RATE_HZ)) / RATE_HZ
    band = scipy.signal.butter(2, (low_hz, high_hz), "bandpass", fs=RATE_HZ, output="sos")
    return scipy.signal.sosfilt(band, rng.standard_normal(len(t))) * np.exp(-decay * t)


def call(rng: Rng, low_hz: float, high_hz: float, shortest_s: float, longest_s: float, partials: int) -> Sound:
    """A tone that glides, as birds, dogs and whales make it."""
    x = np.linspace(0, 1, round(rng.uniform(shortest_s, longest_s) * RATE_HZ))
    bend = rng.uniform(-0.6, 0.6) * x + rng.uniform(-0.5, 0.5) * np.sin(np.pi * x)
    sound = harmonics(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz)) + bend), partials, 1.2)
    return sound * np.sin(np.pi * x)


def noise(rng: Rng) -> Sound:
    return coloured(rng, rng.uniform(-2.2, 1))


def wind(rng: Rng) -> Sound:
    gusts = np.exp(0.8 * wandering(rng, rng.uniform(0.3, 1.5)))
    band = scipy.signal.butter(2, (200, 500), "bandpass", fs=RATE_HZ, output="sos")
    return scipy.signal.sosfilt(band, coloured(rng, -1)) * gusts + 0.2 * coloured(rng, -1.5)


def applause(rng: Rng) -> Sound:
    claps = [burst(rng, hz, 2 * hz, 250) for hz in rng.uniform(500, 2500, 20)]
    many = 10 ** rng.uniform(1.5, 2.8)
    return scattered(rng, lambda: rng.exponential(1 / many), lambda: claps[rng.integers(20)])


def rain(rng: Rng) -> Sound:
    t = np.arange(1200) / RATE_HZ
    drops = [np.sin(2 * np.pi * hz * t) * np.exp(-400 * t) for hz in rng.uniform(1500, 7000, 40)]
    many = 10 ** rng.uniform(1.5, 2.8)
    return scattered(rng, lambda: rng.exponential(1 / many), lambda: drops[rng.integers(40)]) + 0.1 * coloured(rng, 0)


def footsteps(rng: Rng) -> Sound:
    step_s = rng.uniform(0.4, 0.8)
    steps = scattered(rng, lambda: step_s * np.exp(rng.normal(0, 0.1)), lambda: burst(rng, 120, 1500, 50))
    return steps + 0.01 * coloured(rng, -1)


def engine(rng: Rng) -> Sound:
    speed_hz = rng.uniform(25, 160) * np.exp(0.15 * wandering(rng, 0.3)) * (1 + 0.005 * wandering(rng, 30))
    sawtooth = 2 * (np.cumsum(speed_hz) / RATE_HZ % 1) - 1
    muffled = scipy.signal.sosfilt(scipy.signal.butter(1, 900, fs=RATE_HZ, output="sos"), sawtooth)
    return muffled / muffled.std() + rng.uniform(0.1, 1.5) * coloured(rng, -1.2)


def machine(rng: Rng) -> Sound:
    tone = harmonics(rng.uniform(80, 900) * np.exp(rng.uniform(0, 0.02) * wandering(rng, 0.5)), 4, 1.0)
    return (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(4, 30) * T)) * coloured(rng, -0.7) + rng.uniform(0.3, 2) * tone


def hum(rng: Rng) -> Sound:
    mains_hz = rng.choice((50.0, 60.0))
    parts = (rng.uniform() / k * np.sin(2 * np.pi * mains_hz * k * T) for k in range(1, 20))
    return sum(parts) + rng.uniform(0.02, 0.3) * coloured(rng, -1)


def siren(rng: Rng) -> Sound:
    swing = scipy.signal.sawtooth(2 * np.pi * rng.uniform(0.25, 4) * T, 0.5)
    return harmonics(rng.uniform(500, 1100) * np.exp(rng.uniform(0.2, 0.45) * swing), 5, 1.4) + 0.2 * coloured(rng, -1)


def sweep(rng: Rng) -> Sound:
    low_hz, high_hz = rng.uniform(50, 500), rng.uniform(2000, 15_000)
    return scipy.signal.chirp(T, low_hz, LENGTH_S, high_hz, ("linear", "logarithmic")[rng.integers(2)])


def crickets(rng: Rng) -> Sound:
    mix = 0.03 * coloured(rng, -0.5)
    for _ in range(3):
        wings = np.sin(2 * np.pi * rng.uniform(3200, 6500) * T) * np.maximum(0, np.sin(2 * np.pi * 35 * T))
        mix += wings * ((T + rng.uniform()) % rng.uniform(0.25, 1.2) < 0.1)
    return mix


def birds(rng: Rng) -> Sound:
    calls = scattered(rng, lambda: rng.exponential(0.4), lambda: call(rng, 2000, 6000, 0.05, 0.4, 1))
    return calls + 0.02 * coloured(rng, -0.7)


def howls(rng: Rng) -> Sound:
    calls = scattered(rng, lambda: rng.uniform(0.4, 2.5), lambda: call(rng, 100, 800, 0.2, 2.2, 12))
    return calls + 0.05 * coloured(rng, -1.2)


def spoken(rng: Rng) -> Sound:
    return np.resize(np.roll(treatments.speech(RATE_HZ), rng.integers(RATE_HZ)), len(T)) + 1e-4 * coloured(rng, -1)


def song(rng: Rng) -> Sound:
    key, groove, band = rng.integers(12), list(Groove)[rng.integers(3)], list(Band)[rng.integers(2)]
    tempo_bpm = int(rng.integers(70, 170))
    bars = int(LENGTH_S * tempo_bpm / 240) + 2
    played = Song(tempo_bpm=tempo_bpm, tonic=int(key), minor=bool(rng.integers(2)), bars=bars, groove=groove, band=band)
    return render(played, RATE_HZ, rng).mean(axis=0)[: len(T)]


def drums(rng: Rng) -> Sound:
    kit = instruments.kick(RATE_HZ), instruments.snare(RATE_HZ, rng), instruments.hat(RATE_HZ, rng, decay=60.0)
    step_s, pattern = 15 / rng.uniform(70, 170), rng.random((16, 3)) < (0.15, 0.1, 0.6)
    pattern[::8, 0] = pattern[4::8, 1] = True
    mix = np.zeros(len(T) + RATE_HZ)
    for step in range(int(LENGTH_S / step_s)):
        for hit, sound, gain in zip(pattern[step % 16], kit, (1.0, 0.7, 0.3), strict=True):
            mix[round(step * step_s * RATE_HZ) :][: len(sound)] += hit * gain * sound
    return mix[: len(T)]


def notes(rng: Rng, instrument: instruments.Instrument, lengths_s: tuple[float, ...], voices: int) -> Sound:
    """Notes of a major scale, or chords of as many voices."""
    scale_hz = 110 * 2 ** ((rng.integers(12) + np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19])) / 12)
    mix, at, lengths_s = np.zeros(len(T) + 4 * RATE_HZ), 0.0, rng.uniform(0.8, 1.3) * np.array(lengths_s)
    while at < LENGTH_S:
        length_s, root = rng.choice(lengths_s), rng.integers(12 - 2 * (voices - 1))
        for voice in range(voices):
            sound = instrument(float(2 * scale_hz[root + 2 * voice]), float(length_s), RATE_HZ)
            mix[round(at * RATE_HZ) :][: len(sound)] += sound
        at += length_s
    return mix[: len(T)]


def melody(rng: Rng) -> Sound:
    return notes(rng, instruments.lead, (0.25, 0.5, 0.75), 1)


def pads(rng: Rng) -> Sound:
    return notes(rng, instruments.pad, (1.5, 2.0, 3.0), 3)


def plucked(rng: Rng) -> Sound:
    return notes(rng, instruments.pluck, (0.2, 0.4), 2)


OTHER = spoken, noise, wind, applause, rain, footsteps, engine, machine, hum, siren, sweep, crickets, birds, howls
MUSIC = song, drums, melody, pads, plucked


def ratio(samples: Sound, rate_hz: int) -> float | None:
    return music_ratio(Audio(np.atleast_2d(samples).astype(np.float32), rate_hz).spectrogram)


def pieces(samples: Sound, rate_hz: int, piece_s: float) -> list[float]:
    """Ratios of the pieces of a recording that have one; a last piece of less than half the length is left out."""
    size = round(piece_s * rate_hz)
    starts = range(0, max(1, len(samples) - size // 2), size)
    found = [ratio(samples[start : start + size], rate_hz) for start in starts]
    return [each for each in found if each is not None]


def row(name: str, music: bool, sounds: list[tuple[Sound, int]]) -> tuple[str, ...]:
    """Cells of a table: right answers in percent and number of pieces for each length, and the median ratio."""
    cells, found = [], []
    for piece_s in PIECES_S:
        found = [each for samples, rate_hz in sounds for each in pieces(samples, rate_hz, piece_s)]
        right = np.mean([(each > 0.5) == music for each in found]) if found else np.nan
        cells.append(f"{100 * right:.0f} % of {len(found)}")
    return name, "music" if music else "not", *cells, f"{np.median(found):.2f}" if found else ""


def tables(seed: int, real: Path | None) -> Iterator[Table]:
    """Right answers at a threshold of one half, by kind; and what is said of speech over music.

    Args:
        seed: of the renderings.
        real: a folder of recordings; None: rendered sounds alone.
    """
    lengths = [f"{piece_s:g} s" for piece_s in PIECES_S]
    table = Table("sound", "is", *lengths, "median", title="music_ratio: on the right side of 0.5")
    rng = np.random.default_rng([seed, 4])
    for music, kinds in ((False, OTHER), (True, MUSIC)):
        for kind in kinds:
            sounds = [(kind(rng), RATE_HZ) for _ in range(1 if kind is spoken else TIMES)]
            table.add_row(*row(kind.__name__, music, sounds))
        table.add_section()
    yield table
    if real is not None:
        table = Table("recording", "is", *lengths, "median", title="music_ratio of recordings")
        for path in sorted(path for path in real.rglob("*") if path.suffix in (".wav", ".flac", ".ogg")):
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
            music = not path.name.startswith(NOT_MUSIC)
            table.add_row(*row(path.stem[:40], music, [(samples.mean(axis=1), rate_hz)]))
        yield table
    table = Table("music, re speech", *(f"{db:+d} dB" for db in OVER_DB), title="music_ratio of speech over music")
    voice = spoken(rng)
    for kind in MUSIC:
        music = kind(rng)
        found = (ratio(voice / voice.std() + music / music.std() * 10 ** (db / 20), RATE_HZ) for db in OVER_DB)
        table.add_row(kind.__name__, *(f"{each:.2f}" for each in found))
    yield table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path, help="a folder of recordings")
    options = parser.parse_args()
    for table in tables(options.seed, options.real):
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
