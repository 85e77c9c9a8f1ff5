"""One block of spans through one stage, in a worker: what both engines do."""

from __future__ import annotations

from collections.abc import Sequence

from audiocur.isolation import Death, run_isolated
from audiocur.pipeline import Stage
from audiocur.records import Span
from audiocur.stage import run_stage
from audiocur.store.commit import Committed, Committer


def work_through(
    rows: Sequence[Span | Death], stage: Stage, committer: Committer | None, *, careful: bool, watchdog: bool
) -> list[Span | Death | Committed]:
    """The rows after the stage; the last stage commits the spans, and gives back what was committed instead.

    Args:
        rows: spans, and those that took their process down in an earlier stage, which are passed on.
        stage: what to do.
        committer: of the last stage.
        careful: in a process apart, so that what kills it is known.
        watchdog: end this process if a span takes too long.
    """
    deaths = [row for row in rows if isinstance(row, Death)]
    spans = [row for row in rows if isinstance(row, Span)]
    if careful:
        done = list(run_isolated(stage, spans))
        deaths += [row for row in done if isinstance(row, Death)]
        spans = [row for row in done if isinstance(row, Span)]
    else:
        run_stage(stage, spans, watchdog=watchdog)
    if committer is None:
        return [*spans, *deaths]
    return [*([committer.commit(spans)] if spans else []), *deaths]
