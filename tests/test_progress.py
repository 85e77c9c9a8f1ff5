from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from rich.console import Console

from audiocur.progress import ConsoleProgress
from audiocur.show_status import StatusView, status_line
from audiocur.status import Amount, Effort, Spent, StageOps, State, Status
from audiocur.store.commit import Committed
from audiocur.store.parts import SpanOutcome, Tally

OPS = ("decode", "vad", "segment", "loudness", "tempo", "encode")


def committed(seconds=600.0, kept=3, rejected=1):
    outcome = SpanOutcome("s", 0, True, 1, False, None, 0, seconds, 0.0, 1, 1, None)
    fates = (Tally("kept", None, kept, 20.0 * kept), Tally("rejected", "loudness", rejected, 20.0 * rejected))
    return Committed("part", (outcome,), fates, Counter(decode=1), Counter(decode=4.0), Counter(), {}, {})


def status(*, rules=2) -> Status:
    """Of a run with much to tell."""
    found = Status(
        sources=20_000,
        sources_done=12_340,
        expected_s=100_000.0,
        done_s=62_000.0,
        workers=2,
        stages=(StageOps(OPS, "tasks of 1 CPU"), StageOps(("asr",), "2 actors of 2 CPU and 1 GPU")),
        now=Effort(1, 212.0, 42_000.0, {op: Spent(9, 10.0 + at) for at, op in enumerate((*OPS, "asr"))}),
    )
    found.outcome.spans = Amount(340, 45_153.0)
    found.outcome.kept = Amount(1200, 15_000.0)
    found.outcome.rejected = {f"rule {number}": Amount(100 * (number + 1), 2000.0) for number in range(rules)}
    found.outcome.failed = {"not finite (asr)": Amount(12, 144.0)}
    found.outcome.unreadable = {"not audio (decode)": Amount(2, 0.0)}
    return found


def shown(terminal, monkeypatch):
    """What is written for two of four recordings, with a line or a picture for each block."""
    monkeypatch.setattr("audiocur.progress.LINE_EVERY_S", 0.0)
    monkeypatch.setattr("audiocur.progress.LOOK_EVERY_S", 0.0)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160, height=40)
    with ConsoleProgress(console).shown() as progress:
        progress.say("listing recordings")
        its = Status(sources=4, expected_s=2400.0, stages=(StageOps(("decode",), "tasks of 1 CPU"),))
        progress.show(its)
        for elapsed_s in (1.0, 2.0):
            its.take(committed(), 600.0, 1)
            its.now.elapsed_s = elapsed_s
            progress.show(its)
    return console.file.getvalue()


def drawn(its, width, height):
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(StatusView(its))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_plain_lines_where_there_is_no_terminal(monkeypatch):
    lines = shown(False, monkeypatch).splitlines()
    assert lines == [
        "listing recordings",
        "4 recordings to do",
        "1 of 4 recordings, 10.0 min · 3 kept, 1 rejected (1 by loudness), 0 failed · 600× real time · 3 s left",
        "2 of 4 recordings, 20.0 min · 6 kept, 2 rejected (2 by loudness), 0 failed · 600× real time · 2 s left",
    ]


def test_a_terminal_gets_a_picture_that_goes_again(monkeypatch):
    text = shown(True, monkeypatch)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    for words in ("2 of 4 recordings", "600× real time", "by loudness", "150×", "Ctrl-C ends it"):
        assert words in plain, words
    assert text.rstrip().endswith("\x1b[2K")  # erased


def test_the_two_rules_that_take_most_stand_in_the_line():
    assert "1,000 rejected (400 by rule 3, 300 by rule 2)" in status_line(status(rules=4))
    assert "0 rejected, 12 failed" in status_line(status(rules=0))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("height", [14, 24, 50])
def test_the_picture_fits_the_terminal(width, height):
    for rules in (0, 3, 40):
        lines = drawn(status(rules=rules), width, height)
        assert len(lines) < height
        assert max(map(len, lines)) <= width
        assert "62%" in lines[0]
        assert lines[1].startswith("12,340 of 20,000 recordings · 12.54 h of audio")
        assert any(line.startswith("kept") for line in lines)


def test_the_picture_tells_what_each_stage_and_rule_does():
    lines = drawn(status(), 120, 40)
    (cpu,) = [line for line in lines if line.startswith("1 decode → vad → … → encode (6 ops)")]
    assert re.search(r"tasks of 1 CPU +560× +82% +encode 16%, tempo 15%, loudness 14%", cpu)
    (gpu,) = [line for line in lines if line.startswith("2 asr")]
    assert re.search(r"2 actors of 2 CPU and 1 GPU +2,625× +18%", gpu)
    assert any(re.search(r"^kept +1,200 +4.17 h +79% +█+", line) for line in lines)
    assert any(re.search(r"^rejected +300 +1.11 h +20%", line) for line in lines)
    assert any(re.search(r"^  by rule 1 +200 +33.3 min +13%", line) for line in lines)
    assert any(re.search(r"^  not finite \(asr\) +12 +2.4 min +1%", line) for line in lines)
    assert any(re.search(r"^unreadable: not audio \(decode\) +2", line) for line in lines)


def test_nearly_all_is_not_all():
    its = status()
    its.done_s = its.expected_s
    assert " 99%" in drawn(its, 80, 24)[0]
    its.sources_done = its.sources
    assert "100%" in drawn(its, 80, 24)[0]


def test_what_has_no_room_is_counted():
    lines = drawn(status(rules=40), 80, 24)
    shown_rules = [line for line in lines if line.startswith("  by rule")]
    assert shown_rules[0].startswith("  by rule 39")
    (others,) = [line for line in lines if "other reasons" in line]
    assert int(others.split()[0]) + len(shown_rules) == 42  # rules, a failure, and what is unreadable


def test_a_run_that_has_ended_tells_of_all_its_sessions():
    its = status()
    its.before = Effort(1, 212.0, 0.0, {})
    assert "198× real time" in status_line(its)
    its.state = State.done
    assert "99× real time" in status_line(its)
    assert "left" not in status_line(its)
