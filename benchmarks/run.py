"""The main job, Ray's start-up included, beside its floor, a script written by hand, and bare processes without Ray.

usage: python benchmarks/run.py FOLDER [--hours H ...] [--times N] [--beside SCRIPT.py] [--bare] [key=value ...]

`audiocur` is `recipe=music_gen` with a worker a core; `floor` the same with nothing measured: decode, VAD, segment,
FLAC, Parquet. None of them draws a report (some 4 s, whatever the length), for nothing that they are held against does.
SCRIPT.py is called as `SCRIPT.py FOLDER OUT WORKERS`. `--bare` runs `engine=local source.shard=i/N` in
as many processes. With `--hours`, each experiment is done at each length, over links to the same files, as many as it
takes; two lengths show what Ray costs beyond its start-up, and whether cost grows with the hours alone. A turn is all
experiments at all lengths, one after the other in one sitting, and medians of the turns are shown: the machine's mood
drops out of ratios.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import soundfile
from processes import Took, run
from rich.console import Console
from rich.table import Table

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
FLOOR = ("pipeline=[decode,vad,segment,encode]",)
Results = dict[str, list[Took]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("words", nargs="*", help="key=value for audiocur")
    parser.add_argument("--hours", type=float, nargs="+", help="lengths of the corpus; default: what is there")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--beside", help="a script to be held against")
    parser.add_argument("--bare", action="store_true", help="as many processes without Ray")
    parser.add_argument("--no-floor", action="store_true", help="leave out the floor")
    options = parser.parse_intermixed_args()
    files = [path for path in sorted(options.folder.rglob("*")) if path.suffix in SUFFIXES]
    seconds = {path: soundfile.info(str(path)).duration for path in files}
    if not files:
        parser.error(f"{options.folder}: expected recordings: {', '.join(SUFFIXES)}")
    there = sum(seconds.values()) / 3600
    measured: dict[float, Results] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as scratch:
        folders = {hours: Path(scratch) / f"{hours:g}h" for hours in options.hours or [there]}
        linked = {folder: link(seconds, folder, hours) for hours, folder in folders.items()}
        for turn, (folder, length_h) in itertools.product(range(options.times), linked.items()):
            for name, commands in experiments(options, folder).items():
                with tempfile.TemporaryDirectory(dir=scratch) as output:
                    took = run(commands(Path(output)))
                measured[length_h][name].append(took)
                print(f"turn {turn + 1}, {length_h:.2f} h: {name}: {took.wall_s:.1f} s, {took.cpu_s:.1f} CPU-s")
                sys.stdout.flush()
    show(measured)


def experiments(options: argparse.Namespace, folder: Path) -> dict[str, Callable[[Path], Sequence[Sequence[str]]]]:
    """By name, the commands to run side by side for an output folder."""
    cores = len(os.sched_getaffinity(0))
    run_it = [sys.executable, "-m", "audiocur", "recipe=music_gen", f"source.path={folder}"]
    every = [*options.words, "report=false", f"engine.cpus={cores}"]
    shards = [f"source.shard={i}/{cores}" for i in range(cores)]
    found: dict[str, Callable[[Path], Sequence[Sequence[str]]]] = {
        "audiocur": lambda out: [[*run_it, f"output.path={out}/run", *every]]
    }
    if not options.no_floor:
        found["floor"] = lambda out: [[*run_it, f"output.path={out}/run", *every, *FLOOR]]
    if options.bare:
        found["bare"] = lambda out: [
            [*run_it, f"output.path={out}/{i}", *options.words, "report=false", "engine=local", shard]
            for i, shard in enumerate(shards)
        ]
    if options.beside:
        found["beside"] = lambda out: [[sys.executable, options.beside, str(folder), str(out), str(cores)]]
    return found


def link(seconds: dict[Path, float], folder: Path, hours: float) -> float:
    """Fill a folder with links to the recordings, over and over, up to so many hours; returns what they come to."""
    total, copy = 0.0, 0
    while total / 3600 < hours - 1e-6:
        (folder / f"{copy:03}").mkdir(parents=True)
        for number, (path, length_s) in enumerate(seconds.items()):
            if total / 3600 >= hours - 1e-6:
                break
            (folder / f"{copy:03}" / f"{number:05}{path.suffix}").symlink_to(path.resolve())
            total += length_s
        copy += 1
    return total / 3600


def show(measured: dict[float, Results]) -> None:
    wall = {
        h: {name: statistics.median(t.wall_s for t in took) for name, took in r.items()} for h, r in measured.items()
    }
    cpu = {
        h: {name: statistics.median(t.cpu_s for t in took) / h for name, took in r.items()} for h, r in measured.items()
    }
    table = Table("hours of audio", title="medians")
    for heading in ("experiment", "wall, s", "× real time", "CPU-s an hour", "its wall time over audiocur's"):
        table.add_column(heading, justify="right")
    for hours, results in measured.items():
        for name in results:
            pairs = zip(results[name], results["audiocur"], strict=True)
            ratio = statistics.median(theirs.wall_s / ours.wall_s for theirs, ours in pairs)
            speed = 3600 * hours / wall[hours][name]
            cells = (f"{wall[hours][name]:.1f}", f"{speed:,.0f}", f"{cpu[hours][name]:.1f}", f"{ratio:.2f}")
            table.add_row(f"{hours:.2f}", name, *cells)
        table.add_section()
    console = Console(width=120)
    console.print(table)
    for name in next(iter(measured.values())) if len(measured) > 1 else ():
        an_hour = [cpu[hours][name] for hours in measured]
        spread = 100 * (max(an_hour) / min(an_hour) - 1)
        console.print(f"{name}: CPU-s an hour are within {spread:.1f} % at all lengths, start-up included")
    for first, last in itertools.pairwise(sorted(measured)):
        further, taken = last - first, {}
        for name in measured[first]:
            cpu_s = (cpu[last][name] * last - cpu[first][name] * first) / further
            taken[name] = (wall[last][name] - wall[first][name]) / further
            says = f"each further hour costs {name} {cpu_s:.1f} CPU-s and {taken[name]:.1f} s"
            console.print(f"from {first:.1f} to {last:.1f} h, start-up aside: {says}")
        if "bare" in taken:
            console.print(
                f"there engine=ray takes {taken['audiocur'] / taken['bare']:.2f} times as long as bare processes"
            )


if __name__ == "__main__":
    main()
