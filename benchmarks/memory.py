"""Peak memory of a run, all its processes together: of a corpus, of one four times as large, and of a 10-hour file.

usage: python benchmarks/memory.py [EXPERIMENT ...] [--workers N] [--suffix flac|mp3] [--hours H] [key=value ...]

Experiments, default all: `1x` and `4x` are corpora of recordings of ten minutes, `minutes` is one such recording for
each worker and `hours` one of ten hours. Each is a run of music_gen in a process of its own. Memory is sampled five
times a second from /proc (so Linux only) and shared pages are counted once: proportional set sizes, and the object
store by the pages that it has taken. All corpora hold one synthesised song over and over, hard-linked under as many
names as it takes.

The 1x corpus is the smallest whose blocks are as long as blocks get, so that what 4x adds is more of the same: 5.3
hours a worker. With two workers on two idle cores all four take about a quarter of an hour, and 25 GB of disk below
TMPDIR.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import soundfile
from processes import pids, run

from audiocur.engine.cores import cores
from audiocur.planning import BLOCKS_PER_WORKER, LONGEST_BLOCK_S
from audiocur.sources.synth.catalogue import tracks
from audiocur.sources.synth.song import render

RATE_HZ = 44_100
RECORDING_S = 600.0
LONG_S = 36_000.0
INTERVAL_S = 0.2
EXPERIMENTS = ("1x", "4x", "minutes", "hours")
RATIOS = (("4x", "1x"), ("hours", "minutes"), ("hours", "1x"))
#: What processes are called: those that run our code or wait for some, and Ray's own.
WORKERS = ("ray::MapBatches", "ray::IDLE")
RAY = ("ray::", "raylet", "gcs_server", "/ray/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="experiments, and key=value for audiocur")
    parser.add_argument("--workers", type=int, default=min(2, cores()))
    parser.add_argument("--suffix", choices=("flac", "mp3"), default="flac")
    parser.add_argument("--hours", type=float, help="of the 1x corpus")
    options = parser.parse_intermixed_args()
    if not Path("/proc/self/smaps_rollup").exists():
        parser.error("expected Linux, whose /proc tells what a process has in memory")
    chosen = [word for word in options.words if "=" not in word] or EXPERIMENTS
    if unknown := set(chosen) - set(EXPERIMENTS):
        parser.error(f"{', '.join(unknown)}: expected {', '.join(EXPERIMENTS)}")
    hours = options.hours or options.workers * BLOCKS_PER_WORKER * LONGEST_BLOCK_S / 3600
    number = max(1, round(hours * 3600 / RECORDING_S))
    words = [f"engine.cpus={options.workers}", *(word for word in options.words if "=" in word)]
    peaks = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen:
            copies = {"1x": number, "4x": 4 * number, "minutes": options.workers, "hours": 1}[name]
            seconds = LONG_S if name == "hours" else RECORDING_S
            folder = Path(scratch) / name
            write_corpus(folder, options.suffix, copies, seconds)
            peaks[name] = measure(folder, words)
            print(f"{name}: {copies} × {seconds / 60:g} min of {options.suffix}: {peaks[name]}", flush=True)
    for larger, smaller in RATIOS:
        if larger in peaks and smaller in peaks:
            whole = peaks[larger].total / peaks[smaller].total
            worker = peaks[larger].largest_worker / peaks[smaller].largest_worker
            print(f"{larger} / {smaller}: {whole:.2f} in all, {worker:.2f} the largest worker")


@dataclass
class Peak:
    """The most that was seen at once, in bytes, by part; the most that one worker ever had; and how long it took."""

    parts: dict[str, int] = field(default_factory=dict)
    workers: int = 0
    largest_worker: int = 0
    elapsed_s: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / 1e6:,.0f}" for name, size in self.parts.items())
        return (
            f"peak {self.total / 1e6:,.0f} MB ({parts}; {self.workers} workers at work or idle); "
            f"largest worker {self.largest_worker / 1e6:,.0f} MB; {self.elapsed_s:.0f} s"
        )


def measure(folder: Path, words: list[str]) -> Peak:
    """Run music_gen over a folder, and watch it."""
    peak = Peak()
    with tempfile.TemporaryDirectory(dir=folder.parent) as output:
        places = [f"source.path={folder}", f"output.path={output}/run"]
        command = [sys.executable, "-m", "audiocur", "recipe=music_gen", *places, *words]
        peak.elapsed_s = run([command], lambda session: sample(session, peak), INTERVAL_S).wall_s
    return peak


def sample(session: int, peak: Peak) -> None:
    """Look once at every process of the session."""
    parts: dict[str, int] = defaultdict(int)
    workers = store = 0
    for pid in pids(session):
        try:
            kind, size = kind_of(pid, session), own_bytes(pid)
            store = max(store, store_bytes(pid)) if kind == "Ray's own" else store
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        parts[kind] += size
        if kind == "workers":
            workers += 1
            peak.largest_worker = max(peak.largest_worker, size)
    parts["object store"] = store
    if sum(parts.values()) > peak.total:
        peak.parts, peak.workers = dict(parts), workers


def kind_of(pid: int, session: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    if command.startswith(WORKERS):
        return "workers"
    if pid != session and any(mark in command for mark in RAY):
        return "Ray's own"
    return "driver"  # and the child it makes an estimate in


def own_bytes(pid: int) -> int:
    """Resident memory without that which is shared on purpose; of pages that several map, a process's share."""
    found = dict(re.findall(r"^(\w+): +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE))
    return (int(found["Pss_Anon"]) + int(found["Pss_File"])) * 1024 if found else 0  # nothing: it is ending


def store_bytes(pid: int) -> int:
    """Pages that the object store has taken, if this process holds it; they count whoever has mapped them."""
    sizes = [0]
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "plasma" in str(link.readlink()):
            sizes.append(link.stat().st_blocks * 512)
    return max(sizes)


def write_corpus(folder: Path, suffix: str, copies: int, seconds: float) -> None:
    """One recording under many names."""
    folder.mkdir()
    write: dict[str, Callable[[Path, float], None]] = {"flac": write_flac, "mp3": write_mp3}
    first = folder / f"00000.{suffix}"
    write[suffix](first, seconds)
    for copy in range(1, copies):
        os.link(first, folder / f"{copy:05}.{suffix}")


def song() -> np.ndarray:
    """Half a minute of music over hiss, which makes its FLAC as large as that of a real recording."""
    rng = np.random.default_rng(0)
    samples = render(next(iter(tracks())).song(0, rng), RATE_HZ, rng)
    return np.clip(samples + rng.normal(0, 0.01, samples.shape).astype(np.float32), -1, 1)


def write_flac(path: Path, seconds: float) -> None:
    samples = (song().T * 32767).astype(np.int16)
    left = round(seconds * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16", format="FLAC", compression_level=0.0) as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def write_mp3(path: Path, seconds: float) -> None:
    """Ten minutes encoded, and as often as it takes end to end: its frames need no container."""
    samples = song()
    num_samples = round(RECORDING_S * RATE_HZ)
    samples = np.tile(samples, (1, -(-num_samples // samples.shape[1])))[:, :num_samples]
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as output:
        stream = output.add_stream("libmp3lame", rate=RATE_HZ, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        framer = av.AudioResampler("fltp", "stereo", RATE_HZ, frame_size=stream.codec_context.frame_size)
        for each in (*framer.resample(frame), *framer.resample(None), None):
            output.mux(stream.encode(each))
    data = path.read_bytes()
    path.write_bytes(data * round(seconds / RECORDING_S))


if __name__ == "__main__":
    main()
