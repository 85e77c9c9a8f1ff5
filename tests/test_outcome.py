"""What a run leaves to look at: always of the data that is there, and never at its cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.cli import main
from audiocur.config import job
from audiocur.inspect import report
from audiocur.run import run

RULES = [f"keep.{name}=" for name in job(["recipe=music_gen"], to_run=False).pipeline.rules if name != "loudness"]


@pytest.fixture
def words(tmp_path) -> list[str]:
    folder = tmp_path / "library"
    folder.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).normal(0, 0.05, (8_000 * 12, 2))
        soundfile.write(folder / f"{number}.wav", noise, 8_000)
    pipeline = "pipeline=[decode,segment,loudness,encode]"
    place = [f"source.path={folder}", f"output.path={tmp_path / 'run'}"]
    return [*place, pipeline, "segment=window", "segment.length_s=4", "engine=local", *RULES]


def test_a_run_ends_with_a_report_that_is_drawn_anew_when_it_changes(words, tmp_path, capsys):
    output = tmp_path / "run"
    assert main(words) == 0
    assert f"To look at: {output}/report.html" in capsys.readouterr().out
    first = (output / "report.html").read_bytes()
    assert main(words) == 0
    assert (output / "report.html").read_bytes() == first  # nothing was missing
    assert main(["decide", str(output), "keep.late.column=start_s", "keep.late.max=5"]) == 0
    assert b"3 clips (12.0 s) above max" in (output / "report.html").read_bytes()
    assert "6 clips" in (output / "README.md").read_text()
    (output / "report.html").unlink()
    assert main(["report", str(output)]) == 0
    assert (output / "report.html").stat().st_size > 10_000


def test_without_a_report_none_of_an_earlier_state_is_left(words, tmp_path, capsys):
    output = tmp_path / "run"
    assert main(words) == 0
    assert main(["decide", str(output), "source.exclude=1.wav", "report=false"]) == 0
    assert not (output / "report.html").exists()
    capsys.readouterr()


def test_what_cannot_be_drawn_is_said_and_the_run_is_done(words, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("a bug in a picture")

    monkeypatch.setattr(report, "write_report", fail)
    summary = run(job(words))
    assert summary.no_report is not None
    assert "ZeroDivisionError: a bug in a picture" in summary.no_report
    assert (summary.funnel.kept.count, summary.report) == (9, True)
    assert "a bug in a picture" in Path(tmp_path / "run/log.txt").read_text()
    assert run(replace(job(words), report=False)).no_report is None
