"""Damage to a real run, found and repaired through the command; and who may not work on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from audiocur.store.ledger import Ledger

pytestmark = pytest.mark.faults

RATE_HZ = 22_050


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Twelve recordings of 20 to 42 s: enough for a few blocks."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    for number in range(12):
        soundfile.write(folder / f"{number:02}.wav", rng.normal(0, 0.05, (RATE_HZ * (20 + 2 * number), 2)), RATE_HZ)
    return folder


def words(library, output, *others):
    return [
        f"source.path={library}",
        f"output.path={output}",
        "segment.max_s=12",
        "report=false",
        "keep.bandwidth=",
        "keep.music=",
        *others,
    ]


def audiocur(*words) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "audiocur", *words], capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def sound(library, tmp_path_factory) -> Path:
    """A run that nothing has happened to."""
    output = tmp_path_factory.mktemp("runs") / "sound"
    done = audiocur(*words(library, output, "split.validation=0.3"))
    assert done.returncode == 0, done.stdout + done.stderr
    return output


def content(output):
    """Rows of the ledger and of the shards that count, audio included."""
    ledger = Ledger.read(output)
    shards = [output / part.shard.name for part in ledger.parts if part.shard]
    clips = [row for path in shards for row in pq.read_table(path, partitioning=None).to_pylist()]
    return (
        sorted(ledger.table().to_pylist(), key=lambda row: (row["span_id"], row["clip_id"] or "")),
        sorted(clips, key=lambda row: row["clip_id"]),
    )


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def deleted(path):
    path.unlink()


def bit_flipped(path):
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", [truncated, deleted, bit_flipped])
@pytest.mark.parametrize(("what", "where"), [("shard", []), ("part", ["engine=local"])])
def test_damage_is_found_and_repaired_to_equality(sound, tmp_path, damage, what, where):
    output = tmp_path / "run"
    shutil.copytree(sound, output, copy_function=shutil.copy2)
    part = next(part for part in Ledger.read(output).parts if part.shard)
    touched = {output / part.name, output / part.shard.name}
    before = {path: path.stat().st_mtime_ns for path in output.rglob("part-*.parquet")}
    assert len(before) > len(touched)
    damage(output / (part.shard.name if what == "shard" else part.name))

    found = audiocur("verify", str(output))
    assert (found.returncode, found.stderr) == (1, "")
    named = [line.partition(": ")[0] for line in found.stdout.splitlines() if ".parquet: " in line]
    assert named
    assert {output / name for name in named} <= touched

    mended = audiocur("verify", str(output), "--repair", *where)
    assert (mended.returncode, mended.stderr) == (0, "")
    assert f"Repaired: {len(part.spans)} span" in mended.stdout
    again = audiocur("verify", str(output))
    assert (again.returncode, again.stderr, again.stdout.count("\n")) == (0, "", 1)
    assert content(output) == content(sound)
    others = {path: at for path, at in before.items() if path not in touched}
    assert others.items() <= {path: path.stat().st_mtime_ns for path in output.rglob("part-*.parquet")}.items()


@pytest.mark.timeout(300)
def test_the_run_itself_does_again_what_does_not_count(library, sound, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(sound, output)
    first, second, *_ = [part for part in Ledger.read(output).parts if part.shard]
    deleted(output / first.shard.name)
    truncated(output / second.name)
    done = audiocur(*words(library, output, "split.validation=0.3"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Went on where an earlier run had stopped" in done.stdout
    assert content(output) == content(sound)
    assert audiocur("verify", str(output)).returncode == 0


@pytest.mark.timeout(300)
def test_a_second_run_is_refused_and_the_first_goes_on(library, sound, tmp_path):
    output = tmp_path / "run"
    mine = words(library, output, "split.validation=0.3")
    with subprocess.Popen(
        [sys.executable, "-m", "audiocur", *mine, "engine=local"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as first:
        try:
            while not (output / "lease.json").exists() and first.poll() is None:
                time.sleep(0.02)
            first.send_signal(signal.SIGSTOP)  # so that it cannot end too early
            second = audiocur(*mine)
            verified = audiocur("verify", str(output))
            first.send_signal(signal.SIGCONT)
            printed, _ = first.communicate(timeout=200)
        finally:
            first.kill()
    assert (first.returncode, second.returncode) == (0, 2), printed
    refusal = f"audiocur: output.path={output}: process {first.pid} on "
    assert second.stderr.startswith(refusal)
    assert second.stderr.endswith(" is at work there; expected it to end first, or another directory\n")
    assert second.stderr.count("\n") == 1
    assert verified.returncode == 0
    assert "only what it has committed was checked" in verified.stdout
    assert content(output) == content(sound)


@pytest.mark.timeout(120)
def test_another_recipe_is_refused_and_says_what_differs(library, sound):
    before = {path: path.stat().st_mtime_ns for path in sound.rglob("*")}
    done = audiocur(*words(library, sound, "split.validation=0.3", "vad.threshold=0.7", "keep.loudness.min=-20"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"audiocur: output.path={sound}: it holds another recipe's run (vad.threshold: 0.5 ")
    assert "vad.threshold: 0.5 there, 0.7 here; keep.loudness.min: -40.0 there, -20.0 here" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in sound.rglob("*")} == before
