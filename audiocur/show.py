"""What the command prints: the plan before, the summary after."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audiocur.estimate import Estimate, estimate
from audiocur.inspect.funnel import Funnel
from audiocur.job import Job
from audiocur.op import Encoder, ModelOp
from audiocur.pipeline import Stage
from audiocur.run import Summary
from audiocur.store.recipe import describe
from audiocur.words import count, duration, hours, size


def show_plan(console: Console, job: Job) -> None:
    """Print the stages, what each op reads and writes, where rules apply, and what it would cost."""
    stages = job.stages()
    for number, stage in enumerate(stages, 1):
        console.print(_stage_table(number, stage, job.engine.workers))
    inactive = job.pipeline.inactive_rules(job.source.meta_fields())
    for name, rule in job.pipeline.rules.items():
        state = f"inactive: nothing in the pipeline writes {rule.column}" if name in inactive else rule.bounds
        console.print(Text(f"keep.{name}: {state}", style="yellow" if name in inactive else ""))
    if job.pipeline.encoder is None:
        console.print("No encode: nothing is stored but the ledger.")
    if job.engine.caveat:
        console.print(Text(job.engine.caveat, style="dim"))
    sources = job.source.list().sources
    if not sources:
        console.print("Name a source.path to see what it would cost.", style="dim")
        return
    with console.status(f"trying a sample of {len(sources):,} recordings"):
        found = estimate(job, sources)
    console.print(_estimate_text(found), highlight=False)


def _stage_table(number: int, stage: Stage, workers: int) -> Table:
    gate = next((i for i, step in enumerate(stage.steps) if isinstance(step.op, Encoder)), None)
    title = f"Stage {number}: {stage.placement.where}" + (
        f", {workers} at once" if stage.placement.via == "task" else ""
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("op", "with", "reads", "writes"):
        table.add_column(heading, overflow="fold")
    for i, step in enumerate(stage.steps):
        if i == gate or isinstance(step.op, ModelOp):
            table.add_row("", Text("keep rules over the columns so far", style="italic"), "", "")
        values = {k: v for k, v in describe(step.op).items() if k != "_target_"}
        shown = ", ".join(f"{k}={'' if v is None else v}" for k, v in values.items())
        writes = ", ".join(column.name for column in step.op.writes) or ("audio" if i == gate else "")
        table.add_row(*map(Text, (step.name, shown, ", ".join(step.op.reads), writes)))
    if stage.final:
        table.add_row("", Text("keep rules over all columns, then commit", style="italic"), "", "")
    return table


def _estimate_text(found: Estimate) -> str:
    text = (
        f"{count(found.sources, 'recording')}, about {hours(found.seconds)}: about {duration(found.wall_s)} "
        f"({duration(found.cpu_s)} of one core), {found.clips:,.0f} clips cut, {found.kept:,.0f} kept, "
        f"{size(found.stored_bytes)} stored. From a sample of {found.sampled}"
    )
    return text + (f", {found.unusable} of them unusable." if found.unusable else ".")


def show_summary(console: Console, summary: Summary) -> None:
    """Print the funnel, what needs attention, and the path to look at."""
    console.print(_funnel_table(summary.funnel))
    for line in _remarks(summary):
        console.print(Text(line, style="yellow"))
    if summary.spans:
        speed = summary.seconds / summary.elapsed_s
        console.print(f"{hours(summary.seconds)} of audio in {duration(summary.elapsed_s)}, {speed:,.0f}× real time")
    else:
        console.print(f"Nothing was missing: {count(summary.sources, 'recording')}, all done before.")
    if summary.shards:
        console.print(
            Text(f"{count(summary.shards, 'shard')}, {size(summary.shard_bytes)}: {summary.output / 'clips'}"),
            soft_wrap=True,
        )
    ledger, card = summary.output / "ledger", summary.output / "README.md"
    console.print(Text(f"What became of everything else: {ledger}, in short: {card}"), soft_wrap=True)


def _funnel_table(funnel: Funnel) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_column("audio", justify="right")
    for line in funnel.lines:
        style = "bold" if line.what in ("in", "kept") else ""
        table.add_row(Text(line.what), line.number, hours(line.seconds) if line.seconds else "", style=style)
    return table


def _remarks(summary: Summary) -> list[str]:
    lines = []
    if summary.resumed and summary.spans:
        lines.append("Went on where an earlier run had stopped; the table counts both.")
    if summary.changed:
        lines.append(f"Changed since they were worked through, rows as before: {count(summary.changed, 'recording')}")
    if summary.ignored:
        lines.append(f"Ignored in the source: {_counts(summary.ignored)}")
    if summary.inactive:
        lines.append(f"Inactive keep rules, whose column nothing in the pipeline writes: {', '.join(summary.inactive)}")
    for op, times in summary.unexpected.items():
        lines.append(f"BUG? {op} failed {count(times, 'time')} for no fault of a recording: {summary.examples[op]}")
    return lines


def _counts(counted: Mapping[str, int]) -> str:
    most = sorted(counted.items(), key=lambda item: -item[1])[:8]
    return ", ".join(f"{times:,} {name}" for name, times in most if times)
