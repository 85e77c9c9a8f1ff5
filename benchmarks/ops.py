"""What an hour of audio costs in CPU-seconds, op by op, with the views they share apart, beside libraries' own calls.

usage: python benchmarks/ops.py FOLDER [--alone] [--save] [key=value ...]      key=value as on audiocur's command line

Everything runs in this process on one core, on the first ten minutes of each recording, in the order of the recipe; no
clip is rejected, so every op hears them all. Beside an op stands what a user would call for the same, if there is such
a thing, on every eighth clip, for some of them are slow. `--alone` leaves that out, `--save` writes the costs that
docs/measures.md shows.
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import pyloudnorm
import silero_vad
import soundfile
import soxr
import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from audiocur.audio import Audio
from audiocur.config import job
from audiocur.job import Job
from audiocur.op import ClipOp, SpanOp
from audiocur.records import Clip, Source, Span, Verdict
from audiocur.run import committer
from audiocur.storage import open_store
from audiocur.store.ledger import Ledger

#: Views of the audio that ops share: computed and charged on their own before the first op that uses them.
SPAN_VIEWS: dict[str, Callable[[Audio], object]] = {"view: mono at 16 kHz": lambda audio: audio.mono_16k}
CLIP_VIEWS: dict[str, Callable[[Audio], object]] = {
    "view: levels": lambda audio: audio.levels,
    "view: mono": lambda audio: audio.mono,
    "view: spectrogram": lambda audio: audio.spectrogram,
    "view: power of the spectrogram": lambda audio: (audio.spectrogram.power, audio.spectrogram.mean_square),
}
LIBRARY_RATE_HZ = 22_050  # librosa's own
EVERY = 8
COSTS = Path(__file__).parent / "costs.json"


class Stopwatch:
    """CPU-seconds by name, and of how much audio."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)
        self.seconds = 0.0

    def time(self, name: str, call: Callable[[], object]) -> None:
        began = time.process_time()
        call()
        self.cpu_s[name] += time.process_time() - began

    @property
    def an_hour(self) -> dict[str, float]:
        return {name: cpu_s / (self.seconds / 3600) for name, cpu_s in self.cpu_s.items()}


def main(folder: str, *words: str, alone: bool = False, save: bool = False) -> None:
    torch.set_num_threads(1)
    made = job(["recipe=music_gen", f"source.path={folder}", "output.path=unused", *words])
    sources = made.source.list().sources
    with threadpool_limits(1):
        everything(made, sources[:1], alone=alone)  # imports, caches and compilation are paid for here
        ours, theirs = everything(made, sources, alone=alone)
    show(ours, theirs)
    if save:
        where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        costs = {name: round(cost, 2) for name, cost in ours.an_hour.items()}
        COSTS.write_text(json.dumps({"where": where, "cpu_s_an_hour": costs}, indent=2) + "\n")


def everything(made: Job, sources: Sequence[Source], *, alone: bool) -> tuple[Stopwatch, Stopwatch]:
    """Our ops on all clips, and the libraries' calls on every so many."""
    ours, theirs, number = Stopwatch(), Stopwatch(), 0
    with tempfile.TemporaryDirectory() as run:
        commit = committer(replace(made, output=open_store(run)), Ledger.read(run).begin_epoch({})).commit
        for source in sources:
            span = Span(source=source)
            for clip in worked(made, span, ours):
                if not alone and number % EVERY == 0:
                    compare(clip.audio, theirs)
                number += 1
                finish(made, span, clip, ours)
            span.audio = None
            ours.seconds += span.duration_s
            ours.time("commit (Parquet, fsync)", lambda span=span: commit([span]))
    return ours, theirs


def worked(made: Job, span: Span, watch: Stopwatch) -> Iterator[Clip]:
    """The span through every op on spans, and its clips."""
    for step in made.pipeline.steps:
        if isinstance(step.op, SpanOp):
            watch.time(step.name, lambda op=step.op: op.apply(span))
            if step.name == "decode":
                for name, view in SPAN_VIEWS.items():
                    watch.time(name, lambda view=view: view(span.audio))
    yield from span.clips


def finish(made: Job, span: Span, clip: Clip, watch: Stopwatch) -> None:
    """One clip through every op."""
    for name, view in CLIP_VIEWS.items():
        watch.time(name, lambda view=view: view(clip.audio))
    for step in made.pipeline.steps:
        watch.time(step.name, lambda op=step.op: measure(op, span, clip))
    clip.verdict = Verdict.KEPT
    clip.release()


def measure(op: object, span: Span, clip: Clip) -> None:
    if isinstance(op, SpanOp):
        clip.measures |= op.measure(span, clip)
    elif isinstance(op, ClipOp):
        clip.measures |= op.measure(clip)


def compare(audio: Audio, watch: Stopwatch) -> None:
    """The libraries' calls on one clip, decoded already, in the layout they like."""
    samples, rate_hz = np.ascontiguousarray(audio.samples.T), audio.rate_hz
    watch.seconds += audio.duration_s
    stored = io.BytesIO()
    soundfile.write(stored, samples, rate_hz, format="FLAC")
    waveform = soxr.resample(samples.mean(axis=1), rate_hz, LIBRARY_RATE_HZ)
    for name, call in {
        "decode": lambda: soundfile.read(io.BytesIO(stored.getvalue()), dtype="float32", always_2d=True),
        "vad": lambda: speech(soxr.resample(samples.mean(axis=1), rate_hz, 16_000)),
        "loudness": lambda: (
            pyloudnorm.Meter(rate_hz).integrated_loudness(samples),
            np.abs(soxr.resample(samples, rate_hz, 4 * rate_hz)).max(),
        ),
        "bandwidth": lambda: librosa.feature.spectral_rolloff(S=librosa_power(samples), sr=rate_hz, roll_percent=0.99),
        "stereo": lambda: np.corrcoef(samples.T),
        "silence": lambda: librosa.effects.split(samples.T, top_db=60),
        "spectrum": lambda: librosa.feature.spectral_centroid(y=waveform, sr=LIBRARY_RATE_HZ),
        "tempo": lambda: librosa.beat.beat_track(y=waveform, sr=LIBRARY_RATE_HZ),
        "key": lambda: librosa.feature.chroma_stft(y=waveform, sr=LIBRARY_RATE_HZ),
        "encode": lambda: soundfile.write(io.BytesIO(), samples, rate_hz, format="FLAC", subtype="PCM_16"),
    }.items():
        watch.time(name, call)


#: What `compare` calls, in a few words.
LIBRARIES = {
    "decode": "soundfile, of FLAC",
    "vad": "silero-vad's get_speech_timestamps",
    "loudness": "pyloudnorm, integrated; 4 × soxr for the true peak",
    "bandwidth": "librosa spectral_rolloff",
    "stereo": "numpy corrcoef",
    "silence": "librosa effects.split",
    "spectrum": "librosa spectral_centroid",
    "tempo": "librosa beat_track, at 22 kHz",
    "key": "librosa chroma_stft, at 22 kHz",
    "encode": "soundfile, FLAC as it comes",
}


@cache
def silero() -> object:
    return silero_vad.load_silero_vad()


def speech(mono_16k: np.ndarray) -> object:
    return silero_vad.get_speech_timestamps(torch.from_numpy(mono_16k), silero())


def librosa_power(samples: np.ndarray) -> np.ndarray:
    return np.square(np.abs(librosa.stft(samples.mean(axis=1))))


def show(ours: Stopwatch, theirs: Stopwatch) -> None:
    costs, beside = ours.an_hour, theirs.an_hour
    total = sum(costs.values())
    table = Table(title=f"{ours.seconds / 3600:.2f} h of audio, {total:.1f} CPU-seconds an hour")
    table.add_column("op")
    for heading in ("CPU-s an hour", "share", "× real time"):
        table.add_column(heading, justify="right")
    if beside:
        table.add_column("a library's call for it, or for part of it")
        for heading in ("CPU-s an hour", "ratio"):
            table.add_column(heading, justify="right")
    for name, cost in sorted(costs.items(), key=lambda item: -item[1]):
        cells = [name, f"{cost:.2f}", f"{cost / total:.1%}", f"{3600 / cost:,.0f}" if cost else ""]
        if name in beside:
            cells += [LIBRARIES[name], f"{beside[name]:.2f}", f"{beside[name] / cost:.1f}"]
        table.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    decode = costs["decode"]
    dear = [name for name, cost in costs.items() if cost > decode and name != "decode"]
    print(f"dearer than decoding: {', '.join(dear) or 'nothing'}")


if __name__ == "__main__":
    flags = {"--alone", "--save"} & set(sys.argv)
    words = [word for word in sys.argv[1:] if word not in flags]
    if not words or words[0].startswith("-"):
        sys.exit(__doc__)
    main(*words, alone="--alone" in flags, save="--save" in flags)
