"""Every fault that audiocur measures, put into clean material at several strengths: how often it is found, and where
nothing was put, how often it is found nevertheless.

usage: python benchmarks/rendered/defects.py [--seed N] [--real FOLDER]

Songs of the demo library's band, single instruments, speech, noise and waves are rendered for 12 s each. The thresholds
were chosen on other seeds than the default and on every other recording of a library of games' music; a folder of
recordings is used as found, the middle 12 s of each. Real recordings have hum, clicks and clipping of their own: what
is found there without anything put in is listed by name. So has the band: its bass drum breaks off 25 dB below its
peak, which is a click where nothing else sounds. Square waves are flat on purpose, and narrow ones have an offset.

About 20 s for the rendered material, on one core.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from audiocur.audio import Audio, Samples
from audiocur.dsp.clicks import clicks_per_s
from audiocur.dsp.clipping import clipping
from audiocur.dsp.dc import dc_offset
from audiocur.dsp.dropouts import dropouts
from audiocur.dsp.edges import edges
from audiocur.dsp.hum import hum
from audiocur.dsp.stereo import stereo
from audiocur.sources.synth import instruments, treatments
from audiocur.sources.synth.song import Band, Groove, Song, render

Rng = np.random.Generator
Found = Callable[[Audio], bool]

RATE_HZ, LENGTH_S, SONGS = 44_100, 12.0, 10
SUFFIXES = (".flac", ".mp3", ".ogg", ".wav")
CLICKS = 6
CLIPPED_RUNS_PER_S, DC = 0.3, 0.01
DITHER_STEP = 2.0**-15


@dataclass(frozen=True)
class Item:
    """Clean material.

    Attributes:
        kind: what it is.
        name: which one.
        audio: in 16 bits.
    """

    kind: str
    name: str
    audio: Audio


def items(seed: int, real: Path | None) -> Iterator[Item]:
    for i in range(SONGS):
        rng = np.random.default_rng([seed, i])
        song = Song(
            tempo_bpm=int(rng.integers(70, 170)),
            tonic=int(rng.integers(12)),
            minor=bool(rng.integers(2)),
            bars=12,
            groove=list(Groove)[i % len(Groove)],
            band=list(Band)[i % len(Band)],
        )
        samples = render(song, RATE_HZ, rng)
        start = int(rng.uniform(0, 2) * RATE_HZ)
        yield Item("song", str(i), stored(samples[:, start : start + round(LENGTH_S * RATE_HZ)], rng))
    for kind, sound in SOUNDS.items():
        for i in range(4):
            rng = np.random.default_rng([seed, 1000 + i])
            mono = sound(rng)
            pair = np.stack([mono + 1e-3 * rng.standard_normal(len(mono)), np.roll(mono, 20)])
            yield Item(kind, str(i), stored(0.3 * pair / np.abs(pair).max(), rng))
    if real:
        for path in sorted(p for p in real.rglob("*") if p.suffix in SUFFIXES):
            with soundfile.SoundFile(path) as file:
                length = round(LENGTH_S * file.samplerate)
                file.seek(max(0, (file.frames - length) // 2))
                samples = file.read(length, dtype="float32", always_2d=True).T
            if samples.shape[1] > 5 * file.samplerate:
                samples = samples / max(1.0, np.abs(samples).max())
                yield Item("recording", path.name, Audio(np.ascontiguousarray(samples, np.float32), file.samplerate))


def stored(samples: Samples, rng: Rng, *, dither: bool = True) -> Audio:
    """In 16 bits."""
    noise = rng.uniform(-0.5, 0.5, (2, *samples.shape)).sum(axis=0) if dither else 0.0
    return Audio(np.clip(np.round(samples / DITHER_STEP + noise) * DITHER_STEP, -1, 1).astype(np.float32), RATE_HZ)


def repeated(rng: Rng, hit: Samples) -> Samples:
    mix = np.zeros(round(LENGTH_S * RATE_HZ) + len(hit))
    for start in np.arange(0.1, LENGTH_S - 0.1, rng.uniform(0.15, 0.5)):
        mix[round(start * RATE_HZ) :][: len(hit)] += hit * rng.uniform(0.5, 1)
    return mix[: round(LENGTH_S * RATE_HZ)]


def drums(rng: Rng) -> Samples:
    kit = [instruments.kick(RATE_HZ), instruments.snare(RATE_HZ, rng), instruments.hat(RATE_HZ, rng, decay=60.0)]
    return sum(repeated(rng, hit) * gain for hit, gain in zip(kit, (1.0, 0.7, 0.3), strict=True))


def castanets(rng: Rng) -> Samples:
    t = np.arange(round(0.04 * RATE_HZ)) / RATE_HZ
    return repeated(rng, rng.standard_normal(len(t)) * np.exp(-t / rng.uniform(0.003, 0.01)))


def plucked(rng: Rng) -> Samples:
    return sum(repeated(rng, instruments.pluck(hz, 0.4, RATE_HZ)) for hz in rng.uniform(80, 600, 3))


def bass(rng: Rng) -> Samples:
    """Notes around the grids' frequencies, and a rest."""
    hz = rng.choice([46.2, 49.0, 51.9, 55.0, 58.3, 61.7], 4)
    line = np.concatenate([instruments.bass(each, 0.8, RATE_HZ)[:RATE_HZ] for each in hz])
    return np.resize(line, round(LENGTH_S * RATE_HZ))


def drone(rng: Rng) -> Samples:
    t = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ
    hz = 440 * 2 ** (rng.choice([-38, -36, -34, -31]) / 12)  # G1, A1, B1, D2
    return sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 12))


def wave(rng: Rng, shape: str) -> Samples:
    """A melody of square or saw-tooth waves, as the chips of old games played it."""
    hz = np.repeat(55 * 2 ** (rng.integers(0, 36, 40) / 12), round(LENGTH_S * RATE_HZ / 40) + 1)
    cycle = (np.cumsum(hz[: round(LENGTH_S * RATE_HZ)]) / RATE_HZ) % 1
    return np.sign(cycle - rng.choice([0.125, 0.25, 0.5])) if shape == "square" else 2 * cycle - 1


def coloured(rng: Rng) -> Samples:
    spectrum = np.fft.rfft(rng.standard_normal(round(LENGTH_S * RATE_HZ)))
    return np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 200) ** rng.uniform(-1, 0))


def spoken(rng: Rng) -> Samples:
    return np.resize(np.roll(treatments.speech(RATE_HZ), rng.integers(RATE_HZ)), round(LENGTH_S * RATE_HZ))


SOUNDS: dict[str, Callable[[Rng], Samples]] = {
    "drums": drums,
    "castanets": castanets,
    "plucked": plucked,
    "bass at 46 to 62 Hz": bass,
    "drone": drone,
    "square waves": partial(wave, shape="square"),
    "saw-tooth waves": partial(wave, shape="saw"),
    "noise": coloured,
    "speech": spoken,
}


def overdriven(samples: Samples, rate_hz: int, rng: Rng, db: float, after: str = "") -> Samples:
    """Clipped `db` below the peak, and what happened afterwards."""
    ceiling = np.abs(samples).max() * 10 ** (-db / 20)
    clipped = np.clip(samples, -ceiling, ceiling)
    if after == "-12 dB":
        return stored(0.25 * clipped, rng).samples
    if after == "soft":
        return ceiling * np.tanh(samples / ceiling)
    if after == "mp3":
        with io.BytesIO() as file:
            soundfile.write(file, clipped.T, rate_hz, format="MP3")
            file.seek(0)
            return soundfile.read(file, dtype="float32", always_2d=True)[0].T
    return clipped


def doubled(samples: Samples, rate_hz: int, rng: Rng, db: float) -> Samples:
    mono = samples.mean(axis=0)
    return stored(np.stack([mono, mono * 10 ** (db / 20)]), rng).samples


def inverted(samples: Samples, rate_hz: int, rng: Rng, width: float) -> Samples:
    middle, side = samples.mean(axis=0), (samples[0] - samples[1]) / 2
    return np.stack([middle + width * side, width * side - middle])


def dead(samples: Samples, rate_hz: int, rng: Rng, dbfs: float) -> Samples:
    noise = 10 ** (dbfs / 20) * rng.standard_normal(samples.shape[1]) if dbfs > -150 else np.zeros(samples.shape[1])
    return np.stack([samples[0], noise])


def shifted(samples: Samples, rate_hz: int, rng: Rng, offset: float) -> Samples:
    return np.clip(0.8 * samples + offset, -1, 1)


def humming(samples: Samples, rate_hz: int, rng: Rng, db: float) -> Samples:
    t = np.arange(samples.shape[1]) / rate_hz
    hz = rng.choice([50, 60]) * (1 + rng.uniform(-0.004, 0.004))
    parts = [rng.uniform(0.1, 1) / k**0.5 * np.sin(2 * np.pi * k * hz * t + rng.uniform(0, 6)) for k in range(1, 9)]
    sound = sum(parts)
    return samples + sound * np.sqrt(np.mean(samples**2) / np.mean(sound**2)) * 10 ** (db / 20)


def places(samples: Samples, rate_hz: int, rng: Rng, count: int, margin_s: float = 0.3) -> list[int]:
    """Where to put faults: far apart, and where there is sound."""
    length, frame = samples.shape[1], round(0.02 * rate_hz)
    level = np.sqrt(
        np.mean(np.square(samples[:, : length // frame * frame].reshape(len(samples), -1, frame)), axis=(0, 2))
    )
    margin = round(margin_s * rate_hz) // frame
    spots = np.array_split(np.arange(margin, len(level) - margin), count)
    heard = [spot[level[spot] > 0.3 * level.mean()] for spot in spots]
    return [
        int(rng.choice(each[: -margin // 2] if len(each) > margin else each)) * frame for each in heard if len(each)
    ]


def scratched(samples: Samples, rate_hz: int, rng: Rng, height: float, kind: str) -> Samples:
    """Clicks so many times as high as the RMS there."""
    spoilt, pieces, last = samples.copy(), [], 0
    for at in places(samples, rate_hz, rng, CLICKS):
        rms = np.sqrt(np.mean(np.square(samples[:, at - 400 : at + 400])))
        if kind == "sample":
            spoilt[:, at] += rng.choice([-1, 1]) * height * rms
        elif kind == "scratch":
            t = np.arange(round(0.001 * rate_hz)) / rate_hz
            ring = np.exp(-t / 2e-4) * np.cos(2 * np.pi * rng.uniform(1500, 5000) * t)
            spoilt[:, at : at + len(t)] += rng.choice([-1, 1]) * height * rms * ring
        pieces.append(samples[:, last:at])
        last = at + int(rng.integers(100, 2000))
    return np.concatenate([*pieces, samples[:, last:]], axis=1) if kind == "cut" else np.clip(spoilt, -1, 1)


def dropped(samples: Samples, rate_hz: int, rng: Rng, ms: float, kind: str) -> Samples:
    (at,) = places(samples, rate_hz, rng, 1)
    at += int(rng.integers(rate_hz // 100))
    length = round(ms * rate_hz / 1000) if kind != "repeat" else int(ms)
    spoilt = samples.copy()
    if kind == "repeat":
        spoilt[:, at : at + length] = samples[:, at - length : at]
    else:
        spoilt[:, at : at + length] = 0 if kind == "zeros" else samples[:, at - 1 : at]
    return spoilt


def cut_out(samples: Samples, rate_hz: int, rng: Rng, fade_s: float) -> Samples:
    (at,) = places(samples, rate_hz, rng, 1, margin_s=2.0)
    piece = samples[:, at:]
    return piece * np.minimum(1, np.arange(piece.shape[1]) / max(1, round(fade_s * rate_hz)))


def is_clipped(audio: Audio) -> bool:
    return (clipping(audio.samples, audio.levels).runs_per_s or 0.0) >= CLIPPED_RUNS_PER_S


def click_count(audio: Audio) -> int:
    return round((clicks_per_s(audio.samples, audio.rate_hz) or 0.0) * audio.duration_s)


def image(audio: Audio) -> str | None:
    return stereo(audio.samples, audio.levels).image


def has_hum(audio: Audio) -> bool:
    return hum(audio.mono, audio.rate_hz).hz is not None


def has_dropout(audio: Audio) -> bool:
    return dropouts(audio.samples, audio.rate_hz).times > 0


def is_abrupt(audio: Audio) -> bool:
    return edges(audio.samples, audio.levels).abrupt_start is True


@dataclass(frozen=True)
class Fault:
    """A fault to be put in.

    Attributes:
        name, unit: for the table.
        strengths: how much of it.
        spoil: puts it in.
        alarm: which of the alarms is to find it; recordings that have it anyway are left out.
        image: the stereo image it makes.
        harmless: it is to be left alone.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    spoil: Callable[..., Samples]
    alarm: str
    image: str | None = None
    harmless: bool = False


FAULTS = (
    Fault("clipped", "dB over", (1, 3, 6, 12), overdriven, "clipped"),
    Fault("  then -12 dB, dither, 16 bits", "dB over", (1, 3, 6, 12), partial(overdriven, after="-12 dB"), "clipped"),
    Fault("  then mp3", "dB over", (3, 6, 12), partial(overdriven, after="mp3"), "clipped"),
    Fault("  softly instead", "dB over", (1, 3, 6), partial(overdriven, after="soft"), "clipped", harmless=True),
    Fault("dual mono", "dB apart", (0, 1, -12), doubled, "image", "dual mono"),
    Fault("inverted", "x the width", (0.0, 0.3, 1.0), inverted, "image", "inverted"),
    Fault("dead channel", "dBFS", (-200, -90, -60), dead, "image", "left only"),
    Fault("DC offset", "of full scale", (0.012, 0.03, 0.1), shifted, "DC"),
    Fault("hum", "dB over clip", (-10, -20, -30, -40), humming, "hum"),
    Fault("click of one sample", "x RMS", (0.3, 1, 3, 10), partial(scratched, kind="sample"), "clicks"),
    Fault("scratch of 1 ms", "x RMS", (0.3, 1, 3, 10), partial(scratched, kind="scratch"), "clicks"),
    Fault("samples cut out", "", (1,), partial(scratched, kind="cut"), "clicks"),
    Fault("drop-out: zeros", "ms", (1.5, 5, 20, 100), partial(dropped, kind="zeros"), "drop-outs"),
    Fault("drop-out: value held", "ms", (1.5, 5, 20, 100), partial(dropped, kind="held"), "drop-outs"),
    Fault("drop-out: buffer again", "samples", (64, 256, 1024, 4096), partial(dropped, kind="repeat"), "drop-outs"),
    Fault("abrupt start", "s of fade", (0,), cut_out, "abrupt start"),
    Fault("  faded in", "s of fade", (0.01, 0.03), cut_out, "abrupt start", harmless=True),
)
ALARMS: dict[str, Found] = {
    "clipped": is_clipped,
    "image": lambda audio: image(audio) not in ("stereo", None),
    "DC": lambda audio: (dc_offset(audio.levels) or 0) >= DC,
    "hum": has_hum,
    "clicks": lambda audio: click_count(audio) > 0,
    "drop-outs": has_dropout,
    "abrupt start": is_abrupt,
}


def tables(seed: int, real: Path | None) -> Iterator[Table]:
    """Recall of each fault at each strength, false alarms on each clean material, and what recordings have anyway."""
    clean = list(items(seed, real))
    alarms: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in clean:
        for name, found in ALARMS.items():
            if found(item.audio):
                alarms[item.kind, name].append(item.name)
    kinds = [kind for kind in ("song", "recording") if any(item.kind == kind for item in clean)]
    table = Table("fault", "strength", "wanted", *(f"in {kind}s" for kind in kinds), title="faults found, % of items")
    for number, fault in enumerate(FAULTS):
        for strength in fault.strengths:
            cells = []
            for kind in kinds:
                marks = [
                    mark(item, fault, strength, np.random.default_rng([seed, number, i]))
                    for i, item in enumerate(clean)
                    if item.kind == kind
                    and (item.name not in alarms[kind, fault.alarm] or fault.alarm == "abrupt start")
                    and (item.audio.channels > 1 or not fault.image)
                ]
                cells.append(f"{100 * np.mean(marks):.0f} of {len(marks)}")
            table.add_row(fault.name, f"{strength:g} {fault.unit}", "0" if fault.harmless else "100", *cells)
    yield table
    shown = [name for name in ALARMS if name != "abrupt start"]
    table = Table("clean material", "items", *shown, title="false alarms, items")
    for kind in dict.fromkeys(item.kind for item in clean):
        count = sum(item.kind == kind for item in clean)
        table.add_row(kind, str(count), *(str(len(alarms[kind, name])) for name in shown))
    yield table
    if real:
        table = Table("found", "in", title="recordings as they are")
        for name in shown:
            table.add_row(name, ", ".join(alarms["recording", name]))
        yield table


def mark(item: Item, fault: Fault, strength: float, rng: Rng) -> float:
    """1 where the fault is found, 0 where it is not; of several clicks, the share of them."""
    samples = fault.spoil(item.audio.samples, item.audio.rate_hz, rng, strength)
    audio = Audio(np.ascontiguousarray(samples, np.float32), item.audio.rate_hz)
    if fault.image:
        return float(image(audio) == fault.image)
    if fault.alarm == "clicks":
        return min(1.0, click_count(audio) / CLICKS)
    return float(ALARMS[fault.alarm](audio))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=Path)
    options = parser.parse_args()
    console = Console(width=120)
    for table in tables(options.seed, options.real):
        console.print(table)


if __name__ == "__main__":
    main()
