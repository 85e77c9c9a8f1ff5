"""What `audiocur decide` prints."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from audiocur.decide import Decided
from audiocur.words import count, hours


def show_decided(console: Console, decided: Decided) -> None:
    """Print what the new rules did to the run."""
    before, after = decided.before, decided.after
    text = f"Kept: {after.number}, {hours(after.seconds)}; before: {before.number}, {hours(before.seconds)}."
    console.print(Text(text, style="bold"))
    for (was, is_now), clips in sorted(decided.moves.items()):
        console.print(f"{count(clips, 'clip')}: {was} before, {is_now} now", highlight=False)
    if decided.withdrawn:
        shown = ", ".join(decided.withdrawn[:5]) + (", ..." if len(decided.withdrawn) > 5 else "")
        console.print(Text(f"Withdrawn: {count(len(decided.withdrawn), 'recording')}: {shown}"), soft_wrap=True)
    if decided.summary:
        run_again = f"{count(decided.summary.spans, 'span')}, {hours(decided.summary.seconds)}"
        console.print(f"Run again, for what had not been stored or measured: {run_again}.", highlight=False)
    else:
        console.print("Nothing had to be run again.")
    if decided.beyond:
        text = "could not be heard again, and stay as they were: recordings that are gone, changed or damaged"
        console.print(Text(f"{count(decided.beyond, 'clip')} {text}", style="yellow"))
    if decided.no_report:
        console.print(Text(decided.no_report, style="yellow"))
