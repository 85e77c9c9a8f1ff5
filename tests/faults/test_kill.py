"""Real kills of real runs: what is resumed equals what was never disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pytest
import soundfile

from audiocur.store.ledger import read_ledger

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Forty recordings of 40 s: enough blocks for a kill to fall among them."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    for number in range(40):
        soundfile.write(folder / f"{number:02}.wav", rng.normal(0, 0.05, (44_100 * 40, 2)), 44_100)
    return folder


def start(library, output) -> subprocess.Popen[str]:
    words = [f"source.path={library}", f"output.path={output}", "segment.max_s=12", "keep.bandwidth="]
    return subprocess.Popen(
        [sys.executable, "-m", "audiocur", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell that runs this in the background hands down SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(library, output) -> str:
    process = start(library, output)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    return printed


def rows(output):
    clips = pyarrow.dataset.dataset(output / "clips", format="parquet").to_table().to_pylist()
    order = [("span_id", "ascending"), ("clip_id", "ascending")]
    return sorted(clips, key=lambda row: row["clip_id"]), read_ledger(output).sort_by(order).to_pylist()


def parts(output) -> int:
    return len(list((output / "ledger").glob("part-*.parquet")))


@pytest.fixture(scope="module")
def undisturbed(library, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish(library, output)
    return rows(output)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_a_driver_killed_at_any_moment_is_resumed_to_the_same_run(library, undisturbed, tmp_path, seed):
    output = tmp_path / "run"
    for committed in sorted(random.Random(seed).sample(range(1, 16), 2)):
        process = start(library, output)
        deadline = time.monotonic() + 120
        while parts(output) < committed and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert parts(output) > 0
    finish(library, output)
    assert rows(output) == undisturbed


@pytest.mark.timeout(300)
def test_an_interrupt_keeps_what_is_finished_and_says_how_to_go_on(library, undisturbed, tmp_path):
    output = tmp_path / "run"
    process = start(library, output)
    while parts(output) < 2 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in printed
    assert "Traceback" not in printed
    assert "Went on where an earlier run had stopped" in finish(library, output)
    assert rows(output) == undisturbed
