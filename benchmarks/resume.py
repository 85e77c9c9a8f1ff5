"""Time and memory to resume a finished run of many spans, with a ledger that is written for the purpose.

usage: python benchmarks/resume.py [--spans N] [--spans-a-part N] [--clips-a-span N]

The recordings are empty files, and the shards have their sizes and no content: a resumed run looks at no more of them.
Printed are wall time and peak memory of `audiocur ...` over it, twice: without the index of the ledger, as after a
kill, and with it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from audiocur.config import job
from audiocur.job import Job
from audiocur.records import clip_id, source_id
from audiocur.run import committer
from audiocur.storage.local import LocalStore
from audiocur.store.commit import write_part
from audiocur.store.ledger import INDEX, Ledger
from audiocur.store.parts import Shard
from audiocur.store.recipe import claim, environment

RATE_HZ, CLIP_S = 44_100, 25


class Hasty(LocalStore):
    """Does not wait for the disk, as a benchmark's set-up need not."""

    def write(self, name: str, data: bytes | memoryview, *, exclusive: bool = False) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--spans-a-part", type=int, default=5, help="songs of four minutes: five make a block")
    parser.add_argument("--clips-a-span", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        library, output = Path(scratch) / "library", Path(scratch) / "run"
        words = [f"source.path={library}", f"output.path={output}"]
        names = write_library(library, options.spans)
        began = time.monotonic()
        write_run(job(words), Hasty(str(output)), names, options)
        print(f"{options.spans:,} spans, {options.spans * options.clips_a_span:,} clips written in ", end="")
        print(f"{time.monotonic() - began:.0f} s: {sum(1 for _ in output.glob('ledger/part-*')):,} ledger parts")
        for what in ("without the index", "with it"):
            if what == "without the index":
                (output / INDEX).unlink(missing_ok=True)
            began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [sys.executable, "-m", "audiocur", *words], capture_output=True, text=True, check=True
            )
            elapsed_s = time.monotonic() - began
            if "Nothing was missing" not in done.stdout:
                sys.exit(f"expected that nothing was missing:\n{done.stdout}")
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            print(f"resumed {what}: {elapsed_s:.1f} s ({cpu_s:.1f} CPU-s), at most {now.ru_maxrss / 1024:,.0f} MiB")


def write_library(folder: Path, number: int) -> list[str]:
    names = [f"{i // 1000:03}/{i:06}.flac" for i in range(number)]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return names


def write_run(made: Job, store: LocalStore, names: list[str], options: argparse.Namespace) -> None:
    epoch = Ledger.read(store).begin_epoch({"owner": None, "environment": environment()})
    claim(store, made.recipe())
    store.write("lease.json", b'{"epoch": 1, "beats": 0, "released": true}')
    schema = committer(made, epoch).ledger
    folder = Path(made.source.path)  # type: ignore[attr-defined]
    for at in range(0, len(names), options.spans_a_part):
        block = names[at : at + options.spans_a_part]
        rows = [row for name in block for row in rows_of(folder, name, options.clips_a_span)]
        shard = Shard(f"clips/train/part-{at:020}.parquet", len(rows) - len(block), 100_000_000, "0" * 64)
        path = store.path / shard.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, shard.size_bytes)
        write_part(store, epoch, pa.Table.from_pylist(rows, schema), shard)


def rows_of(folder: Path, name: str, clips: int) -> Iterator[dict[str, object]]:
    status = (folder / name).stat()
    key = source_id(name.encode())
    common = {"source_id": key, "span_id": f"{key}-0", "uri": name, "split": "train", "group": key}
    common |= {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "source_rate_hz": RATE_HZ}
    span = {"verdict": "done", "duration_s": float(clips * CLIP_S), "uncut_s": 0.0, "last": True, "expected_spans": 1}
    yield common | span | {"start_sample": 0, "end_sample": clips * CLIP_S * RATE_HZ, "rules": []}
    for number in range(clips):
        start, end = number * CLIP_S * RATE_HZ, (number + 1) * CLIP_S * RATE_HZ
        bounds = {"clip_id": clip_id(key, start, end), "start_sample": start, "end_sample": end}
        measures = {"loudness_lufs": -14.0, "tempo_bpm": 120.0, "key": "A minor", "tags": ["instrumental", "120 BPM"]}
        yield common | bounds | measures | {"verdict": "kept", "duration_s": float(CLIP_S), "rules": []}


if __name__ == "__main__":
    main()
