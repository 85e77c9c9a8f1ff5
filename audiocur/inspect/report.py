"""RUN/report.html: a whole run on one page, that opens without a network and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from audiocur.inspect.examples import SPECTROGRAM_PX, WAVEFORM_PX, WIDTH_PX
from audiocur.inspect.frame import shown
from audiocur.inspect.opened import Run, open_run
from audiocur.inspect.pages import rendered
from audiocur.inspect.report_page import page_of
from audiocur.inspect.style import colour_rules
from audiocur.outcome import REPORT
from audiocur.storage.base import Store

if TYPE_CHECKING:
    from audiocur.job import Job


def write_report(store: Store, config_dirs: Sequence[Path] = (), job: Job | None = None) -> str:
    """Write RUN/report.html.

    Args:
        store: the run directory.
        config_dirs: as of `audiocur.open_run`.
        job: what ran, where it is at hand: to build it anew takes a second.

    Returns:
        The name of the file.

    Raises:
        OutputError: it is no run, or nothing has been finished there.
        OSError: it cannot be written.
    """
    run = open_run(store, config_dirs)
    if job is not None:
        run.job = job
    store.write(REPORT, report_of(run).encode())
    return REPORT


def report_of(run: Run) -> str:
    """The report of a run as HTML, under 15 MB.

    Rejected clips are decoded again from their recordings; one that is gone is said to be, in its place.

    Raises:
        OutputError: nothing has been finished in the run.
    """
    style = rendered("report.css.j2", colours=colour_rules(":root"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return rendered(
        "report.html.j2",
        page=page_of(run),
        style=Markup(style),
        style_hash=f"sha256-{digest}",
        number=shown,
        width_px=WIDTH_PX,
        spectrogram_px=SPECTROGRAM_PX,
        waveform_px=WAVEFORM_PX,
    )
