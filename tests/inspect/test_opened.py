"""A run is opened as it is, read in many ways, and never written to."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import audiocur
from audiocur import KeepRule, Run, open_run
from audiocur.cli import main
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError, UserError
from audiocur.inspect.report import report_of
from audiocur.job import Job
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.run import run
from audiocur.storage import open_store

RATE_HZ = 8000
CUT = Decode(span_s=6) >> Window(length_s=2, min_s=0.5) >> Loudness()
RULES = {"loud": KeepRule(column="loudness_lufs", min=-30)}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A run over a recording of 10 s, 4 s of it too soft, a short one, and a file that is none."""
    home = tmp_path_factory.mktemp("home")
    samples = np.random.default_rng(0).normal(0, 0.1, 10 * RATE_HZ).astype(np.float32).clip(-1, 1)
    samples[4 * RATE_HZ : 8 * RATE_HZ] *= 0.01
    (home / "library").mkdir()
    soundfile.write(home / "library/long.wav", samples, RATE_HZ)
    soundfile.write(home / "library/short.wav", samples[: 2 * RATE_HZ], RATE_HZ)
    (home / "library/none.wav").write_bytes(b"no sound")
    run(Job.of(CUT >> Encode(), home / "library", home / "run", keep=RULES, engine=LocalEngine()))
    return home


@pytest.fixture
def opened(home) -> Run:
    return open_run(home / "run")


def test_it_opens_by_path_text_store_and_home(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    for path in (home / "run", str(home / "run"), "run", Path("run"), "~/run", open_store(home / "run")):
        assert len(open_run(path).parts.parts) == len(open_run(home / "run").parts.parts) > 0


def test_what_is_no_run_is_told_in_one_line(home, tmp_path):
    for path in (home / "library", home / "nowhere", tmp_path):
        with pytest.raises(OutputError) as told:
            open_run(path)
        assert str(told.value) == f"{path}: expected a run of audiocur with a ledger"
    assert not (home / "nowhere").exists()


def test_a_run_in_which_nothing_is_finished_yet_opens(home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    for path in (tmp_path / "run/ledger").glob("part-*.parquet"):
        path.unlink()
    opened = open_run(tmp_path / "run")
    assert "0.0 s in, 0.0 s kept in 0 clips" in repr(opened)
    with pytest.raises(OutputError, match=r"run: nothing has been finished there yet$"):
        _ = opened.ledger
    with pytest.raises(OutputError, match=r"run: nothing has been finished there yet$"):
        opened.sample()
    with pytest.raises(OutputError, match=r"run: no clip is kept there, or none is stored$"):
        _ = opened.clips


def test_it_says_in_a_line_what_it_is(home, opened):
    assert repr(opened) == f"{home}/run: 12.0 s in, 8.0 s kept in 4 clips"


def test_the_ledger_is_every_span_and_every_clip(opened):
    expected = opened.parts.table()
    assert opened.ledger_dataset.to_table().sort_by("start_s").equals(expected.sort_by("start_s"))
    verdicts = opened.sql("select verdict, count(*) from ledger group by verdict order by verdict").fetchall()
    assert verdicts == [("done", 3), ("failed", 1), ("kept", 4), ("rejected", 2)]
    assert opened.ledger.filter("rule = 'loud'").count("*").fetchall() == [(2,)]
    assert opened.sql("select * from ledger").columns == expected.schema.names


def test_sql_that_makes_no_sense_is_duckdbs_to_tell(opened):
    with pytest.raises(duckdb.Error, match="verdikt"):
        opened.sql("select verdikt from ledger").fetchall()


def test_kept_clips_are_there_with_their_audio(home, opened):
    table = opened.clips.to_table()
    assert table.num_rows == opened.clips.count_rows() == 4
    data = table.sort_by("start_s")["audio"][0].as_py()["bytes"]
    assert data.startswith(b"fLaC")
    shards = [pq.read_table(path, partitioning=None) for path in (home / "run").glob("clips/*/*.parquet")]
    assert set(table["clip_id"].to_pylist()) == set(pa.concat_tables(shards)["clip_id"].to_pylist())


def test_only_parts_and_shards_that_hold_are_read(home, opened, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    part = next(part for part in opened.parts.parts if part.shard)
    (tmp_path / "run" / part.shard.name).with_name("orphan.parquet").write_bytes(
        (home / "run" / part.shard.name).read_bytes()
    )
    lost = next(other for other in opened.parts.parts if other.shard and other != part)
    (tmp_path / "run" / lost.shard.name).unlink()
    spoiled = open_run(tmp_path / "run")
    assert {each.name for each in spoiled.parts.parts} == {each.name for each in opened.parts.parts} - {lost.name}
    assert spoiled.ledger_dataset.count_rows() == sum(
        pq.read_metadata(home / "run" / each.name).num_rows for each in spoiled.parts.parts
    )
    assert spoiled.clips.count_rows() == part.shard.rows


def test_columns_are_those_of_clips_and_read_once(home, opened, tmp_path):
    rows = [row for row in opened.parts.table().to_pylist() if row["clip_id"]]
    found = opened.clip_columns(["verdict", "loudness_lufs"])
    assert found.to_pylist() == [{name: row[name] for name in ("verdict", "loudness_lufs")} for row in rows]
    assert opened.clip_columns(["loudness_lufs", "clip_id"])["clip_id"].to_pylist() == [row["clip_id"] for row in rows]
    shutil.copytree(home / "run", tmp_path / "run")
    again = open_run(tmp_path / "run")
    again.clip_columns(["verdict"])
    for path in (tmp_path / "run/ledger").glob("part-*.parquet"):
        path.unlink()
    assert again.clip_columns(["verdict"]).num_rows == len(rows)


def test_a_column_that_is_not_there_is_told_with_the_nearest(opened):
    with pytest.raises(OutputError, match=r"run: its ledger has no column loudnes_lufs; did you mean loudness_lufs\?$"):
        opened.clip_columns(["verdict", "loudnes_lufs"])


def test_the_job_is_that_which_ran(home, opened):
    assert opened.job.recipe()["fingerprint"] == opened.recipe["fingerprint"]
    assert opened.rules == opened.job.pipeline.rules
    assert opened.rules["loud"].min == -30
    assert opened.job_with(["keep.loud.min=-50"]).pipeline.rules["loud"].min == -50
    with pytest.raises(ConfigError, match="loudd"):
        opened.job_with(["keep.loudd.min=-50"])
    assert opened.gates.name_of(opened.gates.gate_of("loudness_lufs")) == "encode"


def test_a_rule_over_what_was_not_measured_is_refused(opened):
    rules = {"clipping": KeepRule(column="clipped_ratio", max=0.1)}
    with pytest.raises(ConfigError, match=r"^keep\.clipping\b.*clipped_ratio\b.* was not measured in this run"):
        opened.judged_by(rules)


def test_an_op_of_ones_own_is_found_in_the_folder_that_is_named(home, tmp_path, monkeypatch):
    (tmp_path / "own_of_test_opened.py").write_text(
        "from dataclasses import dataclass\n"
        "from audiocur import ClipOp\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Nothing(ClipOp):\n"
        '    """Nothing."""\n'
        "    name = 'nothing'\n"
        "    def measure(self, clip):\n"
        "        return {}\n"
    )
    (tmp_path / "measure").mkdir()
    (tmp_path / "measure/nothing.yaml").write_text("_target_: own_of_test_opened.Nothing\n")
    known = list(sys.path)
    monkeypatch.setattr(sys, "path", list(known))  # which a folder that is named is put on
    words = ["recipe=debug", "source=folder", f"source.path={home / 'library'}", f"output.path={tmp_path / 'run'}"]
    pipeline = "pipeline=[decode,segment,nothing,encode]"
    assert main(["--config-dir", str(tmp_path), *words, pipeline, "segment.length_s=2"]) == 0
    opened = open_run(tmp_path / "run", config_dirs=[tmp_path])
    assert [step.name for step in opened.job.pipeline.steps] == ["decode", "segment", "nothing", "encode"]
    monkeypatch.setattr(sys, "path", known)
    monkeypatch.delitem(sys.modules, "own_of_test_opened")
    unnamed = open_run(tmp_path / "run")
    assert len(unnamed.sample()) > 0
    with pytest.raises(UserError, match=r"^[^\n]*own_of_test_opened[^\n]*$"):
        _ = unnamed.job


def test_nothing_is_written_to_the_run(home, opened, tmp_path):
    def state():
        return {
            path: (path.stat().st_mtime_ns, path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest())
            for path in (home / "run").rglob("*")
        }

    before = state()
    (home / "run").chmod(0o555)
    sample = opened.sample(n=10)
    opened.listen(sample)._repr_html_()
    opened.listen(sample).save(tmp_path / "saved")
    opened.sql("select count(*) from ledger").fetchall()
    opened.clips.head(1)
    for view in (
        opened.funnel(),
        opened.hours("verdict"),
        opened.distribution("loudness_lufs"),
        opened.whatif({"loud.min": -50}),
        opened.suggest(target_hours=0.001),
        opened.compare(home / "run"),
        sample,
    ):
        assert repr(view)
        assert view._repr_html_()
    (home / "run").chmod(0o755)
    assert state() == before


def test_opening_stays_quick_to_import():
    script = (
        "import sys, audiocur\naudiocur.open_run\n"
        "print(sorted({'duckdb', 'matplotlib', 'ray', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "[]\n")
    assert audiocur.open_run is open_run


def test_a_run_without_its_recipe_is_told_in_one_line(home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    (tmp_path / "run/recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"^[^\n]+run: [^\n]+recipe.yaml"):
        open_run(tmp_path / "run")


def test_what_is_not_whole_says_so(home, tmp_path):
    output = Path(shutil.copytree(home / "run", tmp_path / "run"))
    said = json.loads((output / "progress.json").read_text())
    (output / "progress.json").write_text(json.dumps({**said, "state": "interrupted", "sources": 9}))
    shard = next((output / "clips").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-10])
    told = repr(open_run(output))
    assert re.search(r"Not finished: \d of 9 recordings done, .* its last state is interrupted", told)
    assert "Left out: 1 ledger part that cannot be read, or without a shard: audiocur verify" in told
    assert "Not finished" in report_of(open_run(output))
