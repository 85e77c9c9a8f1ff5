"""docs/own_op.md, done as it says: two ops in a folder of one's own, through the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audiocur.store.ledger import read_ledger

PAGE = Path(__file__).parent.parent / "docs/own_op.md"


@pytest.fixture
def folder(tmp_path):
    text = PAGE.read_text()
    blocks = list(re.finditer(r"```(?:python|yaml)\n(.*?)```", text, re.DOTALL))
    named = [re.findall(r"`([\w/]+\.(?:py|yaml))`", text[: block.start()])[-1] for block in blocks]
    files = [(name, block[1]) for name, block in zip(named, blocks, strict=True) if block is not blocks[-1]]
    assert [name for name, _ in files] == [
        "my_ops/crossings.py", "measure/crossings.yaml", "my_ops/genre.py", "genre/linear.yaml"
    ]  # fmt: skip
    for name, content in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "genre.npz", matrix=rng.random((3, 100), np.float32), names=["rock", "jazz", "noise"])
    return tmp_path


def commands():
    return [
        shlex.split(block.replace("\\\n", " "))
        for block in re.findall(r"```sh\n(audiocur.*?)```", PAGE.read_text(), re.DOTALL)
    ]


def run(command, folder, *more):
    done = subprocess.run(
        [sys.executable, "-m", "audiocur", *command[1:], *more], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def ledger(folder, run):
    rows = read_ledger(folder / run).to_pylist()
    return [row for row in rows if row["clip_id"]]


def test_the_measure_of_the_page_is_measured_and_judged(folder):
    run(commands()[0], folder, "source.limit=4", "engine=local")
    rows = ledger(folder, "runs/own")
    measured = [row for row in rows if row["crossings_per_s"] is not None]
    assert measured
    for row in measured:
        assert (row["verdict"] == "kept") == (row["crossings_per_s"] <= 4000)


def test_the_model_of_the_page_runs_in_actors(folder):
    said = run(commands()[1], folder, "source.limit=4")
    rows = [row for row in ledger(folder, "runs/genre") if row["verdict"] == "kept"]
    assert {row["genre_guess"] for row in rows} <= {"rock", "jazz", "noise", None}
    assert all(
        (row["genre_guess"] is None) == (row["loudness_lufs"] is None or row["loudness_lufs"] < -50) for row in rows
    )
    assert re.search(r"genre: \d+ clips? in \d+ batch", said)


def test_weights_that_are_not_there_are_told_before_any_work(folder):
    (folder / "genre.npz").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "audiocur", *commands()[1][1:]], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == (
        "audiocur: genre: genre weights is not on this machine; expected a file or folder at genre.npz\n"
    )
    assert not (folder / "runs").exists()
