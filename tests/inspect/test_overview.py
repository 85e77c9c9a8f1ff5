"""The funnel and hours by any column add up to what the ledger holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from audiocur import KeepRule
from audiocur.engine.local import LocalEngine
from audiocur.errors import OutputError, RowError
from audiocur.inspect.funnel import funnel
from audiocur.inspect.opened import Run, open_run
from audiocur.inspect.overview import overlap_note
from audiocur.inspect.style import svg_of
from audiocur.job import Job
from audiocur.op import ClipOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.records import Clip
from audiocur.run import run as run_job

RATE_HZ = 8000


@dataclass(frozen=True, kw_only=True)
class Picky(ClipOp):
    """Cannot take clips that start at 4 s."""

    name = "picky"

    def measure(self, clip: Clip) -> dict[str, Any]:
        if clip.start_s == 4:
            raise RowError("not this one")
        return {}


def made(home, hop_s: float = 2.0) -> Run:
    library = home / "library"
    library.mkdir()
    rng = np.random.default_rng(0)
    for artist, gain in (("$Loud & <Proud>", 0.2), ("夜行", 0.001)):
        (library / artist).mkdir()
        samples = rng.normal(0, gain, round(9.5 * RATE_HZ)).clip(-1, 1)
        soundfile.write(library / artist / "one.wav", samples, RATE_HZ)
    (library / "broken.wav").write_bytes(b"no sound at all")
    ops = Decode() >> Window(length_s=2, hop_s=hop_s, min_s=2) >> Loudness() >> Picky() >> Encode()
    rules = {"loud": KeepRule(column="loudness_lufs", min=-40)}
    run_job(Job.of(ops, library, home / "run", keep=rules, engine=LocalEngine()))
    return open_run(home / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return made(tmp_path_factory.mktemp("home"))


def texts(figured) -> list[str]:
    root = ElementTree.fromstring(svg_of(figured.draw(), figured.text))
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_funnel_is_that_of_the_ledger(run):
    found = run.funnel()
    lines = funnel(run.parts).lines
    assert [row[0] for row in found.rows] == [line.what for line in lines]
    assert [row[2] * 3600 for row in found.rows] == pytest.approx([line.seconds for line in lines])
    by_what = {line.what: line.seconds for line in lines}
    assert by_what["in"] == pytest.approx(19)
    assert by_what["in no clip"] == pytest.approx(3)
    assert by_what["kept"] == pytest.approx(6)
    assert sum(by_what.values()) == pytest.approx(2 * by_what["in"])  # in, and what became of it
    assert "6.0 s are kept (32%), in 3 clips" in found.text


def test_losses_follow_one_another(run):
    axes = run.funnel().draw().axes[0]
    bars = sorted((bar for bar in axes.patches if bar.get_width() > 0), key=lambda bar: bar.get_y())
    stretches = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert stretches[0] == (0, pytest.approx(19))
    reached = 19.0
    for start, end in stretches[1:-1]:
        assert end == pytest.approx(reached)
        reached = start
    assert stretches[-1] == (0, pytest.approx(reached))
    assert {"in", "in no clip", "kept", "rejected by loud"} <= set(texts(run.funnel()))


def test_overlapping_clips_are_told(run, tmp_path):
    assert overlap_note(funnel(run.parts)) == ""
    overlapping = made(tmp_path, hop_s=1.0)
    assert "overlap" in overlapping.funnel().note
    assert texts(overlapping.funnel())


@pytest.mark.parametrize("by", ["uri", "split", "verdict", "source_rate_hz", "loudness_lufs", "start_s", "unexpected"])
def test_hours_by_any_column_add_up(run, by):
    found = run.hours(by)
    rows = run.clip_columns(["verdict", "duration_s"]).to_pylist()
    for fate in ("kept", "rejected", "failed"):
        seconds = sum(row["duration_s"] for row in rows if row["verdict"] == fate)
        assert sum(found.column(fate)) * 3600 == pytest.approx(seconds)
    assert sum(found.column("clips kept")) == 3


def test_names_are_shown_as_they_are(run):
    found = run.hours("uri")
    assert set(found.column("uri")) == {"$Loud & <Proud>/one.wav", "夜行/one.wav"}
    assert set(texts(found)) >= {"$Loud & <Proud>/one.wav", "夜行/one.wav", "kept", "rejected"}
    assert "<Proud>" not in found._repr_html_()


def test_mistakes_are_told(run):
    with pytest.raises(OutputError, match=r"no column artst.*artist"):
        run.hours("artst")
