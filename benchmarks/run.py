"""The main job, Ray's start-up included, beside another script, in turn and in one sitting: wall times and their ratio.

usage: python benchmarks/run.py FOLDER [--beside SCRIPT.py] [--times N] [key=value ...]

SCRIPT.py is called as `SCRIPT.py FOLDER OUT_FOLDER WORKERS`, with as many workers as there are cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("words", nargs="*", help="key=value for audiocur")
    parser.add_argument("--beside", help="a script to be held against")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    ours, theirs = [], []
    for turn in range(options.times):
        with tempfile.TemporaryDirectory() as scratch:
            run = [f"source.path={options.folder}", f"output.path={Path(scratch) / 'run'}", f"engine.cpus={cores}"]
            ours.append(wall_s([sys.executable, "-m", "audiocur", "recipe=music_gen", *run, *options.words]))
            print(f"turn {turn + 1}: audiocur {ours[-1]:.1f} s", end="", flush=True)
            if options.beside:
                beside = [sys.executable, options.beside, options.folder, str(Path(scratch) / "beside"), str(cores)]
                theirs.append(wall_s(beside))
                print(f", beside it {theirs[-1]:.1f} s, ratio {theirs[-1] / ours[-1]:.2f}", end="")
            print()
    print(f"median: audiocur {statistics.median(ours):.1f} s", end="")
    if theirs:
        ratio = statistics.median(other / mine for other, mine in zip(theirs, ours, strict=True))
        print(f", beside it {statistics.median(theirs):.1f} s, {ratio:.2f} times as fast", end="")
    print()


def wall_s(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
