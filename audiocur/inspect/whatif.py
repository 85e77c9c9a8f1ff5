"""What other keep rules would make of a run, worked out from what was measured: nothing is run, nothing guessed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audiocur.build import typed
from audiocur.inspect.figured import Figured
from audiocur.inspect.frame import Hours
from audiocur.judgement import Judged, Mask, require_measured
from audiocur.rules import Rules
from audiocur.schema import known_at_the_cut
from audiocur.words import count, hours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from audiocur.inspect.opened import Run

_COLUMNS = (
    "rule",
    "would be",
    "clips gained",
    "audio gained",
    "clips lost",
    "audio lost",
    "clips unknown",
    "audio unknown",
)
#: What the last row is called, where several rules change.
TOGETHER = "all together"


class Amount(NamedTuple):
    """Some clips: how many, and their hours."""

    clips: int
    hours: Hours

    def __str__(self) -> str:
        return f"{count(self.clips, 'clip')}, {hours(self.hours * 3600)}"


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class WhatIf(Figured):
    """What would be kept under changed rules; a row for each rule that changes, alone and, at the end, all together.

    Attributes:
        before: kept now.
        after: kept then, as far as measures can tell.
        unknown: clips that break no rule as far as is known, but never reached an op whose column one judges: some of
            them, none or all come on top of `after`.
        unheard: clips in `after` that ops have yet to hear; one that fails there is not kept.
        judged: every clip under the changed rules, in the order of `Run.clip_columns`.
        words: the changes, as `audiocur decide` takes them.
        command: what to type to make them.
        run: the run.
    """

    before: Amount
    after: Amount
    unknown: Amount
    unheard: Amount
    judged: Judged
    words: tuple[str, ...]
    command: str
    run: Run

    def kept_ids(self) -> list[str]:
        """The clips that would be kept, as far as measures can tell."""
        return self._ids(self.judged.kept)

    def unknown_ids(self) -> list[str]:
        """The clips of which nobody can tell without running an op."""
        return self._ids(self.judged.unknown)

    def _ids(self, which: Mask) -> list[str]:
        ids: list[str] = self.run.clip_columns(["clip_id"])["clip_id"].filter(pa.array(which)).to_pylist()
        return ids

    @property
    def remarks(self) -> list[str]:
        told = []
        if self.unknown.clips:
            told.append(f"Unknown: {self.unknown}, which never reached an op whose column a rule judges.")
        if self.unheard.clips:
            behind = ", ".join(self.run.gates.ops_behind(self.judged.clips.reached[self.judged.kept]))
            told.append(f"Of those kept then, {self.unheard} have yet to be heard by {behind}: one may fail there.")
        return [*super().remarks, *told, f"To apply: {self.command}"]


def whatif_of(run: Run, changes: Mapping[str, Any] | str) -> WhatIf:
    """What changed rules would keep.

    Args:
        run: whose clips are judged.
        changes: by parameter of a rule as on the command line, with its `keep.` or without: ``{"loudness.min": -30}``.
            None takes a bound away, or a rule that is named alone: ``{"clipping": None}``. Or the words themselves.

    Raises:
        ConfigError: a change that cannot be, or that speaks of what was not measured.
    """
    words = shlex.split(changes) if isinstance(changes, str) else words_of(changes)
    old, new, named = _rules(run, words)
    clips = run.judged_by(old, new)
    length_h = run.clip_columns(["duration_s"])["duration_s"].to_numpy() / 3600
    before = clips.judged(old)
    changed = clips.judged({name: new[name] for name in named if name in new})
    rows = [
        (name, new[name].bounds if name in new else "taken away", *_moved(_with(before, changed, [name]), length_h))
        for name in named
    ]
    after = _with(before, changed, named)
    if len(rows) > 1:
        rows.append((TOGETHER, "", *_moved(after, length_h)))
    return _told(run, words, rows, after, length_h)


def words_of(changes: Mapping[str, Any]) -> list[str]:
    """Changes of rules as the command line takes them.

    >>> words_of({"loudness.min": -30, "keep.clipping.max": None, "dc": None, "key.allow": ["A minor", "C, D"]})
    ['keep.loudness.min=-30', 'keep.clipping.max=', 'keep.dc=', 'keep.key.allow=[A minor,"C, D"]']
    """
    plain = {
        key: value.tolist() if isinstance(value, np.generic | np.ndarray) else value for key, value in changes.items()
    }
    return [typed(f"keep.{key.removeprefix('keep.')}", value) for key, value in plain.items()]


def command_of(run: Run, words: Iterable[str]) -> str:
    """What to type to change the rules of a run for good."""
    own = [word for folder in run.config_dirs for word in ("--config-dir", str(folder))]
    return shlex.join(["audiocur", "decide", str(run.store), *own, *run.words, *words])


def amount(which: Mask, length_h: NDArray[np.float64]) -> Amount:
    """So many clips and hours."""
    return Amount(int(which.sum()), Hours(length_h[which].sum()))


def _rules(run: Run, words: Sequence[str]) -> tuple[Rules, Rules, list[str]]:
    """The rules as they are, as words make them, and the names of those that the words speak of."""
    from audiocur.config import with_rules

    meta, pipeline = run.meta_fields, run.job.pipeline
    changed = with_rules(pipeline, words)
    named = list(dict.fromkeys(word.partition("=")[0].split(".")[1] for word in words))
    judged = {name: changed.rules[name] for name in named if name in changed.rules}
    require_measured(judged, known_at_the_cut(meta) | {column.name for column in pipeline.columns})
    changed.check(meta)
    return run.rules, changed.active_rules(meta), named


def _with(before: Judged, changed: Judged, named: Iterable[str]) -> Judged:
    """What some of the changed rules make of all clips, beside the others as they were."""
    new = {name: changed.rules[name] for name in named if name in changed.rules}
    return Judged(before.clips, {name: found for name, found in before.rules.items() if name not in named} | new)


def _moved(after: Judged, length_h: NDArray[np.float64]) -> tuple[int | float, ...]:
    """Clips and hours gained, lost and unknown."""
    kept, was = after.kept, after.clips.kept
    moved = (kept & ~was, was & ~kept, after.unknown)
    return tuple(each for which in moved for each in amount(which, length_h))


def _told(
    run: Run, words: Sequence[str], rows: Sequence[Sequence[Any]], after: Judged, length_h: NDArray[np.float64]
) -> WhatIf:
    clips = after.clips
    before, kept, unknown = (amount(which, length_h) for which in (clips.kept, after.kept, after.unknown))
    most = Amount(kept.clips + unknown.clips, Hours(kept.hours + unknown.hours))
    title = f"Kept now: {before}; under the changed rules: {kept}"
    title += f", up to {most} with what is unknown" if unknown.clips else ""
    return WhatIf(
        columns=_COLUMNS,
        rows=rows,
        title=title,
        draw=partial(_drawn, rows),
        text=f"Hours gained, lost and unknown by each change of a rule. {title}.",
        before=before,
        after=kept,
        unknown=unknown,
        unheard=amount(after.kept & (clips.reached < clips.gates.end), length_h),
        judged=after,
        words=tuple(words),
        command=command_of(run, words),
        run=run,
    )


def _drawn(rows: Sequence[Sequence[Any]]) -> Figure:
    """Bars of hours: gained to the right, and unknown beyond; lost to the left."""
    from audiocur.inspect.overview import in_unit
    from audiocur.inspect.style import KEPT, MUTED, REJECTED, SIZE, label, new_figure, styled

    told = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    columns = [[row[f"audio {what}"] for row in told] for what in ("gained", "lost", "unknown")]
    (gained, lost, unknown), unit = in_unit(np.array(columns, np.float64) * 3600)
    with styled():
        figure = new_figure(SIZE[0], 0.9 + 0.34 * len(rows))
        axes = figure.subplots()
        places = range(len(rows))
        axes.barh(places, gained, color=KEPT, label="gained")
        axes.barh(places, -lost, color=REJECTED, label="lost")
        if unknown.any():
            axes.barh(places, unknown, left=gained, color="none", edgecolor=MUTED, hatch="////", label="unknown")
        axes.axvline(0, color=MUTED, linewidth=0.7)
        axes.set_yticks(places, [label(row[0]) for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel(f"{unit} lost and gained")
        figure.legend(loc="outside upper right", ncols=3)
    return figure
