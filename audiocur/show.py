"""What the command prints: the summary of a run, and what is found in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audiocur.checkpoints import Checkpoint, OwnFile
from audiocur.inspect.funnel import Funnel
from audiocur.inspect.trace import Trace
from audiocur.inspect.verify import Verified
from audiocur.outcome import REPORT
from audiocur.repair import Repaired
from audiocur.run import Summary
from audiocur.storage.base import Store
from audiocur.usage import Usage
from audiocur.words import count, duration, hours, size


def show_summary(console: Console, summary: Summary) -> None:
    """Print the funnel, what needs attention, and the path to look at."""
    console.print(_funnel_table(summary.funnel))
    for op, usage in summary.usage.items():
        console.print(Text(f"{op}: {_used(usage)}"), highlight=False)
    for line in _remarks(summary):
        console.print(Text(line, style="yellow"))
    if summary.spans:
        speed = summary.seconds / summary.elapsed_s
        console.print(f"{hours(summary.seconds)} of audio in {duration(summary.elapsed_s)}, {speed:,.0f}× real time")
    else:
        console.print(f"Nothing was missing: {count(summary.sources, 'recording')}, all done before.")
    if summary.shards:
        console.print(
            Text(f"{count(summary.shards, 'shard')}, {size(summary.shard_bytes)}: {summary.output}/clips"),
            soft_wrap=True,
        )
    console.print(Text(f"What became of everything else: {summary.output}/ledger"), soft_wrap=True)
    look = REPORT if summary.report and not summary.no_report else "README.md"
    console.print(Text(f"To look at: {summary.output}/{look}", style="bold"), soft_wrap=True)


def show_models(console: Console, needed: Mapping[str, Sequence[Checkpoint]]) -> bool:
    """Print the weights that a recipe needs; returns whether all are here."""
    if not needed:
        console.print("This recipe needs no weights beyond what its packages bring.")
        return True
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("op", "weights", "size", "licence", "where"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    missing = 0
    for op, checkpoints in needed.items():
        for checkpoint in checkpoints:
            found = checkpoint.found()
            missing += found is None
            its_size = size(checkpoint.size_mb * 1e6) if checkpoint.size_mb else ""
            where = Text(str(found)) if found else Text("missing", style="red")
            table.add_row(Text(op), Text(checkpoint.name), its_size, Text(checkpoint.licence), where)
    console.print(table)
    if missing:
        console.print(f"{count(missing, 'checkpoint')} missing: the same command with --fetch gets what can be had.")
    return not missing


def fetch_shown(console: Console, needed: Mapping[str, Sequence[Checkpoint]]) -> None:
    """Get what is missing, with a line that tells how far it is.

    Raises:
        RunError: something cannot be had.
        ConfigError: a file that the recipe names by its path is not there.
    """
    every = dict.fromkeys(checkpoint for checkpoints in needed.values() for checkpoint in checkpoints)
    # What the user must put in its place herself comes last, so that it keeps nothing else from being fetched.
    for checkpoint in sorted(every, key=lambda checkpoint: isinstance(checkpoint, OwnFile)):
        if checkpoint.found() is None:
            of = f" of {size(checkpoint.size_mb * 1e6)}" if checkpoint.size_mb else ""
            with console.status(f"fetching {checkpoint.name}") as status:

                def tell(done: int, name: str = checkpoint.name, of: str = of) -> None:
                    status.update(f"fetching {name}: {size(done)}{of}")

                checkpoint.fetch(tell)


def show_verified(console: Console, store: Store, found: Verified, *, repairing: bool) -> None:
    """Print what was checked, and a line for each thing that is wrong."""
    for finding in found.findings:
        console.print(Text(f"{finding.file}: {finding.problem}", style="red"), soft_wrap=True)
    sound = f"{count(found.clips, 'clip')}, {hours(found.seconds)}, in {count(found.shards, 'shard')}"
    checked = f"{count(found.parts, 'ledger part')}, {count(found.spans, 'span')}"
    console.print(f"Checked: {checked}. Sound: {sound}.", highlight=False)
    if found.live:
        console.print("A run is at work there; only what it has committed was checked.", style="yellow")
    if found.findings:
        again = sum(finding.part is not None for finding in found.findings)
        text = f"{count(len(found.findings), 'thing')} wrong, {again} of them with work to be done again"
        hint = "" if repairing else f": audiocur verify {store} --repair"
        console.print(Text(f"{text}{hint}", style="bold"), soft_wrap=True)


def show_repaired(console: Console, repaired: Repaired) -> None:
    """Print what was done again, and what could not be."""
    if repaired.summary:
        spans, seconds = repaired.summary.spans, repaired.summary.seconds
        console.print(f"Repaired: {count(spans, 'span')} done again, {hours(seconds)}.", highlight=False)
    for finding in repaired.left:
        why = "not mended: a recording in it has changed or is gone"
        console.print(Text(f"{finding.file}: {why}", style="red"), soft_wrap=True)


def show_trace(console: Console, found: Trace) -> None:
    """Print one clip's history."""
    clip, span, recipe = found.clip, found.span, found.recipe
    table = Table(show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    stretch = f"samples {clip['start_sample']:,} to {clip['end_sample']:,} at {clip['source_rate_hz']:,} Hz"
    facts = {
        "clip": clip["clip_id"],
        "verdict": clip["verdict"] + (f" by {clip['rule']}" if clip["rule"] else ""),
        "reason": clip["reason"] or "",
        "recording": clip["uri"],
        "source": f"{clip['source_id']}, {count(clip['size'] or 0, 'byte')}",
        "content": f"sha256 {found.content_sha256}" if found.content_sha256 else "",
        "stretch": f"{clip['start_s']:.3f} to {clip['end_s']:.3f} s, {stretch}, {clip['source_channels']} channels",
        "span": f"{clip['span_id']}, {span['start_s']:.1f} to {span['end_s']:.1f} s",
        "stored": f"{found.part.shard.name}, row {found.row}" if found.part.shard and found.row is not None else "",
        "ledger": found.part.name,
        "made": f"{found.began}, epoch {found.part.made}, recipe {recipe['fingerprint']}",
        "by": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
    }
    ops = {op: ", ".join(f"{k}={v}" for k, v in recipe[op].items() if k != "_target_") for op in recipe["pipeline"]}
    for section in (facts, ops, {key: _shown(value) for key, value in found.measures.items()}):
        for name, value in section.items():
            if value:
                table.add_row(Text(name), Text(value))
        table.add_section()
    console.print(table)


def _shown(value: Any) -> str:
    """A measure as one reads it; of a long list its beginning."""
    if isinstance(value, list):
        shown = ", ".join(map(_shown, value[:6]))
        return f"{shown}, ... {len(value)} in all" if len(value) > 6 else shown
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _funnel_table(funnel: Funnel) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_column("audio", justify="right")
    for line in funnel.lines:
        style = "bold" if line.what in ("in", "kept") else ""
        table.add_row(Text(line.what), line.number, hours(line.seconds) if line.seconds else "", style=style)
    return table


def _used(usage: Usage) -> str:
    """What a model did, in words."""
    parts = []
    if usage.batches:
        rate = f", {usage.clips / usage.busy_s:,.1f} clips a second at work" if usage.busy_s else ""
        batches = f"{count(usage.clips, 'clip')} in {count(usage.batches, 'batch', 'batches')}{rate}"
        parts.append(f"{batches}, {usage.fill_ratio:.0%} full, {usage.padding_ratio:.0%} padding")
    if usage.skipped:
        parts.append(f"{count(usage.skipped, 'clip')} not asked for by its `when`")
    if usage.halvings:
        parts.append(f"memory ran out {count(usage.halvings, 'time')}, and batches were halved")
    return "; ".join(parts)


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
    lines += summary.advice
    lines += [summary.no_report] if summary.no_report else []
    for op, usage in summary.usage.items():
        if usage.nulled:
            lines.append(f"{op} left {count(usage.nulled, 'clip')} without, on_error=null: {summary.examples[op]}")
    for op, times in summary.unexpected.items():
        lines.append(f"BUG? {op} failed {count(times, 'time')} for no fault of a recording: {summary.examples[op]}")
    return lines


def _counts(counted: Mapping[str, int]) -> str:
    most = sorted(counted.items(), key=lambda item: -item[1])[:8]
    return ", ".join(f"{times:,} {name}" for name, times in most if times)
