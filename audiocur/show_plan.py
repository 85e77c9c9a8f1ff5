"""What `audiocur plan` prints: the pipeline as it will run, and what that would cost."""

from __future__ import annotations

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from audiocur.checkpoints import needed
from audiocur.drawing import DrawnStage, Gate, drawn_stages, parameters, written
from audiocur.estimate import Estimate, estimate
from audiocur.job import Job
from audiocur.pipeline import Step
from audiocur.words import count, duration, hours, size

#: A terminal of this width has room for what an op reads and writes beside its parameters.
WIDE = 110


def show_plan(console: Console, job: Job) -> None:
    """Print the stages, what each op reads and writes, where rules apply, and what it would cost."""
    stages = drawn_stages(job)
    console.print(_flow("recordings"))
    names = max(len(step.name) for step in job.pipeline.steps)
    for stage in stages:
        console.print(_box(stage, names, console.width))
        console.print(_flow(stage.passes_on))
    for name in job.pipeline.inactive_rules(job.source.meta_fields()):
        state = f"inactive: nothing in the pipeline writes {job.pipeline.rules[name].column}"
        console.print(Text(f"keep.{name}: {state}", style="yellow"))
    if job.pipeline.encoder is None:
        console.print("No encode: nothing is stored but the ledger.")
    missing = [c.name for checkpoints in needed(job.pipeline).values() for c in checkpoints if c.found() is None]
    if missing:
        remedy = "`audiocur models --fetch` with the same words gets what can be had"
        console.print(Text(f"Weights that are not on this machine: {', '.join(missing)}; {remedy}", style="yellow"))
    if job.engine.caveat:
        console.print(Text(job.engine.caveat, style="dim"))
    sources = job.source.list().sources
    if not sources:
        console.print("Name a source.path to see what it would cost.", style="dim")
        return
    with console.status(f"trying a sample of {len(sources):,} recordings"):
        found = estimate(job, sources)
    console.print(_estimate_text(found), highlight=False)


def _flow(what: str) -> RenderableType:
    """What goes from one box to the next."""
    table = Table.grid(padding=(0, 1))
    table.add_row("  ▼", Text(what, style="italic"))
    return table


def _box(stage: DrawnStage, names: int, width: int) -> Panel:
    """A stage, its ops under each other, `names` characters for the name of each."""
    parts: list[RenderableType] = []
    table: Table | None = None
    for row in stage.rows:
        if isinstance(row, Gate):
            parts += [Text(f"◆ {line}", style="yellow") for line in row.lines]
            table = None
            continue
        if table is None:
            table = _table(names, width)
            parts.append(table)
        _add(table, row, width)
    return Panel(Group(*parts), title=Text(stage.title, style="bold"), title_align="left", box=ROUNDED)


def _table(names: int, width: int) -> Table:
    """A table of ops whose columns are as wide wherever it stands in the plan."""
    left = width - 4 - names
    widths = [names, left * 3 // 8, 1, left // 4, 1, None] if width >= WIDE else [names, None]
    table = Table.grid(padding=(0, 1, 0, 0))
    for its in widths:
        table.add_column(width=its, overflow="fold")
    return table


def _add(table: Table, step: Step, width: int) -> None:
    """An op with its parameters, what it reads and what it writes: side by side, or below each other."""
    name, given = Text(step.name, style="bold"), Text(parameters(step), style="dim")
    flows = [("←", ", ".join(step.op.reads)), ("→", written(step))]
    if width >= WIDE:
        table.add_row(name, given, *(cell for arrow, columns in flows for cell in (arrow if columns else "", columns)))
        return
    cell = Table.grid(padding=(0, 1, 0, 0))
    for arrow, columns in flows:
        if columns:
            cell.add_row(arrow, Text(columns))
    table.add_row(name, Group(*([given] if given else []), *([cell] if cell.row_count else [])))


def _estimate_text(found: Estimate) -> str:
    text = (
        f"{count(found.sources, 'recording')}, about {hours(found.seconds)}: about {duration(found.wall_s)} "
        f"({duration(found.cpu_s)} of one core), {found.clips:,.0f} clips cut, {found.kept:,.0f} kept, "
        f"{size(found.stored_bytes)} stored. From a sample of {found.sampled}"
    )
    text += f", {found.unusable} of them unusable." if found.unusable else "."
    return text + (f" Without {' and '.join(found.untried)}." if found.untried else "")
