from __future__ import annotations

import io
from collections import Counter

from rich.console import Console

from audiocur.progress import ConsoleProgress
from audiocur.store.commit import Committed, SpanOutcome


def committed(seconds=600.0, kept=3, rejected=1):
    outcome = SpanOutcome("s", 0, True, 1, False, None, 0, seconds, 0.0, 1, 1, None)
    return Committed("part", (outcome,), Counter(kept=kept, rejected=rejected), Counter(), Counter(), {}, {})


def shown(terminal, monkeypatch):
    """What is written for two of four recordings, with a line for each block."""
    monkeypatch.setattr("audiocur.progress.LINE_EVERY_S", 0.0)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160)
    with ConsoleProgress(console).shown() as progress:
        progress.say("listing recordings")
        progress.expect(4, 2400.0)
        progress.advance(committed(), 600.0, 1)
        progress.advance(committed(), 600.0, 1)
    return console.file.getvalue()


def test_plain_lines_where_there_is_no_terminal(monkeypatch):
    lines = shown(False, monkeypatch).splitlines()
    assert lines[:2] == ["listing recordings", "4 recordings to do"]
    assert lines[-1].startswith("2 of 4 recordings, 20.0 min · 6 kept, 2 rejected, 0 failed · ")
    assert "× real time" in lines[-1]
    assert lines[-1].endswith(" left")


def test_a_terminal_gets_one_live_line(monkeypatch):
    text = shown(True, monkeypatch)
    assert "\x1b[" in text
    assert "2 of 4 recordings" in text
