"""How far a run is, as a terminal shows it and as a line says it: of a run at work here, and of one looked on at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from audiocur.status import Amount, Effort, State, Status, total
from audiocur.words import count, duration, hours

#: A terminal of this width has room for where stages run, and for bars beside the fates of clips.
WIDE = 110
_FATES = {"kept": "green", "rejected": "yellow", "failed": "red"}

#: A line of the table of fates: what, its style, how many, and the share of all clips, null for what is no clip.
_Row = tuple[str, str, Amount, float | None]


def status_line(status: Status) -> str:
    """The status in a line, for logs and pipes."""
    fates = status.outcome.verdicts
    rejected = f"{fates['rejected'].count:,} rejected"
    if most := _most(status.outcome.rejected)[:2]:
        rejected += f" ({', '.join(f'{amount.count:,} by {rule}' for rule, amount in most)})"
    parts = [
        f"{_sources(status)}, {hours(status.outcome.spans.seconds)}",
        f"{fates['kept'].count:,} kept, {rejected}, {fates['failed'].count:,} failed",
        f"{_effort(status).speed:,.0f}× real time",
    ]
    return " · ".join(parts + ([f"{duration(status.left_s)} left"] if status.left_s else []))


class StatusView:
    """The status as a picture of text that fits the terminal: a bar, the stages, and what becomes of the clips."""

    def __init__(self, status: Status) -> None:
        """Show a status, which must not change while it is shown."""
        self._status = status
        self._drawn: tuple[tuple[int, int], list[Segment]] = ((0, 0), [])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Every line within the width, all lines within the height, but for one that may stand below."""
        size = options.max_width, console.size.height
        if size != self._drawn[0]:  # it takes milliseconds, and a live display asks several times a second
            self._drawn = size, list(console.render(Group(*self._parts(*size)), options))
        yield from self._drawn[1]

    def _parts(self, width: int, height: int) -> Iterator[RenderableType]:
        room = height - 2
        head = [self._bar(width), self._facts(width)]
        stages = self._stages(width)
        fates = self._fates(width, room - len(head) - 1 - (stages.row_count + 2 if stages.row_count else 0) - 1)
        yield from head
        if stages.row_count:
            yield ""
            yield stages
        if fates.row_count:
            yield ""
            yield fates

    def _bar(self, width: int) -> RenderableType:
        status = self._status
        text = f"{status.done_ratio:4.0%}"
        text += f"  {duration(status.left_s)} left" if status.left_s else ""
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(1.0, status.done_ratio, width=min(60, width - 20), complete_style="cyan"), Text(text))
        return row

    def _facts(self, width: int) -> RenderableType:
        status, effort = self._status, _effort(self._status)
        facts = [
            _sources(status),
            f"{hours(status.outcome.spans.seconds)} of audio",
            f"{effort.speed:,.0f}× real time",
            f"after {duration(effort.elapsed_s)}",
        ]
        facts += [count(status.workers, "worker")] if width >= WIDE else []
        return Text(" · ".join(facts), overflow="ellipsis", no_wrap=True)

    def _stages(self, width: int) -> Table:
        work = [each for each in self._status.work(_effort(self._status)) if each.busy_s]
        table = _table()
        table.add_column("stage", no_wrap=True, overflow="ellipsis", ratio=1)
        if width >= WIDE:
            table.add_column("where", no_wrap=True, style="dim")
        table.add_column("a worker", justify="right", no_wrap=True, min_width=8)
        table.add_column("work", justify="right", no_wrap=True)
        table.add_column("most of it", no_wrap=True, overflow="ellipsis", max_width=max(14, width // 3))
        for number, each in enumerate(work, 1):
            where = [each.stage.where] if width >= WIDE else []
            most = ", ".join(f"{op} {_share(share)}" for op, share in each.most[:3]) if len(each.most) > 1 else ""
            stage = f"{number} {_ops(each.stage.ops)}"
            table.add_row(*map(Text, (stage, *where, f"{each.speed or 0:,.0f}×", _share(each.share), most)))
        return table

    def _fates(self, width: int, room: int) -> Table:
        """As many rules and reasons as there is room for, those that take most first."""
        table = _table()
        table.add_column("clips", no_wrap=True, overflow="ellipsis", min_width=24)
        for heading in ("number", "audio", "share"):
            table.add_column(heading, justify="right", no_wrap=True)
        if width >= WIDE:
            table.add_column("", width=24)
        for what, style, amount, share in self._rows(room):
            cells: list[RenderableType] = [Text(what, style=style), Text(f"{amount.count:,}")]
            cells += [Text(hours(amount.seconds)), Text("" if share is None else _share(share))]
            if width >= WIDE:
                cells.append("" if share is None else Bar(1.0, 0.0, share, width=24, color=style or "default"))
            table.add_row(*cells)
        return table

    def _rows(self, room: int) -> list[_Row]:
        outcome = self._status.outcome
        verdicts = outcome.verdicts
        cut = sum(amount.count for amount in verdicts.values())
        if not cut and not outcome.unreadable:
            return []
        details: list[tuple[str, _Row]] = []
        for verdict, by, found in (("rejected", "by ", outcome.rejected), ("failed", "", outcome.failed)):
            style = _FATES[verdict]
            details += [(verdict, (f"  {by}{why}", style, its, its.count / cut)) for why, its in _most(found)]
        details += [("", (f"unreadable: {why}", "red", its, None)) for why, its in _most(outcome.unreadable)]
        room -= len(verdicts) + 1  # the headings are a line as well
        room -= len(details) > room  # and so is what tells of the others
        details.sort(key=lambda detail: -detail[1][2].count)
        shown = details[: max(room, 0)]
        rows: list[_Row] = []
        for verdict, amount in verdicts.items():
            rows.append((verdict, _FATES[verdict], amount, amount.count / cut if cut else None))
            rows += [row for of, row in shown if of == verdict]
        rows += [row for of, row in shown if not of]
        others = total(row[2] for _, row in details[len(shown) :])
        return rows + ([(f"  {len(details) - len(shown)} other reasons", "dim", others, None)] if others.count else [])


def at_work(view: StatusView | None, spinner: Spinner, text: str) -> RenderableType:
    """A view of what is at work, if there is one yet, and below it a line about what it is doing."""
    line = Table.grid(padding=(0, 1))
    line.add_row(spinner, Text(text, style="dim", overflow="ellipsis", no_wrap=True))
    return Group(*([view] if view else []), line)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _effort(status: Status) -> Effort:
    """A run at work is as fast as it is now; of one that has ended, all sessions count."""
    return status.now if status.state is State.running else status.effort


def _sources(status: Status) -> str:
    return f"{status.sources_done:,} of {count(status.sources, 'recording')}"


def _ops(names: Sequence[str]) -> str:
    """The ops of a stage; of many, the first and the last.

    >>> _ops(["tag", "caption"]), _ops(list("abcdefg"))
    ('tag → caption', 'a → b → … → g (7 ops)')
    """
    if len(names) <= 4:
        return " → ".join(names)
    return f"{' → '.join(names[:2])} → … → {names[-1]} ({len(names)} ops)"


def _most(amounts: Mapping[str, Amount]) -> list[tuple[str, Amount]]:
    return sorted(amounts.items(), key=lambda item: -item[1].count)


def _share(share: float) -> str:
    """A share in percent; a small one is not none.

    >>> _share(0.25), _share(0.001), _share(0.0)
    ('25%', '<1%', '0%')
    """
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"
