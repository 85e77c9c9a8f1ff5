"""Small tables, as a notebook and a terminal show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from audiocur.words import hours

if TYPE_CHECKING:
    import pandas as pd

#: Rows that are shown; the others are counted.
_SHOWN = 60


class Hours(float):
    """Hours of audio: a number to work with, shown in the unit that suits it.

    >>> Hours(0.5) * 2, shown(Hours(0.01)), shown(Hours(12.5))
    (1.0, '36.0 s', '12.50 h')
    """


@dataclass(frozen=True)
class Frame:
    """A table to look at: texts and numbers, a title above and a remark below.

    Attributes:
        columns: each a name as a person reads it, "hours".
        rows: a value for each column; floats are shown to what is worth reading.
        title: what it shows.
        note: what a reader should know besides.

    >>> Frame(("rule", "clips"), (("loudness", 12), ("clipping", 3)), title="rejected by")
    rejected by
    rule       clips
    ────────────────
    loudness      12
    clipping       3
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    note: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Each row by the names of its columns."""
        for row in self.rows:
            yield dict(zip(self.columns, row, strict=True))

    def column(self, name: str) -> list[Any]:
        """All values of a column."""
        at = list(self.columns).index(name)
        return [row[at] for row in self.rows]

    def to_pandas(self) -> pd.DataFrame:
        """The same for further work."""
        import pandas as pd  # slow to import, and few need it

        return pd.DataFrame([list(row) for row in self.rows], columns=list(self.columns))

    def __repr__(self) -> str:
        console = Console(file=StringIO(), width=120, color_system=None, force_jupyter=False)
        console.print(self)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD)
        for number, name in enumerate(self.columns):
            numeric = all(isinstance(row[number], int | float | None) for row in self.rows)
            table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
        for row in self.rows[:_SHOWN]:
            table.add_row(*(Text(shown(value)) for value in row))
        if self.title:
            yield Text(self.title, style="bold")
        yield table
        for line in self.remarks:
            yield Text(line, style="dim")

    @property
    def remarks(self) -> list[str]:
        """What stands below the table."""
        more = [f"... and {len(self.rows) - _SHOWN:,} more rows"] if len(self.rows) > _SHOWN else []
        return more + ([self.note] if self.note else [])

    def _repr_html_(self) -> str:
        from audiocur.inspect.pages import rendered

        return rendered("frame.html.j2", frame=self, rows=[list(map(shown, row)) for row in self.rows[:_SHOWN]])


def shown(value: Any) -> str:
    """A value as a person reads it.

    >>> shown(12345), shown(0.123456), shown(1234.5), shown(None), shown(["a", "b"]), shown(True)
    ('12,345', '0.1235', '1,234', '', 'a, b', 'yes')
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case Hours():
            return hours(value * 3600)
        case float():
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(shown, value))
    return str(value)
