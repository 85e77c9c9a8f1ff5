"""What an hour of audio costs in CPU-seconds, op by op, with the views they share apart.

usage: python benchmarks/ops.py FOLDER [key=value ...]      key=value as on audiocur's command line

Everything runs in this process on one core, on the first ten minutes of each recording, in the order of the recipe.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from audiocur.config import job
from audiocur.job import Job
from audiocur.op import ClipOp, SpanOp
from audiocur.records import Clip, Span, Verdict
from audiocur.run import committer
from audiocur.storage import open_store
from audiocur.store.ledger import Ledger

#: Views of the audio that ops share: computed and charged on their own before the first op that uses them.
SPAN_VIEWS = {"vad": ("mono", "mono_16k")}
CLIP_VIEWS = ("mono", "spectrogram")


class Stopwatch:
    """CPU-seconds by name."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)

    def time(self, name: str, call: Callable[[], object]) -> None:
        began = time.process_time()
        call()
        self.cpu_s[name] += time.process_time() - began


def main(folder: str, *words: str) -> None:
    made = job(["recipe=music_gen", f"source.path={folder}", "output.path=unused", *words])
    sources = made.source.list().sources
    work(made, Span(source=sources[0]), Stopwatch())  # imports and caches are paid for here
    watch, seconds = Stopwatch(), 0.0
    with tempfile.TemporaryDirectory() as run:
        commit = committer(replace(made, output=open_store(run)), Ledger.read(run).begin_epoch({})).commit
        for source in sources:
            span = Span(source=source)
            work(made, span, watch)
            seconds += span.duration_s
            watch.time("commit (Parquet, fsync)", lambda span=span: commit([span]))
    show(watch, seconds / 3600)


def work(made: Job, span: Span, watch: Stopwatch) -> None:
    """One span through every op, timed; no keep rules, so that each op hears every clip."""
    clip_steps = []
    for step in made.pipeline.steps:
        if isinstance(step.op, SpanOp):
            for view in SPAN_VIEWS.get(step.name, ()):
                watch.time(f"view: {view} of the span", lambda view=view: getattr(span.audio, view))
            watch.time(step.name, lambda op=step.op: op.apply(span))
        clip_steps.append(step)
    for clip in span.clips:
        for view in CLIP_VIEWS:
            watch.time(f"view: {view} of the clips", lambda clip=clip, view=view: getattr(clip.audio, view))
        for step in clip_steps:
            watch.time(step.name, lambda clip=clip, op=step.op: measure(op, span, clip))
        clip.verdict = Verdict.KEPT
        clip.release()
    span.audio = None


def measure(op: object, span: Span, clip: Clip) -> None:
    if isinstance(op, SpanOp):
        clip.measures |= op.measure(span, clip)
    elif isinstance(op, ClipOp):
        clip.measures |= op.measure(clip)


def show(watch: Stopwatch, hours: float) -> None:
    total = sum(watch.cpu_s.values())
    table = Table(title=f"{hours:.2f} h of audio, {total / hours:.1f} CPU-seconds an hour")
    table.add_column("op")
    for heading in ("CPU-s an hour", "share", "× real time"):
        table.add_column(heading, justify="right")
    for name, cpu_s in sorted(watch.cpu_s.items(), key=lambda item: -item[1]):
        speed = f"{3600 * hours / cpu_s:,.0f}" if cpu_s else ""
        table.add_row(name, f"{cpu_s / hours:.2f}", f"{cpu_s / total:.1%}", speed)
    Console().print(table)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
