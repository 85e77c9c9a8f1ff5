"""One block of spans through one stage, in a worker: what both engines do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audiocur.isolation import Death, run_isolated
from audiocur.models import Served
from audiocur.op import ModelOp
from audiocur.pipeline import Stage
from audiocur.records import Span
from audiocur.stage import one_thread, run_stage
from audiocur.store.commit import Committed, Committer

#: What is stored of a block is committed when it is more than this, and let go: a block is packed by guesses of how
#: long its recordings are, and of some there is ten times as much.
PORTION_BYTES = 160_000_000


def work_through(
    rows: Sequence[Span | Death],
    stage: Stage,
    committer: Committer | None,
    *,
    careful: bool,
    watchdog: bool,
    served: Served | None = None,
) -> list[Span | Death | Committed]:
    """The rows after the stage; the last stage commits the spans, and gives back what was committed instead.

    Args:
        rows: spans, and those that took their process down in an earlier stage, which are passed on.
        stage: what to do.
        committer: of the last stage.
        careful: in a process apart, so that what kills it is known.
        watchdog: end this process if a span takes too long.
        served: models that are not in this process.
    """
    deaths: list[Span | Death | Committed] = [row for row in rows if isinstance(row, Death)]
    spans = [row for row in rows if isinstance(row, Span)]
    with one_thread():
        # What is elsewhere can do this process no harm.
        here = run_isolated(stage, spans) if careful and not served else None
        done = here or _run(stage, spans, watchdog=watchdog, served=served)
        return [*deaths, *(_committed(done, committer) if committer else done)]


def _run(stage: Stage, spans: Sequence[Span], *, watchdog: bool, served: Served | None) -> Iterator[Span]:
    """The spans one after the other, or all together where a model wants their clips in batches."""
    together = any(isinstance(step.op, ModelOp) for step in stage.steps)
    for some in [spans] if together else [[span] for span in spans]:
        run_stage(stage, some, watchdog=watchdog, served=served)
        yield from some


def _committed(done: Iterable[Span | Death], committer: Committer) -> Iterator[Committed | Death]:
    portion: list[Span] = []
    size = 0
    for row in done:
        if isinstance(row, Death):
            yield row
            continue
        portion.append(row)
        size += sum(len(clip.stored.data) for clip in row.clips if clip.stored)
        if size > PORTION_BYTES:
            yield _commit(portion, committer)
            portion, size = [], 0
    if portion:
        yield _commit(portion, committer)


def _commit(portion: Sequence[Span], committer: Committer) -> Committed:
    committed = committer.commit(portion)
    for span in portion:
        span.clips = []  # whoever still has the span needs its audio no more
    return committed
