"""The command as a person types it: what it prints, and its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur import __version__
from audiocur.store.ledger import read_ledger

VERBS = "run, plan, watch, report, decide, verify, trace, models, serve"


def audiocur(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "audiocur", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "My Music (live)"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", rng.normal(0, 0.05, (44_100 * 12, 2)), 44_100)
    (folder / "notes.txt").touch()
    return folder


def test_bare_it_explains_itself(tmp_path):
    done = audiocur(cwd=tmp_path)
    assert done.returncode == 0
    for word in ("recipe=music_gen source.path=~/Music", "audiocur plan", "keep.loudness.min", "recipe=", "segment="):
        assert word in done.stdout
    assert audiocur("--help", cwd=tmp_path).stdout == done.stdout
    assert list(tmp_path.iterdir()) == []


def test_it_knows_its_version(tmp_path):
    assert audiocur("--version", cwd=tmp_path).stdout == f"audiocur {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vad.treshold=0.6"], "vad.treshold=0.6: unknown key; did you mean threshold?"),
        (["source.path=nowhere", "output.path=run"], "source.path=nowhere: no such folder"),
        (["source.path=empty", "output.path=run"], "holds no recordings"),
        (["source.path=empty"], "output.path: missing; expected output.path=runs/NAME"),
        (["pln", "recipe=music_gen"], f"pln: expected a verb ({VERBS}) or key=value"),
        (["run", "plan"], f"plan: expected one verb ({VERBS}) or key=value"),
        (["--config-dir", "nowhere", "source.path=empty"], "--config-dir"),
        (["--config-dir", "~nosuchuser/x", "plan"], "--config-dir ~nosuchuser/x: expected a user of this machine"),
        (["--config-dir"], "audiocur: --config-dir: expected one argument"),
        (["--config-dir="], "audiocur: --config-dir: expected a folder"),
        (["--frobnicate", "recipe=debug"], "audiocur: --frobnicate: no such option; expected --config-dir DIR"),
        (["source.path=empty", "output.path=o\udcff"], "output.path=o\\udcff: expected a name in UTF-8"),
        (["source.path=[bold]:smile:", "output.path=run"], "source.path=[bold]:smile:: no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_status_2_before_any_work(tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    done = audiocur(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout.replace("listing recordings\n", "")) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith("audiocur: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_options_and_the_verb_stand_anywhere(tmp_path):
    (tmp_path / "own").mkdir()
    short = ["recipe=debug", "pipeline=[decode,segment]", f"source.path={tmp_path / 'demo'}", "source.limit=1"]
    for words in (
        ["--config-dir", "own", "plan", *short],
        ["plan", *short[:2], "--config-dir", "own", *short[2:]],
        [short[0], "plan", *short[1:]],
    ):
        done = audiocur(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Stage 1" in done.stdout


def test_a_name_is_printed_as_it_is(tmp_path):
    output = "o/[/red] [bold]loud :smile:"
    words = ["recipe=debug", f"source.path={tmp_path / 'demo'}", "source.limit=1", f"output.path={output}"]
    done = audiocur(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{output}/ledger" in done.stdout


def test_a_run_and_its_resumption(music, tmp_path):
    words = ["recipe=music_gen", "source.path=~/My Music (live)", "output.path=runs/mine", "keep.music="]
    first = audiocur(*words, cwd=tmp_path, HOME=str(music.parent))
    assert (first.returncode, first.stderr) == (0, "")
    for word in (
        "2 recordings",
        "kept",
        "runs/mine/clips",
        "runs/mine/report.html",
        "× real time",
        "Ignored in the source: 1 .txt",
    ):
        assert word in first.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}

    log = (tmp_path / "runs/mine/log.txt").read_text().splitlines()
    assert "begins: audiocur" in log[0]
    assert "kept: 2 clips, 24.0 s" in log[-1]

    again = audiocur(*words, cwd=tmp_path, HOME=str(music.parent))
    assert (again.returncode, again.stderr) == (0, "")
    assert "Nothing was missing: 2 recordings, all done before" in again.stdout

    other = audiocur(*words, "vad.threshold=0.6", cwd=tmp_path, HOME=str(music.parent))
    assert other.returncode == 2
    assert "another recipe's run (vad.threshold: 0.5 there, 0.6 here)" in other.stderr


def test_one_core_is_enough(music, tmp_path):
    """Ray Data waits for ever where it has too few CPUs; a machine of one core must finish."""
    one = min(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "audiocur", f"source.path={music}", "output.path=run", "placement.tag.via=actor"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
    )
    assert done.returncode == 0, done.stderr
    assert "2 recordings" in done.stdout


def test_measures_without_audio(music, tmp_path):
    done = audiocur(
        f"source.path={music}",
        "output.path=run",
        "pipeline=[decode,vad,segment,loudness]",
        "engine=local",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "engine=local works in one process" in done.stdout
    assert (
        "Inactive keep rules, whose column nothing in the pipeline writes: silence, clipping, dc, dropouts"
        in done.stdout
    )
    assert not (tmp_path / "run/clips").exists()
    assert list((tmp_path / "run/ledger").glob("part-*.parquet"))


def test_nothing_usable_is_status_2_and_in_the_ledger(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music/letter.mp3").write_text("Dear all,")
    (tmp_path / "music/empty.wav").touch()
    done = audiocur("source.path=music", "output.path=run", "engine=local", cwd=tmp_path)
    assert done.returncode == 2
    assert "none of the 2 recordings can be used" in done.stderr
    assert "empty file" in done.stderr
    assert list((tmp_path / "run/ledger").glob("part-*.parquet"))


def test_a_plan_shows_stages_rules_and_an_estimate(music, tmp_path):
    done = audiocur("plan", "recipe=music_gen", f"source.path={music}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "Stage 1: tasks of 1 CPU",
        "loudness_lufs",
        "keep.loudness: loudness_lufs from -40 to -5",
        "2 recordings, about",
    ):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []

    without = audiocur(
        "plan", "placement.tag.via=actor", "placement.caption.via=actor", "keep.x.column=meta_x", cwd=tmp_path
    )
    assert (without.returncode, without.stderr) == (0, "")
    assert "Stage 2: 1 actors of 1 CPU" in without.stdout
    assert "keep.x: inactive: nothing in the pipeline writes meta_x" in without.stdout
    assert "Name a source.path" in without.stdout


def test_own_ops_reach_the_workers(music, tmp_path):
    own = tmp_path / "own"
    (own / "measure").mkdir(parents=True)
    (own / "ops_of_ada.py").write_text(
        "from dataclasses import dataclass\n"
        "import pyarrow as pa\n"
        "from audiocur.op import ClipOp, Column\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Peak(ClipOp):\n"
        "    name = 'peak'\n"
        "    writes = (Column('peak', pa.float32(), '', 'largest sample'),)\n"
        "    def measure(self, clip):\n"
        "        return {'peak': float(abs(clip.audio.samples).max())}\n"
    )
    (own / "measure/peak.yaml").write_text("# The largest sample.\n_target_: ops_of_ada.Peak\n")
    words = [f"source.path={music}", "output.path=run", "segment=window", "pipeline=[decode,segment,peak]"]
    done = audiocur("--config-dir", str(own), *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    peaks = [row["peak"] for row in read_ledger(tmp_path / "run").to_pylist() if row["clip_id"]]
    assert len(peaks) == 2
    assert all(0.1 < peak <= 1 for peak in peaks)
