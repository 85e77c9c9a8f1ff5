"""A sample of clips: the same everywhere, of those that a condition holds for, and mistakes in it told in one line."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from audiocur import KeepRule
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError
from audiocur.inspect.opened import open_run
from audiocur.job import Job
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.run import run
from audiocur.sources.folder import Folder

RATE_HZ = 8000
PIPELINE = Decode(span_s=6) >> Window(length_s=1, min_s=0.5) >> Loudness() >> Encode()
RULES = {"quiet": KeepRule(column="loudness_lufs", min=-25)}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Three recordings of 15 clips each, every third of which is rejected; two runs, cut into different parts."""
    home = tmp_path_factory.mktemp("home")
    for name in ("a.wav", 'b/c\'s "best".wav', "d<b>.wav"):
        path = home / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(len(name)).normal(0, 0.1, 15 * RATE_HZ).astype(np.float32).clip(-1, 1)
        for at in range(0, 15, 3):
            samples[at * RATE_HZ : (at + 1) * RATE_HZ] *= 0.1
        soundfile.write(path, samples, RATE_HZ)
    made(home, "whole")
    made(home, "pieces", include=["a.wav"])
    made(home, "pieces", include=["d*.wav"])
    made(home, "pieces")
    return home


def made(home, output, **source):
    run(Job.of(PIPELINE, Folder(path=str(home / "library"), **source), home / output, keep=RULES, engine=LocalEngine()))


@pytest.fixture(scope="module")
def opened(home):
    return open_run(home / "whole")


def clips(opened):
    return {row["clip_id"]: row for row in opened.parts.table().to_pylist() if row["clip_id"]}


def drawn_by_hand(ids, n, seed):
    return sorted(ids, key=lambda clip_id: hashlib.md5(f"{clip_id}:{seed}".encode()).hexdigest())[:n]


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (8, 0), (8, 1), (45, 7), (100, 7)])
def test_it_depends_on_ids_and_seed_alone(home, n, seed):
    whole, pieces = open_run(home / "whole"), open_run(home / "pieces")
    assert len(whole.parts.parts) < len(pieces.parts.parts)
    expected = drawn_by_hand(clips(whole), n, seed)
    assert len(expected) == min(n, 45)
    assert [row["clip_id"] for row in whole.sample(n=n, seed=seed)] == expected
    assert [row["clip_id"] for row in pieces.sample(n=n, seed=seed)] == expected


def test_rows_are_whole_rows_of_the_ledger(opened):
    rows = clips(opened)
    sample = opened.sample(n=10)
    assert len(sample) == 10
    assert list(sample) == [rows[row["clip_id"]] for row in sample]


def test_the_condition_holds_for_all_and_a_larger_sample_goes_on_where_a_smaller_ends(opened):
    where = "verdict = 'rejected' and rule = 'quiet'"
    expected = [key for key, row in clips(opened).items() if row["rule"] == "quiet"]
    assert len(expected) == 15
    few, many = opened.sample(where, n=5), opened.sample(where, n=99)
    assert sorted(row["clip_id"] for row in many) == sorted(expected)
    assert list(many)[:5] == list(few)


def test_spans_are_no_clips(opened):
    assert all(row["clip_id"] for row in opened.sample(n=1000))
    assert len(opened.sample("verdict = 'done'")) == 0
    assert len(opened.sample("clip_id is null or true", n=1000)) == 45


@pytest.mark.parametrize(
    "where",
    [
        "list_contains(rules, 'quiet')",
        "uri like '%\"best\"%' and start_s between 3 and 9 -- a remark",
        "exists (select 1 where loudness_lufs < -25)",
        "RULE = 'quiet' or Start_S = 0",
    ],
)
def test_any_sql_goes(opened, where):
    assert len(opened.sample(where)) > 0


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("verdikt = 'kept'", "the ledger has no column verdikt; did you mean verdict?"),
        ("loudness < -25", "the ledger has no column loudness; did you mean loudness_lufs?"),
        ("verdict = ", 'Parser Error: syntax error at or near "="'),
        ("start_s > 'three'", "Conversion Error: Could not convert string 'three' to DOUBLE"),
        ("true; drop table clips", "Parser Error: "),
        ("1=1) or (1=1", "Parser Error: "),
        ("", "Parser Error: "),
        ("count(*) > 1", "Binder Error: "),
        ("rule in (select rule from elsewhere)", "Catalog Error: Table with name elsewhere does not exist!"),
        ("regexp_matches(uri, '[')", "Invalid Input Error: missing ]: ["),
        ("loudnes(start_s) > 1", "Catalog Error: Scalar Function with name loudnes does not exist!"),
    ],
)
def test_a_condition_that_makes_no_sense_is_told_in_one_line(opened, where, said):
    with pytest.raises(ConfigError) as told:
        opened.sample(where)
    assert str(told.value).startswith(f"where={where}: {said}")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("n", [0, -1, 100_001])
def test_a_number_that_is_none_is_refused(opened, n):
    with pytest.raises(ConfigError, match=f"^n={n}: expected a number of clips"):
        opened.sample(n=n)


def test_it_displays_what_a_listener_wants_and_what_the_condition_names(opened):
    sample = opened.sample("loudness_lufs < -25 and 'gain_db' != rule", n=3)
    assert sample.frame.columns == (
        *("clip", "uri", "start_s", "duration_s", "loudness_lufs", "rule", "verdict", "reason"),
    )
    assert sample.title == "3 of 15 clips where loudness_lufs < -25 and 'gain_db' != rule"
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as printed:
        console.print(sample)
    for text in (repr(sample), sample._repr_html_(), printed.get()):
        for row in sample:
            assert row["clip_id"][:8] in text
    assert "below min -25" in repr(opened.sample("rule = 'quiet'", n=1)).replace("\n", " ").replace("  ", " ")


def test_names_are_escaped(opened):
    html = opened.sample("uri like 'd%'", n=1)._repr_html_()
    assert "d&lt;b&gt;.wav" in html
    assert "<b>" not in html
    assert "where start_s &lt; 3" in opened.sample("start_s < 3")._repr_html_()


def test_a_slice_is_a_sample(opened):
    sample = opened.sample(n=10)
    assert list(sample[2:5]) == list(sample)[2:5]
    assert sample[2:5].frame.columns == sample.frame.columns
    assert sample[-1]["clip_id"] == list(sample)[-1]["clip_id"]


def test_none_is_a_sample_too(opened):
    sample = opened.sample("start_s > 1000")
    assert (len(sample), sample.title) == (0, "0 of 0 clips where start_s > 1000")
    assert "0 of 0 clips" in repr(sample)
    assert "<table" in sample._repr_html_()


def test_a_ledger_that_was_lost_meanwhile_is_told_in_one_line(home, tmp_path):
    shutil.copytree(home / "pieces", tmp_path / "run")
    opened = open_run(tmp_path / "run")
    assert opened.ledger_dataset.schema.names
    for path in (tmp_path / "run/ledger").glob("part-*.parquet"):
        path.unlink()
    with pytest.raises(OutputError, match=r"^[^\n]+run: its ledger cannot be read \([^\n]+\)$"):
        opened.sample(n=3)
