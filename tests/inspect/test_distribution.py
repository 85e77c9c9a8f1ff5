"""Distributions tell what the ledger holds: every clip in a bin, bounds where they are, what lies beyond counted."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur import KeepRule
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError
from audiocur.inspect.distribution import kept_of
from audiocur.inspect.groups import NONE, grouped
from audiocur.inspect.histogram import Axis, Bound, draw_histogram
from audiocur.inspect.opened import Run, open_run
from audiocur.inspect.style import KEPT, REJECTED, svg_of
from audiocur.job import Job
from audiocur.op import ClipOp, Column
from audiocur.ops.measure.clipping import Clipping
from audiocur.ops.measure.dropouts import Dropouts
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.stereo import Stereo
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.records import Clip
from audiocur.run import run as run_job

RATE_HZ = 8000


@dataclass(frozen=True, kw_only=True)
class Words(ClipOp):
    """Says of a clip how loud it is: with one word, two or none."""

    name = "words"
    reads = ("loudness_lufs",)
    writes = (Column("tags", pa.list_(pa.string()), "", "how loud it is"),)

    def measure(self, clip: Clip) -> dict[str, Any]:
        loudness = clip.measures["loudness_lufs"]
        return {
            "tags": None if loudness is None else ["soft"] * (loudness < -30) + ["<loud>", "\x1b[1m"] * (loudness > -20)
        }


RULES = {
    "loud": KeepRule(column="loudness_lufs", min=-36, max=-11),
    "clipping": KeepRule(column="clipped_ratio", max=0.01),
    "image": KeepRule(column="stereo_image", allow=["stereo"]),
    "dropouts": KeepRule(column="dropout_count", max=0),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Clips of many levels, some of them clipped, one silent, some in mono."""
    home = tmp_path_factory.mktemp("home")
    (home / "library").mkdir()
    rng = np.random.default_rng(0)
    for name, channels, gains in (("a.wav", 2, np.geomspace(0.001, 3, 24)), ("b.wav", 1, [0.1, 0.0])):
        noise = rng.normal(0, 0.3, (len(gains), RATE_HZ, channels)) * np.asarray(gains)[:, None, None]
        soundfile.write(home / "library" / name, noise.reshape(-1, channels).clip(-1, 1), RATE_HZ)
    ops = Decode() >> Window(length_s=1) >> Loudness() >> Clipping() >> Stereo() >> Dropouts() >> Encode() >> Words()
    run_job(Job.of(ops, home / "library", home / "run", keep=RULES, engine=LocalEngine()))
    return open_run(home / "run")


def texts(figured) -> list[str]:
    root = ElementTree.fromstring(svg_of(figured.draw(), figured.text))
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_rules_are_those_of_the_job(run):
    assert dict(run.rules) == dict(run.job.pipeline.active_rules(run.meta_fields))


def test_every_clip_is_in_the_table(run):
    found = run.distribution("loudness_lufs")
    clips = run.clip_columns(["verdict", "loudness_lufs", "duration_s"]).to_pylist()
    for row in found:
        its = [clip for clip in clips if clip["verdict"] == row["group"]]
        values = [clip["loudness_lufs"] for clip in its if clip["loudness_lufs"] is not None]
        assert (row["clips"], row["null"]) == (len(its), len(its) - len(values))
        assert row["audio"] == pytest.approx(sum(clip["duration_s"] for clip in its) / 3600)
        if values:
            assert (row["min"], row["max"]) == (min(values), max(values))
            assert row["median"] == pytest.approx(np.median(values))


def test_what_lies_beyond_bounds_is_counted_and_drawn(run):
    found = run.distribution("loudness_lufs")
    values = [value for value in run.clip_columns(["loudness_lufs"])["loudness_lufs"].to_pylist() if value is not None]
    below, above = sum(value < -36 for value in values), sum(value > -11 for value in values)
    assert below > 1
    assert above > 1
    assert f"keep.loud: {below} clips ({below}.0 s) below min -36." in found.text
    assert f"keep.loud: {above} clips ({above}.0 s) above max -11." in found.text
    assert {"min −36", "max −11", "kept", "rejected", "loudness_lufs"} <= set(texts(found))
    assert len(found.draw().axes[0].patches) >= 2 + 2  # both stretches beyond shaded, and both verdicts


def test_bounds_stand_where_they_are(run):
    axes = run.distribution("loudness_lufs").draw().axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [-36, -11]


def test_a_whole_bound_stands_between_bars(run):
    axes = run.distribution("dropout_count").draw().axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [0.5]


def test_small_ratios_have_a_log_axis_with_a_place_for_zero(run):
    values = run.clip_columns(["clipped_ratio"])["clipped_ratio"].to_numpy()
    assert (values == 0).any()
    assert (values > 0).any()
    found = run.distribution("clipped_ratio")
    assert "max 0.01" in texts(found)
    axis = Axis.of(np.array([0.0] * 90 + [1e-5, 1e-4, 1e-3, 1e-2]), [0.01])
    assert axis.bins_of(np.array([0.0, 1e-5])).tolist()[0] == 0
    assert axis.bins_of(np.array([1e-5]))[0] > 1
    assert axis.place(Bound("none", "max", 0.0, 4, 0.0)) == axis.edges[1]


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(
        st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1e-9, 5e-324, 1e6 - 1e-9]), min_size=1, max_size=60
    ),
    bounds=st.lists(st.floats(-1e6, 1e6), max_size=3),
    whole=st.booleans(),
)
def test_any_numbers_have_an_axis(numbers, bounds, whole):
    values = np.array([float(round(number)) for number in numbers] if whole else numbers)
    axis = Axis.of(values, bounds, whole=whole)
    assert (np.diff(axis.edges) > 0).all()
    assert len(axis.edges) < 2000
    bins = axis.bins_of(values)
    inside = (values >= axis.edges[0]) & (values < axis.edges[-1])
    assert (values[inside] >= axis.edges[bins[inside]]).all()
    assert (values[inside] < axis.edges[bins[inside] + 1]).all()
    if whole and axis.whole:
        assert axis.beyond(values) == 0


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 400).map(lambda i: i / 100) | st.just(0.0), min_size=1, max_size=80),
    least=st.integers(0, 200).map(lambda i: i / 100),
    extent=st.integers(100, 300).map(lambda i: i / 100),
)
def test_no_bar_stands_on_both_sides_of_a_bound(numbers, least, extent):
    """What is just allowed is drawn among what is allowed, to the bit."""
    values = np.array(numbers)
    bounds = [Bound("rule", "min", least, 0, 0.0), Bound("rule", "max", least + extent, 0, 0.0)]
    axis = Axis.of(values, [bound.edge for bound in bounds])
    for value, its_bin in zip(values, axis.bins_of(values), strict=True):
        middle = (axis.edges[its_bin] + axis.edges[its_bin + 1]) / 2
        if axis.edges[0] < axis.place(bounds[0]):
            assert (value < least) == (middle < axis.place(bounds[0]))
        if axis.edges[-1] > axis.place(bounds[1]):
            assert (value > least + extent) == (middle > axis.place(bounds[1]))


def test_zero_that_is_just_allowed_is_no_more_than_allowed():
    bound = Bound("rule", "max", 0.0, 1, 0.0)
    axis = Axis.of(np.array([0.0, 0.0, 0.5, 1.0]), [bound.edge])
    allowed, beyond = axis.bins_of(np.array([0.0, 1e-9]))
    assert axis.edges[allowed + 1] <= bound.edge <= axis.edges[beyond]


def test_texts_and_lists_are_counted(run):
    image = run.distribution("stereo_image")
    counted = run.clip_columns(["stereo_image"])["stereo_image"].value_counts().to_pylist()
    assert {row["stereo_image"].removeprefix("not allowed: "): row["clips"] for row in image} == {
        str(each["values"] or NONE): each["counts"] for each in counted
    }
    assert "keep.image: stereo_image one of stereo" in image.text
    assert "✕ none" in texts(image)  # null breaks the rule
    tags = run.distribution("tags")
    lists = [tags or [None] for tags in run.clip_columns(["tags"])["tags"].to_pylist()]
    assert sum(row["clips"] for row in tags) == sum(map(len, lists))


@pytest.mark.parametrize(
    "column", ["duration_s", "source_channels", "uri", "unexpected", "rules", "start_s", "license"]
)
@pytest.mark.parametrize("by", ["verdict", "uri", "source_rate_hz", None])
def test_any_column_can_be_shown(run, column, by):
    found = run.distribution(column, by)
    assert found.text.startswith(column)
    assert sum(row["clips"] for row in found) >= 26
    assert texts(found)


def test_kept_clips_alone(run):
    values = kept_values(run)
    (row,) = kept_of(run, "loudness_lufs").rows
    assert row[1] == len(values)
    assert (row[4], row[8]) == (min(values), max(values))


def kept_values(run) -> list[float]:
    rows = run.clip_columns(["verdict", "loudness_lufs"]).to_pylist()
    return [row["loudness_lufs"] for row in rows if row["verdict"] == "kept"]


def test_mistakes_are_told(run):
    with pytest.raises(OutputError, match=r"no column loudness_luf.*loudness_lufs"):
        run.distribution("loudness_luf")
    with pytest.raises(ConfigError, match="expected one value a clip"):
        run.distribution("loudness_lufs", by="rules")


def test_it_can_be_shown_and_saved(run):
    found = run.distribution("loudness_lufs")
    assert found._repr_html_().startswith("<svg")
    buffer = io.BytesIO()
    found.plot().savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_rare_values_are_put_together():
    values = pa.chunked_array([["x"] * 5 + ["y"] * 3, [f"rare {i}" for i in range(40)] + [None]])
    found = grouped(values, most=2)
    assert found.names == ("x", "y", "40 others", NONE)
    assert found.sums().tolist() == [5, 3, 40, 1]
    assert found.sums(np.arange(49.0))[3] == 48


def test_many_numbers_are_put_into_ranges():
    values = pa.chunked_array([np.linspace(60, 180, 500), [None, float("nan")]], pa.float64())
    found = grouped(values, most=5)
    assert found.names[0] == "60 to 75"
    assert found.names[-1] == NONE
    assert found.sums().sum() == 502
    assert found.sums()[-1] == 2


def test_lists_and_nulls_in_chunks():
    values = pa.chunked_array([[["a", "b"], None], [[], ["b"]]], pa.list_(pa.string()))
    found = grouped(values, most=5)
    assert found.names == ("b", "a", NONE)
    assert sorted(zip(found.rows.tolist(), found.codes.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 2),
        (2, 2),
        (3, 0),
    ]


@pytest.mark.parametrize("empty", [pa.string(), pa.float64(), pa.bool_(), pa.list_(pa.string())])
def test_no_clips_at_all(empty):
    assert grouped(pa.chunked_array([], empty), most=5).sums().sum() == 0


def test_a_million_rows_are_quick(tmp_path: Path, run, monkeypatch):
    rng = np.random.default_rng(0)
    number = 1_000_000
    table = {
        "verdict": pa.chunked_array([np.array(["kept", "rejected", "failed"])[rng.integers(0, 3, number)]]),
        "duration_s": pa.chunked_array([rng.uniform(5, 30, number)]),
        "loudness_lufs": pa.chunked_array([rng.normal(-18, 6, number).astype(np.float32)]),
    }
    monkeypatch.setattr(run, "_columns", table)
    began = time.thread_time()
    found = run.distribution("loudness_lufs")
    took_s = time.thread_time() - began
    assert sum(found.column("clips")) == number
    assert took_s < 1.5  # 0.12 on an idle machine


@settings(max_examples=15, deadline=None)
@given(
    numbers=st.lists(st.floats(-1e6, 1e6) | st.floats(0, 1e-3) | st.just(0.0), min_size=1, max_size=2000),
    bounds=st.lists(st.sampled_from([-40.0, 0.0, 1e-4, 0.01, 1e5]), max_size=3),
)
def test_any_axis_can_be_drawn(numbers, bounds):
    values = np.array(numbers)
    axis = Axis.of(values, bounds)
    counts = np.bincount(axis.bins_of(values), minlength=len(axis.edges) - 1)
    drawn = [Bound("rule", "max" if i % 2 else "min", bound, 1, 1.0) for i, bound in enumerate(bounds)]
    figure = draw_histogram(axis, np.stack([counts, counts]), ["a", "b"], [KEPT, REJECTED], drawn, "numbers")
    ElementTree.fromstring(svg_of(figure, "Numbers."))
