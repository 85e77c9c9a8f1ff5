"""Time and memory to look at a run of many clips, with a ledger that is written for the purpose.

usage: python benchmarks/inspecting.py [--rows N] [--rows-a-part N] [--keep FOLDER]

The ledger is one of `recipe=music_gen`, its measures drawn at random, its verdicts what the recipe's rules make of
them. A block of work is 20 minutes of audio, some 50 clips: that many rows has a part of a real run.

Each line is one call, in the order in which a curator makes them, all in one process: wall and CPU time, how far
memory rose above what was held before, and what is held afterwards (from /proc, so Linux only). The file is not called
after the folder whose code it measures: Python's own `inspect` would be lost to every script beside it.
"""

from __future__ import annotations

import argparse
import gc
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from resume import Hasty
from rich.console import Console
from rich.table import Table

from audiocur.config import job
from audiocur.inspect.opened import Run, open_run
from audiocur.job import Job
from audiocur.judgement import Clips, Gates
from audiocur.op import Column
from audiocur.records import clip_id, source_id
from audiocur.run import committer
from audiocur.store.commit import write_part
from audiocur.store.ledger import Ledger
from audiocur.store.recipe import claim, environment

RATE_HZ, CLIP_S, CLIPS_A_SPAN = 44_100, 25.0, 24
#: Mean and spread of the measures that the recipe judges: some clips break each rule. All others are around 0.
NORMAL = {
    "silence_ratio": (0.1, 0.15),
    "loudness_lufs": (-20, 8),
    "clipped_ratio": (0.001, 0.004),
    "dc_offset": (0.002, 0.006),
    "clicks_per_s": (0.1, 0.4),
    "hum_db": (-50, 10),
    "bandwidth_hz": (15_000, 4_000),
    "music_ratio": (0.8, 0.25),
}
CHOICES = {
    "stereo_image": ["stereo", "dual mono", "one channel", "inverted"],
    "key": ["A minor", "C major", "E minor", "G major"],
    "language": ["en", "de", "fr", "es"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rows-a-part", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="where the run is written and left; taken as it is if it is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        output = options.keep or Path(scratch) / "run"
        if not (output / "recipe.yaml").exists():
            began = time.monotonic()
            write_run(output, options.rows, options.rows_a_part)
            print(f"written in {time.monotonic() - began:.0f} s")
        look(output)


def look(output: Path) -> None:
    table = Table(title=f"{sum(1 for _ in output.glob('ledger/part-*')):,} ledger parts")
    for heading in ("call", "s", "CPU-s", "MiB more at most", "MiB held"):
        table.add_column(heading, justify="left" if heading == "call" else "right")
    results: dict[str, Any] = {}
    for name, call in calls(output, results):
        wall_s, cpu_s, rise, held = measured(name, call, results)
        table.add_row(name, f"{wall_s:.2f}", f"{cpu_s:.2f}", f"{rise:,.0f}", f"{held:,.0f}")
        print(f"{name}: {wall_s:.2f} s", flush=True)
    Console(width=120).print(table)


def calls(output: Path, results: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is measured; later ones use what the first, the run, has read by then."""
    yield "open_run", lambda: open_run(output)
    run: Run = results["open_run"]
    hours = sum(span.duration_s for part in run.parts.parts for span in part.spans) / 3600
    group_by = "select rule, count(*), sum(duration_s) from ledger group by rule"
    one_rule = {"loudness.min": -30}
    several = {"loudness.min": -35, "clipping.max": None, "new.column": "tempo_bpm", "new.min": 0}
    yield "repr", lambda: repr(run)
    yield "funnel", run.funnel
    yield "its recipe composed", lambda: run.job
    yield "what-if, columns read", lambda: run.whatif(one_rule)
    yield "what-if again", lambda: run.whatif({"loudness.min": -31})
    yield "what-if of three rules, one of them new", lambda: run.whatif(several)
    yield "the same again", lambda: run.whatif(several)
    yield "distribution, column read before", lambda: run.distribution("loudness_lufs")
    yield "distribution, column read", lambda: run.distribution("spectral_flatness")
    yield "suggest more hours", lambda: run.suggest(0.7 * hours)
    yield "suggest fewer hours", lambda: run.suggest(0.2 * hours)
    yield "SQL, grouped", lambda: run.sql(group_by).fetchall()
    yield "SQL, grouped again", lambda: run.sql(group_by).fetchall()
    yield "sample of a condition", lambda: run.sample("verdict = 'rejected' and rule = 'clipping'")


def measured(name: str, call: Callable[[], Any], results: dict[str, Any]) -> tuple[float, float, float, float]:
    """Wall and CPU time in s, and MiB: by how much memory rose at most, and what is held in the end."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
    before, began, worked = _mib("VmRSS"), time.perf_counter(), time.process_time()
    results[name] = call()
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - worked
    return wall_s, cpu_s, _mib("VmHWM") - before, _mib("VmRSS")


def _mib(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise LookupError(f"/proc/self/status has no {key}")
    return int(found[1]) / 1024


def write_run(output: Path, rows: int, rows_a_part: int) -> None:
    made, store = job(["recipe=music_gen", "source=demo", f"output.path={output}"]), Hasty(str(output))
    epoch = Ledger.read(store).begin_epoch({"owner": None, "environment": environment()})
    claim(store, made.recipe())
    store.write("lease.json", b'{"epoch": 1, "beats": 0, "released": true}')
    schema = committer(made, epoch).ledger
    rng = np.random.default_rng(0)
    spans_a_part = max(1, rows_a_part // (CLIPS_A_SPAN + 1))
    spans = -(-rows // (CLIPS_A_SPAN + 1))
    for first in range(0, spans, spans_a_part):
        numbers = range(first, min(first + spans_a_part, spans))
        write_part(
            store, epoch, pa.concat_tables([span_rows(schema, numbers), clip_rows(made, schema, numbers, rng)]), None
        )
    Ledger.read(store).save_index()


def span_rows(schema: pa.Schema, numbers: range) -> pa.Table:
    length_s = CLIPS_A_SPAN * CLIP_S
    done = {
        "verdict": "done",
        "uncut_s": 0.0,
        "last": True,
        "expected_spans": 1,
        "start_s": 0.0,
        "duration_s": length_s,
    }
    return filled(schema, lineage(numbers) | done, len(numbers))


def clip_rows(made: Job, schema: pa.Schema, numbers: range, rng: np.random.Generator) -> pa.Table:
    """Clips with measures drawn at random, and the verdicts that the recipe's rules come to."""
    columns = {key: np.repeat(values, CLIPS_A_SPAN) for key, values in lineage(numbers).items()}
    number, at = len(columns["source_id"]), np.tile(np.arange(CLIPS_A_SPAN), len(numbers))
    columns |= {"start_s": at * CLIP_S, "end_s": (at + 1) * CLIP_S, "duration_s": CLIP_S, "verdict": "kept"}
    columns |= {"start_sample": columns["start_s"] * RATE_HZ, "end_sample": columns["end_s"] * RATE_HZ}
    ends = zip(
        columns["source_id"], columns["start_sample"].astype(int), columns["end_sample"].astype(int), strict=True
    )
    columns["clip_id"] = [clip_id(*each) for each in ends]
    measures = {column.name: drawn(column, number, rng) for column in made.pipeline.columns}
    table = filled(schema, columns | {name: values for name, values in measures.items() if values is not None}, number)
    return rejected(made, table)


def rejected(made: Job, table: pa.Table) -> pa.Table:
    """The rows as a worker would have written them: judged, and without what comes after a rule that is broken."""
    gates, rules = Gates.of(made.pipeline), made.pipeline.rules
    judged = Clips(gates, table).judged(rules)
    breaks = {name: broken for name, (_, broken, _) in judged.rules.items()}
    first = np.select(list(breaks.values()), list(breaks), default="")
    gone = pa.array(judged.rejected)
    told = {"rule": pa.array(first), "reason": pa.array(first), "gate": "encode", "verdict": "rejected"}
    late = {name: None for name, place in gates.writers.items() if place >= gates.places["encode"]}
    for name, values in (told | late).items():
        kind = schema_type(table, name)
        values = values.cast(kind) if isinstance(values, pa.Array) else pa.scalar(values, kind)
        table = set_column(table, name, pc.if_else(gone, values, table[name]))
    return table


def filled(schema: pa.Schema, columns: dict[str, Any], number: int) -> pa.Table:
    """A table of all columns of a schema, of which some are given, as arrays or as one value for all."""
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if isinstance(values, list | np.ndarray):
            arrays.append(pa.array(values).cast(field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(values, field.type), number))
    return pa.Table.from_arrays(arrays, schema=schema)


def schema_type(table: pa.Table, name: str) -> pa.DataType:
    return table.schema.field(name).type


def set_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def drawn(column: Column, number: int, rng: np.random.Generator) -> Any:
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        mean, spread = NORMAL.get(column.name, (0, 1))
        values = np.abs(rng.normal(mean, spread, number)) * (1 if mean >= 0 else -1)
        return values.astype(column.type.to_pandas_dtype())
    if column.name in CHOICES:
        return rng.choice(CHOICES[column.name], number, p=[0.94, 0.02, 0.02, 0.02])
    return [["instrumental", "120 BPM"]] * number if column.name == "tags" else None


def lineage(numbers: range) -> dict[str, Any]:
    uris = [f"{number // 1000:05}/{number:08}.flac" for number in numbers]
    keys = [source_id(uri.encode()) for uri in uris]
    names = {"source_id": keys, "span_id": [f"{key}-0" for key in keys], "uri": uris, "group": keys}
    alike = {
        "split": "train",
        "source_rate_hz": RATE_HZ,
        "source_channels": 2,
        "gain_db": 0.0,
        "size": 1,
        "mtime_ns": 1,
    }
    return names | {key: [value] * len(keys) for key, value in alike.items()}


if __name__ == "__main__":
    main()
