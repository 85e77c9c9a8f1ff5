"""A decision that is killed at any moment goes on when it is asked for again, and ends as a fresh run would be."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pyarrow.dataset
import pytest
import soundfile

from audiocur.storage import open_store
from audiocur.store.decision import Decision
from audiocur.store.ledger import read_ledger

pytestmark = pytest.mark.faults

PIPELINE = "pipeline=[decode,vad,segment,loudness,silence,encode]"
RULES = ["keep.loudness.min=-34", "keep.loudness.max=-10"]
OTHER_RULES = ["keep.loudness.min=-44", "keep.loudness.max=-20"]


def audiocur(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "audiocur", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*words: str) -> str:
    process = audiocur(*words)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    return printed


def outcome(output):
    clips = pyarrow.dataset.dataset(output / "clips", format="parquet").to_table(["clip_id", "audio"]).to_pylist()
    rows = read_ledger(output).sort_by([("span_id", "ascending"), ("clip_id", "ascending")]).to_pylist()
    return sorted((clip["clip_id"], clip["audio"]["bytes"]) for clip in clips), rows


def test_decisions_killed_at_random_moments(tmp_path):
    rng, library = np.random.default_rng(0), tmp_path / "library"
    library.mkdir()
    for number in range(24):
        levels = np.repeat(10 ** rng.uniform(-2.6, -0.9, 8), 5 * 16_000)
        soundfile.write(library / f"{number:02}.wav", rng.normal(0, 1, len(levels)).clip(-3, 3) / 3 * levels, 16_000)
    run = [
        "recipe=music_gen",
        f"source.path={library}",
        PIPELINE,
        "engine=local",
        "segment=window",
        "segment.length_s=5",
    ]
    finish(*run, *RULES, f"output.path={tmp_path / 'run'}")
    finish(*run, *OTHER_RULES, f"output.path={tmp_path / 'fresh'}")
    before, fresh = outcome(tmp_path / "run"), outcome(tmp_path / "fresh")
    assert before != fresh

    moments, kills, under_way = random.Random(3), 0, 0
    decide = ["decide", str(tmp_path / "run"), "engine=local", "report=false"]
    for kill in range(8):
        process = audiocur(*decide, *OTHER_RULES)
        try:
            process.communicate(timeout=moments.uniform(1.0, 2.5) + 0.2 * kill)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            under_way += Decision.read(open_store(tmp_path / "run")) is not None
    finish(*decide, *OTHER_RULES)
    assert kills >= 3
    assert Decision.read(open_store(tmp_path / "run")) is None
    assert outcome(tmp_path / "run") == fresh
    assert "wrong" not in finish("verify", str(tmp_path / "run"))
    finish(*decide, *RULES)
    assert outcome(tmp_path / "run") == before
