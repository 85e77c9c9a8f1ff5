"""Real kills of real runs: what is resumed equals what was never disturbed."""

from __future__ import annotations

import contextlib
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

from audiocur.config import job
from audiocur.store.ledger import Ledger, read_ledger

pytestmark = pytest.mark.faults

#: An op of the user's own, that misbehaves once: on one recording, the first time that it sees it.
OP = '''
import os, signal
from dataclasses import dataclass
from pathlib import Path
from audiocur.op import SpanOp

@dataclass(frozen=True, kw_only=True)
class Once(SpanOp):
    """Sends its own process a signal, once, when it comes to a recording."""
    name = "once"
    uri: str
    marker: str
    signal: int

    def apply(self, span):
        if span.source.uri == self.uri and not Path(self.marker).exists():
            Path(self.marker).write_text(str(os.getpid()))
            os.kill(os.getpid(), self.signal)
'''


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Forty recordings of 40 s: enough blocks for a kill to fall among them."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    for number in range(40):
        soundfile.write(folder / f"{number:02}.wav", rng.normal(0, 0.05, (44_100 * 40, 2)), 44_100)
    return folder


PIPELINE = "pipeline=[decode,vad,segment,loudness,bandwidth,tempo,encode]"
#: Noise is no music; what is tried here is not the rules.
RULES = [f"keep.{name}=" for name in job(["recipe=music_gen"], to_run=False).pipeline.rules if name != "loudness"]


_started: list[subprocess.Popen[str]] = []


def start(library, output, *words, pipeline=PIPELINE) -> subprocess.Popen[str]:
    words = [
        f"source.path={library}",
        f"output.path={output}",
        pipeline,
        "segment.max_s=12",
        "report=false",
        *RULES,
        *words,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "audiocur", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell that runs this in the background hands down SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def _ended():
    """No process of a test that failed outlives it."""
    yield
    for process in _started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    _started.clear()


def finish(library, output, *words) -> str:
    process = start(library, output, *words)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    return printed


def rows(output):
    clips = pyarrow.dataset.dataset(output / "clips", format="parquet").to_table().to_pylist()
    return sorted(clips, key=lambda row: row["clip_id"]), ledger_rows(output)


def parts(output) -> int:
    return len(list((output / "ledger").glob("part-*.parquet")))


def wait_for(process, condition) -> None:
    """Until something is so, or the process has ended."""
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def left_behind(output) -> list[str]:
    """Files of the run that no part names."""
    ledger = Ledger.read(output)
    named = {part.name for part in ledger.parts} | {part.shard.name for part in ledger.parts if part.shard}
    return [name for name in ledger.files if name not in named and not name.startswith("ledger/epoch-")]


@pytest.fixture(scope="module")
def undisturbed(library, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish(library, output)
    return rows(output)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_a_driver_killed_at_any_moment_is_resumed_to_the_same_run(library, undisturbed, tmp_path, seed):
    """Alone or with its whole process group, twice in each run."""
    output = tmp_path / "run"
    chance = random.Random(seed)
    for committed in sorted(chance.sample(range(1, 16), 2)):
        process = start(library, output)
        wait_for(process, lambda committed=committed: parts(output) >= committed)
        time.sleep(chance.random() / 2)
        (os.killpg if chance.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
        process.communicate()
    assert parts(output) > 0
    finish(library, output)
    assert rows(output) == undisturbed
    assert left_behind(output) == []


@pytest.mark.timeout(300)
def test_an_interrupt_keeps_what_is_finished_and_says_how_to_go_on(library, undisturbed, tmp_path):
    output = tmp_path / "run"
    for number, how in enumerate((signal.SIGINT, signal.SIGTERM), 1):
        process = start(library, output)
        wait_for(process, lambda number=number: parts(output) >= 2 * number)
        os.kill(process.pid, how)
        printed, _ = process.communicate(timeout=10)
        assert process.returncode == 130
        assert "the same command goes on from there" in printed
        assert "Traceback" not in printed
        assert "SIG" not in printed
    assert "Went on where an earlier run had stopped" in finish(library, output)
    assert rows(output) == undisturbed


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of the user's own, with the op and its YAML."""
    folder = tmp_path / "own"
    (folder / "measure").mkdir(parents=True)
    (folder / "once_op.py").write_text(OP)
    (folder / "measure/once.yaml").write_text("_target_: once_op.Once\nuri: ???\nmarker: ???\nsignal: ???\n")
    return folder


def words_of(own, tmp_path, signal_number):
    pipeline = PIPELINE.replace("decode,", "decode,once,")
    once = [f"once.uri={'20.wav'}", f"once.marker={tmp_path / 'marker'}", f"once.signal={int(signal_number)}"]
    return pipeline, ["--config-dir", str(own), *once]


def start_with(own, tmp_path, library, output, signal_number, *more):
    pipeline, words = words_of(own, tmp_path, signal_number)
    return start(library, output, *words, *more, pipeline=pipeline)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_costs_nothing(library, undisturbed, tmp_path, own, how):
    output = tmp_path / "run"
    process = start_with(own, tmp_path, library, output, how)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    assert (tmp_path / "marker").exists()
    assert "again that had been lost with a worker" in printed
    assert rows(output) == undisturbed


CLUSTER = """
import time
from ray.cluster_utils import Cluster
head = {"num_cpus": 4, "object_store_memory": 150 << 20, "include_dashboard": False}
print(Cluster(initialize_head=True, head_node_args=head).address, flush=True)
time.sleep(1000)
"""


@pytest.fixture
def cluster():
    """A cluster that does not end with the driver, its process and its address."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-W", "ignore", "-c", CLUSTER]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )
    yield process, process.stdout.readline().strip()
    process.kill()  # and with it, all that it started
    process.communicate()


@pytest.mark.timeout(300)
def test_a_worker_that_outlives_its_driver_commits_nothing_into_the_next_run(
    library, undisturbed, tmp_path, own, cluster, monkeypatch
):
    """It is stopped within a block, the driver killed, the run resumed and ended, and only then the worker goes on."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    output, marker = tmp_path / "run", tmp_path / "marker"
    owner, address = cluster
    process = start_with(own, tmp_path, library, output, signal.SIGSTOP, f"engine.address={address}")
    wait_for(process, marker.exists)
    worker = int(marker.read_text())
    # Nobody tells the worker that its driver is gone, as when the network between them fails.
    for pid in children(owner.pid):
        os.kill(pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    resumed = start_with(own, tmp_path, library, output, signal.SIGSTOP)
    printed, _ = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, printed
    assert rows(output) == undisturbed
    before = set(Ledger.read(output).files)
    os.kill(worker, signal.SIGCONT)
    late = set()
    deadline = time.monotonic() + 60
    while not late and time.monotonic() < deadline:
        time.sleep(0.1)
        late = {name for name in set(Ledger.read(output).files) - before if name.startswith("ledger/part-")}
    # It did write its part, under the epoch of its driver, and nobody believes it.
    (part,) = late
    assert "taken over" in Ledger.read(output).void[part]
    assert ledger_rows(output) == undisturbed[1]
    again = start_with(own, tmp_path, library, output, signal.SIGSTOP)
    assert "Nothing was missing" in again.communicate(timeout=100)[0]
    assert rows(output) == undisturbed
    assert left_behind(output) == []


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def ledger_rows(output):
    order = [("span_id", "ascending"), ("clip_id", "ascending")]
    return read_ledger(output).sort_by(order).to_pylist()
