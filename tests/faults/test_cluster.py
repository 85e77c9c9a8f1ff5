"""Nodes and actors lost in mid-run: what comes of it equals what was never disturbed.

This file is also the script that each test runs in a process of its own: it starts a cluster, a run on it, and a thread
that strikes once the run is in the midst of its work. An op lets each process do one piece of work and holds the second
until the strike, so that something is always in hand when it comes.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest

from audiocur.audio import Audio
from audiocur.engine.local import LocalEngine
from audiocur.engine.ray import RayEngine
from audiocur.errors import RunError
from audiocur.job import Job
from audiocur.op import Column, Decoder, Device, Encoder, ModelOp, Segmenter
from audiocur.pipeline import Pipeline
from audiocur.placement import Placement, Via
from audiocur.records import Clip, Span, Stored
from audiocur.run import run
from audiocur.store.ledger import read_ledger

pytestmark = pytest.mark.faults

RECORDINGS = 24
LIMIT_S = 150
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    # A dead node is known as such after 2 s, not 30.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What runs where, and what is done to it.

    Attributes:
        notes: a folder in which ops and the striker tell each other how far they are.
        nodes: worker nodes of a cluster, each with `cpus` and `gpus`; none: a local instance.
        actors: bounds of the model's pool, of `actor_cpus` each and `gpus`; none: there is no model.
        strikes: how many nodes are lost, or how many actors where there are none.
        dies_at: where every process of the model aborts: "load" or "batch", or "" for nowhere.
    """

    library: str
    output: str
    notes: str
    nodes: int = 2
    cpus: int = 3
    gpus: int = 0
    actors: Sequence[int] = ()
    actor_cpus: float = 0.5
    strikes: int = 0
    dies_at: str = ""


def wait_at_gate(notes: Path) -> None:
    """Hold the second piece of work of each process until the strike, and note down which process does so where."""
    first = notes / f"first-{os.getpid()}"
    if (notes / "struck").exists():
        return
    if not first.exists():
        first.touch()
        return
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():  # a process apart is no worker, and is not struck
        (notes / f"holds-{os.getpid()}").write_text(sys.modules["ray"].get_runtime_context().get_node_id())
    while not (notes / "struck").exists():
        time.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Tone(Decoder):
    """One span of 40 s a recording."""

    span_s: float = 40.0
    gate: str = ""

    def apply(self, span: Span) -> None:
        if self.gate:
            wait_at_gate(Path(self.gate))
        span.rate_hz, span.channels, span.expected_spans, span.start_sample = 1000, 1, 1, 0
        span.num_samples, span.last = 40_000, True
        span.audio = Audio(np.full((1, 40_000), 0.1, np.float32), 1000)


@dataclass(frozen=True, kw_only=True)
class Halves(Segmenter):
    def apply(self, span: Span) -> None:
        span.cut(0, span.num_samples // 2)
        span.cut(span.num_samples // 2, span.num_samples)


@dataclass(frozen=True, kw_only=True)
class Raw(Encoder):
    def measure(self, clip: Clip) -> dict[str, Any]:
        audio = clip.audio
        clip.store(Stored(audio.samples.tobytes(), "raw", audio.rate_hz, audio.channels, audio.num_samples))
        return {}


@dataclass(frozen=True, kw_only=True)
class Model(ModelOp):
    name = "model"
    writes = (Column("heard_s", pa.float64(), "s", "length of what the model heard"),)
    gate: str = ""
    dies_at: str = ""

    def load(self, device: Device) -> str:
        if self.dies_at == "load":
            os.abort()
        if self.gate:
            Path(self.gate, f"loaded-{os.getpid()}").touch()
        return "loaded"

    def prepare(self, clip: Clip) -> None:
        pass

    def measure_batch(self, clips: Sequence[Clip], model: str) -> list[dict[str, Any]]:
        if self.dies_at == "batch":
            os.abort()
        if self.gate:
            wait_at_gate(Path(self.gate))
        return [{"heard_s": clip.duration_s} for clip in clips]


def pipeline(scenario: Scenario) -> Pipeline:
    if not scenario.actors:
        return Tone(gate=scenario.notes) >> Halves() >> Raw()
    gate = "" if scenario.dies_at else scenario.notes
    ops = Tone() >> Halves() >> Raw() >> Model(gate=gate, dies_at=scenario.dies_at)
    where = Placement(via=Via.actor, cpus=scenario.actor_cpus, gpus=scenario.gpus, actors=list(scenario.actors))
    return Pipeline(ops.steps, {}, {"model": where})


# What runs in the process of its own.


class Cluster:
    """A head and worker nodes on this machine, each of which can be taken away."""

    def __init__(self, scenario: Scenario) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        store = {"object_store_memory": 100 << 20}
        # Nothing runs on the head, which cannot be taken away.
        head = {"num_cpus": 0, "include_dashboard": False, **store}
        self._cluster = RayCluster(initialize_head=True, head_node_args=head)
        self._nodes = [
            self._cluster.add_node(num_cpus=scenario.cpus, num_gpus=scenario.gpus, **store)
            for _ in range(scenario.nodes)
        ]
        self.address = self._cluster.address

    def remove(self, node_id: str) -> None:
        node = next(node for node in self._nodes if node.node_id == node_id)
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


def strike(scenario: Scenario, cluster: Cluster | None) -> None:
    """Wait until the processes concerned hold a second piece of work, take them or their nodes away, open the gate."""
    notes = Path(scenario.notes)
    enough = scenario.actors[0] if scenario.actors else 1
    while True:
        holds = {int(path.name.removeprefix("holds-")): path.read_text() for path in notes.glob("holds-*")}
        if len(holds) >= enough and all(holds.values()):
            break
        time.sleep(0.05)
    if cluster:
        for node in sorted(set(holds.values()))[: scenario.strikes]:
            cluster.remove(node)
    else:
        for pid in sorted(holds)[: scenario.strikes]:
            os.kill(pid, signal.SIGKILL)
    committed = len(list(Path(scenario.output).glob("ledger/part-*")))
    (notes / "struck").write_text(str(committed))


def main(scenario: Scenario) -> None:
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    cluster = Cluster(scenario) if scenario.nodes else None
    if scenario.strikes:
        threading.Thread(target=strike, args=(scenario, cluster), daemon=True).start()
    engine = RayEngine(address=cluster.address if cluster else None, cpus=2, object_store_mb=100)
    try:
        run(Job.of(pipeline(scenario), scenario.library, scenario.output, engine=engine))
    except RunError as error:
        sys.exit(f"RunError: {error}")
    finally:
        if cluster:
            cluster.shutdown()


# What runs in pytest.


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files whose size alone says 40 s, so that each is a block of its own."""
    folder = tmp_path_factory.mktemp("library")
    for number in range(RECORDINGS):
        path = folder / f"{number:02}.opus"
        path.touch()
        os.truncate(path, 40 * 14_000)
    return folder


@pytest.fixture
def scenario(library: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "notes").mkdir()
    return {"library": str(library), "output": str(tmp_path / "run"), "notes": str(tmp_path / "notes")}


@contextmanager
def short_folder() -> Iterator[str]:
    """For Ray's sockets, whose paths must be short."""
    folder = tempfile.mkdtemp(prefix="faults-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what was killed may still be ending


def play(scenario: Scenario) -> tuple[int, str]:
    """Run it in a process of its own; returns its exit status and what it said."""
    with short_folder() as folder:
        done = subprocess.run(
            [sys.executable, __file__, json.dumps(asdict(scenario))],
            env={**os.environ, **ENVIRONMENT, "RAY_TMPDIR": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S + 30,
        )
    return done.returncode, done.stdout


def rows(output: str | Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Clips and ledger of a run, in order."""
    clips = pyarrow.dataset.dataset(Path(output) / "clips", format="parquet").to_table().to_pylist()
    order = [("span_id", "ascending"), ("clip_id", "ascending")]
    return sorted(clips, key=lambda row: row["clip_id"]), read_ledger(output).sort_by(order).to_pylist()


def undisturbed(scenario: Scenario, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same run in this process, with nobody to strike."""
    notes = folder / "open"
    notes.mkdir()
    (notes / "struck").touch()
    alone = Scenario(**{**asdict(scenario), "notes": str(notes), "output": str(folder / "undisturbed")})
    run(Job.of(pipeline(alone), alone.library, alone.output, engine=LocalEngine()))
    return rows(alone.output)


def outlives(scenario: Scenario, folder: Path) -> None:
    """It ends by itself, was struck in mid-run, and holds what an undisturbed one does: each span exactly once."""
    status, said = play(scenario)
    assert status == 0, said
    assert 0 < int(Path(scenario.notes, "struck").read_text()) < RECORDINGS
    assert rows(scenario.output) == undisturbed(scenario, folder)


@pytest.mark.timeout(240)
def test_a_node_lost_under_tasks_costs_nothing_but_time(scenario, tmp_path):
    outlives(Scenario(**scenario, strikes=1), tmp_path)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("actors", [(2,), (1, 3)])
def test_actors_of_a_lost_node_are_made_up_elsewhere(scenario, tmp_path, actors):
    outlives(Scenario(**scenario, actors=actors, strikes=1), tmp_path)


@pytest.mark.timeout(240)
def test_a_pool_that_would_fill_what_is_left_of_the_cluster_goes_on_smaller(scenario, tmp_path):
    """Two actors of one CPU each, and two CPUs left: were both made up, no recording would ever be decoded again."""
    outlives(Scenario(**scenario, cpus=2, actors=(2,), actor_cpus=1, strikes=1), tmp_path)


@pytest.mark.timeout(240)
def test_losing_all_gpus_but_one_slows_the_run_and_never_ends_it(scenario, tmp_path):
    outlives(Scenario(**scenario, nodes=3, gpus=1, actors=(3,), strikes=2), tmp_path)


@pytest.mark.timeout(240)
def test_a_pool_of_actors_that_is_killed_is_replaced(scenario, tmp_path):
    outlives(Scenario(**scenario, nodes=0, actors=(2,), strikes=2), tmp_path)
    assert len(list(Path(scenario["notes"]).glob("loaded-*"))) > 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("dies_at", "where"), [("load", "load"), ("batch", "measure_batch")])
def test_actors_that_do_nothing_but_die_stop_the_run(scenario, dies_at, where):
    status, said = play(Scenario(**scenario, nodes=0, actors=(1,), dies_at=dies_at))
    assert status == 1, said
    assert "RunError: model: its actors keep dying (" in said
    assert "Fatal Python error: Aborted" in said
    assert f" in {where}" in said
    assert not list(Path(scenario["output"]).glob("ledger/part-*"))


if __name__ == "__main__":
    main(Scenario(**json.loads(sys.argv[1])))
