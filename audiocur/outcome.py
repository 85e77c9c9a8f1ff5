"""What a run leaves to look at, beside its data: the card and the report."""

from __future__ import annotations

import traceback
from logging import Logger

from audiocur.inspect.funnel import Funnel
from audiocur.job import Job
from audiocur.progress import Progress
from audiocur.store.card import write_card
from audiocur.store.ledger import Ledger

#: The report, below the run.
REPORT = "report.html"


def leave(job: Job, ledger: Ledger, funnel: Funnel, progress: Progress, log: Logger) -> str | None:
    """Write RUN/README.md and RUN/report.html, as far as the ledger has changed since. Needs the lease.

    Returns:
        Why there is no report although there should be: the data is whole all the same, and so the run is done.
    """
    splits = sorted({part.shard.name.split("/")[1] for part in ledger.parts if part.shard})
    write_card(job.output, funnel, job.recipe(), splits)
    job.output.remove([REPORT])  # which may play what has been withdrawn since
    if not job.report or not ledger.parts:
        return None
    from audiocur.inspect.report import write_report  # draws, and so imports what few other runs need

    progress.say("drawing the report")
    try:
        write_report(job.output, job=job)
    except Exception as error:
        log.info("no report: %s", traceback.format_exc())
        return f"No report ({type(error).__name__}: {error}): `audiocur report {job.output}` tries again"
    return None
