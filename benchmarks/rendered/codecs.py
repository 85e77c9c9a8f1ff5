"""Lossy origin: how often a decoded MP3, AAC, Vorbis or Opus file is found, and how often what never was one.

usage: python benchmarks/rendered/codecs.py [--seed N] [--real FOLDER]

Rendered songs, noise of five slopes and, of a folder, the lossless recordings are coded and decoded by FFmpeg (LAME,
its own AAC and Vorbis, libopus), 6 s each, cut anywhere and stored in turn at 16 bits, at 24, 3 dB down with dither, or
normalised. The same material, never coded, is judged as it is and after all that innocent recordings go through: gentle
low-passes (Butterworth, orders 1 to 4, 4 to 18 kHz), resampling from and to other rates, few bits, fades, hiss.

Recordings that show a codec's frames as they are found are named in the last table and used for nothing else: the
offset of the frames was the same in every stretch of them, in both channels.

About two minutes, on one core.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import scipy.signal
import soundfile
import soxr
from rich.console import Console
from rich.table import Table

from audiocur.audio import Audio, Samples
from audiocur.dsp.lossy import Lossy, lossy
from audiocur.sources.synth.song import Band, Groove, Song, render

Rng = np.random.Generator

RATE_HZ, OPUS_RATE_HZ, LENGTH_S, SONGS = 44_100, 48_000, 6.0, 8
SLOPES_DB = (0, -3, -6, -9, -12)  # an octave
SUFFIXES = (".flac", ".wav")
VBR_QUALITY = {"V0": 0, "V2": 2, "V4": 4}
RATES: dict[str, tuple[int | str, ...]] = {
    "libmp3lame": (96, 128, 160, 192, 256, 320, *VBR_QUALITY),
    "aac": (96, 128, 160, 192, 256, 320),
    "vorbis": ("default",),  # FFmpeg's own encoder hardly minds its bit rate
    "libopus": (64, 96, 128, 160),
}
CONTAINERS = {
    "libmp3lame": ("mp3", "fltp"),
    "aac": ("adts", "fltp"),
    "vorbis": ("ogg", "fltp"),
    "libopus": ("ogg", "flt"),
}
POOLED = {f"{codec} 96 to 192": [f"{codec} {rate}" for rate in (96, 128, 160, 192)] for codec in ("libmp3lame", "aac")}
STEP = 2.0**-15


@dataclass(frozen=True)
class Item:
    """Material that was never coded: stereo, peaks under full scale."""

    kind: str
    name: str
    samples: Samples
    rate_hz: int


def items(seed: int, real: Path | None) -> Iterator[Item]:
    rng = np.random.default_rng(seed)
    for i in range(SONGS):
        song = Song(
            tempo_bpm=int(rng.integers(70, 105)),
            tonic=int(rng.integers(12)),
            minor=bool(i % 2),
            bars=4,
            groove=list(Groove)[i % 3],
            band=list(Band)[i % 2],
        )
        rate_hz = (RATE_HZ, OPUS_RATE_HZ)[i % 2]
        yield Item("songs", str(i), render(song, rate_hz, rng)[:, rate_hz : 9 * rate_hz], rate_hz)
    for slope_db in SLOPES_DB:
        spectrum = np.fft.rfft(rng.normal(size=(2, 8 * RATE_HZ)))
        frequencies_hz = np.maximum(np.fft.rfftfreq(8 * RATE_HZ, 1 / RATE_HZ), 30.0)
        noise = np.fft.irfft(spectrum * (frequencies_hz / 1000) ** (slope_db / 6.02))
        yield Item("noise", f"{slope_db} dB", (0.1 * noise / noise.std()).astype(np.float32), RATE_HZ)
    for path in recordings(real):
        samples, rate_hz = read(path)
        if not best_piece(samples, rate_hz).codec:
            yield Item("recordings", path.stem, samples, rate_hz)


def recordings(real: Path | None) -> list[Path]:
    return sorted(path for path in real.rglob("*") if path.suffix in SUFFIXES) if real else []


def read(path: Path) -> tuple[Samples, int]:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    samples = np.ascontiguousarray(
        np.broadcast_to(samples.T, (2, len(samples))) if samples.shape[1] == 1 else samples.T
    )
    return samples / max(1.0, 1.02 * float(np.abs(samples).max())), rate_hz


def judged(samples: Samples, rate_hz: int) -> Lossy:
    audio = Audio(np.ascontiguousarray(samples, np.float32), rate_hz)
    return lossy(audio.mono, audio.spectrogram)


def best_piece(samples: Samples, rate_hz: int) -> Lossy:
    """What the piece of a recording shows in which a codec's frames show best."""
    starts = range(0, max(1, samples.shape[1] - 3 * rate_hz), rate_hz)
    pieces = [judged(samples[:, start : start + 5 * rate_hz], rate_hz) for start in starts]
    return max(pieces, key=lambda piece: piece.codec_score or 0.0)


def coded(samples: Samples, rate_hz: int, codec: str, rate: int | str) -> tuple[Samples, int]:
    """Encoded and decoded again; Opus at 48 kHz."""
    if codec == "libopus" and rate_hz != OPUS_RATE_HZ:
        samples, rate_hz = resampled(samples, rate_hz, OPUS_RATE_HZ), OPUS_RATE_HZ
    container, layout = CONTAINERS[codec]
    options = {"strict": "experimental"}
    if rate in VBR_QUALITY:
        options |= {"flags": "+qscale", "global_quality": str(118 * VBR_QUALITY[rate])}  # FF_QP2LAMBDA
    file = io.BytesIO()
    with av.open(file, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=rate_hz, layout="stereo", options=options)
        if isinstance(rate, int):
            stream.bit_rate = 1000 * rate
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        for start in range(0, samples.shape[1], size):
            part = samples[:, start : start + size].astype(np.float32)
            data = np.ascontiguousarray(part if layout == "fltp" else part.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(data, format=layout, layout="stereo")
            frame.sample_rate, frame.pts = rate_hz, start
            muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as demuxer:
        decoded = np.concatenate([frame.to_ndarray() for frame in demuxer.decode(audio=0)], axis=1)
    return decoded.reshape(2, -1) if len(decoded) == 2 else decoded.reshape(-1, 2).T, rate_hz


def rounded(samples: Samples, step: float = STEP, dither: Rng | None = None) -> Samples:
    noise = np.diff(dither.uniform(-0.5, 0.5, (2, *samples.shape)), axis=0)[0] if dither else 0.0
    return (np.round(samples / step + noise) * step).astype(np.float32)


STORED: tuple[Callable[[Samples, Rng], Samples], ...] = (
    lambda x, rng: rounded(x / max(1.0, np.abs(x).max())),
    lambda x, rng: rounded(x / max(1.0, np.abs(x).max()), STEP / 256),
    lambda x, rng: rounded(0.7 * x, dither=rng),
    lambda x, rng: rounded(0.98 * x / np.abs(x).max()),
)


def resampled(samples: Samples, from_hz: float, to_hz: float, quality: str = "HQ") -> Samples:
    return soxr.resample(samples.T, from_hz, to_hz, quality).T


def innocent(item: Item, rng: Rng) -> Iterator[tuple[str, Samples, int]]:
    """The item by what was done to it."""
    x, rate_hz = item.samples.astype(np.float64), item.rate_hz
    yield "as it is, 16 bits, dither", rounded(x, dither=rng), rate_hz
    yield "16 bits, cut off", (np.floor(x / STEP) * STEP), rate_hz
    yield "24 bits", rounded(x, STEP / 256), rate_hz
    yield "40 dB down, 16 bits", rounded(x / 100, dither=rng), rate_hz
    yield "40 dB down, raised again", 60 * rounded(x / 100, dither=rng), rate_hz
    yield "8 bits", rounded(x, 2.0**-7), rate_hz
    yield "fade-out", rounded(x * np.linspace(1, 0, x.shape[1]) ** 2, dither=rng), rate_hz
    yield "hiss at -55 dB", rounded(x + rng.normal(0, 10 ** (-55 / 20), x.shape), dither=rng), rate_hz
    for order in (1, 2, 3, 4):
        for corner_hz in (4000, 8000, 12_000, 15_000, 18_000):
            sections = scipy.signal.butter(order, corner_hz, fs=rate_hz, output="sos")
            low = scipy.signal.sosfilt(sections, x)
            yield f"low-passed, order {order}", rounded(low, dither=rng), rate_hz
    for to_hz in (44_100, 48_000, 96_000):
        if to_hz != rate_hz:
            yield "resampled to 44.1, 48, 96 kHz", rounded(resampled(x, rate_hz, to_hz), STEP / 256), to_hz
    for over_hz in (22_050, 32_000):
        for quality in ("HQ", "MQ"):
            over = resampled(resampled(x, rate_hz, over_hz, quality), over_hz, rate_hz, quality)
            yield "resampled from 22.05, 32 kHz", rounded(over), rate_hz


def waves(rng: Rng) -> Iterator[tuple[str, Samples, int]]:
    t = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ
    for frequency_hz in (100, 440, 1000, 5000, 11_000, 15_000):
        yield "sines, saws, chirp, clicks", 0.5 * np.sin(2 * np.pi * frequency_hz * t), RATE_HZ
    for frequency_hz in (46.875, 110, 375):  # the first and last in step with AAC's frames at 48 kHz
        at_48 = np.arange(round(LENGTH_S * OPUS_RATE_HZ)) / OPUS_RATE_HZ
        yield "sines, saws, chirp, clicks", 0.3 * scipy.signal.sawtooth(2 * np.pi * frequency_hz * at_48), OPUS_RATE_HZ
    yield "sines, saws, chirp, clicks", 0.5 * scipy.signal.chirp(t, 20, LENGTH_S, 20_000), RATE_HZ
    yield "sines, saws, chirp, clicks", np.where(np.arange(len(t)) % 100_000 == 50_000, 0.9, 0.0), RATE_HZ


def cut(samples: Samples, rate_hz: int, rng: Rng, length_s: float = LENGTH_S) -> Samples:
    length = round(length_s * rate_hz)
    start = int(rng.integers(1, max(2, samples.shape[1] - length)))
    return samples[:, start : start + length]


Counts = dict[tuple[str, str], list[bool | None]]  # by row and kind: what the clips were judged


def tables(seed: int, real: Path | None) -> Iterator[Table]:
    """Recall, false alarms, and, with a folder, what its recordings are as they are found."""
    found, alarms = defaultdict(list), defaultdict(list)
    for turn, item in enumerate(items(seed, real)):
        rng = np.random.default_rng((seed, turn))
        stretch = cut(item.samples, item.rate_hz, rng, LENGTH_S + 0.5)
        for codec, rates in RATES.items():
            for rate in rates:
                turn += 1
                decoded, rate_hz = coded(stretch, item.rate_hz, codec, rate)
                stored = STORED[turn % len(STORED)](decoded, rng)
                found[f"{codec} {rate}", item.kind].append(judged(cut(stored, rate_hz, rng), rate_hz).suspect)
        for name, samples, rate_hz in innocent(item, rng):
            alarms[name, item.kind].append(judged(cut(samples, rate_hz, rng), rate_hz).suspect)
    for name, samples, rate_hz in waves(np.random.default_rng(seed)):
        alarms[name, "waves"].append(judged(rounded(np.tile(samples, (2, 1))), rate_hz).suspect)
    yield table("Lossy origin: decoded files found (of; ? not judged)", found, POOLED)
    yield table("Lossy origin: false alarms on what was never coded", alarms)
    if real:
        yield as_found(real)


def table(title: str, counts: Counts, pooled: dict[str, list[str]] | None = None) -> Table:
    """A line for each row, one for each pool of rows, and one for all."""
    kinds = list(dict.fromkeys(kind for _, kind in counts))
    rows = list(dict.fromkeys(row for row, _ in counts))
    made = Table("", *kinds, "all", title=title)
    for name, pool in {**{row: [row] for row in rows}, **(pooled or {}), "all": rows}.items():
        cells = [[v for (row, k), vs in counts.items() if row in pool and k == kind for v in vs] for kind in kinds]
        made.add_row(name, *map(cell, cells), cell([verdict for verdicts in cells for verdict in verdicts]))
        if name == rows[-1]:
            made.add_section()
    return made


def cell(verdicts: list[bool | None]) -> str:
    if not verdicts:
        return ""
    share, unknown = sum(map(bool, verdicts)) / len(verdicts), verdicts.count(None)
    return f"{share:.1%} of {len(verdicts)}" + (f", {unknown} ?" if unknown else "")


def as_found(real: Path) -> Table:
    made = Table("recording", "suspect", "codec", "score", "zeroed", title="Recordings as they are found")
    for path in recordings(real):
        result = best_piece(*read(path))
        score = "" if result.codec_score is None else f"{result.codec_score:.1f}"
        ratio = "" if result.zeroed_ratio is None else f"{result.zeroed_ratio:.1%}"
        made.add_row(path.stem, str(result.suspect), result.codec or "", score, ratio)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--real", type=Path, help="a folder with lossless recordings")
    args = parser.parse_args()
    for made in tables(args.seed, args.real):
        Console().print(made)
