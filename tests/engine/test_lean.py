"""An instance of one's own is the servers and the workers of one run, and what was replaced in Ray is put back."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import ray
import ray._private.node
import ray.util
from ray.data import DataContext

from audiocur.engine.processes import stand_in, worker
from audiocur.engine.ray import RayEngine
from audiocur.placement import Via
from tests.engine.instances import descendants, drawn, in_workers, stages

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")


def kind(command: str) -> str:
    first, *others = command.split() or [""]
    for script in (stand_in, worker):
        if script.__file__ in others[:3]:
            return Path(script.__file__).name
    return "ray::" if first.startswith("ray::") else Path(first).name


def test_only_servers_and_workers_run():
    with RayEngine(cpus=2).started(stages()):
        assert len({*in_workers(os.getpid)}) == 2
        twin()  # and none that is still starting
        kinds = Counter(map(kind, descendants(os.getpid()).values()))
        assert ray.cluster_resources()["CPU"] == 2
    assert 2 <= kinds.pop("ray::") <= 3  # Ray may start another before the first two are there
    assert kinds == {"gcs_server": 1, "raylet": 1, "stand_in.py": 2, "worker.py": 1}


def twin() -> int:
    """The process that forks workers; one that Ray starts beside those asked for looks like it for a moment."""
    deadline = time.monotonic() + 20
    while True:
        pids = [pid for pid, command in descendants(os.getpid()).items() if kind(command) == "worker.py"]
        if len(pids) == 1 or time.monotonic() > deadline:
            (pid,) = pids
            return pid
        time.sleep(0.05)


def test_a_worker_is_forked_from_what_another_has_loaded():
    def loaded() -> tuple[int, int, bool, bool]:
        signals = signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL and os.getpgid(0) == os.getpid()
        return os.getppid(), os.getpid(), signals, gc.get_freeze_count() > 10_000 and gc.isenabled()

    with RayEngine(cpus=3).started(stages()):
        parents, pids, alone, frozen = zip(*in_workers(loaded, 3), strict=True)
        assert parents.count(twin()) == 2
        assert {*alone, *frozen} == {True}
        os.kill(pids[parents.index(twin())], signal.SIGKILL)
        parents, others, _, _ = zip(*in_workers(loaded, 3), strict=True)
        assert (len({*others} - {*pids}), parents.count(twin())) == (1, 2)


def test_what_workers_draw_is_their_own():
    with RayEngine(cpus=3).started(stages()):
        here, there, elsewhere = in_workers(drawn, 3)
    assert all(len({*one}) == 3 for one in zip(here, there, elsewhere, strict=True))


@pytest.mark.parametrize("which", [min, max])
def test_a_worker_that_is_killed_while_it_starts_is_replaced(which):
    code = (
        "import time, ray\n"
        "from audiocur.engine.instance import instance\n"
        "with instance(None, 2, 100, worlds=False):\n"
        "    print(ray.get([ray.remote(lambda n: time.sleep(1) or n).remote(n) for n in (1, 2)]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        give_up, starting = time.monotonic() + 60, []
        while len(starting) < 2:  # the first loads for longer than it takes the second to start
            assert time.monotonic() < give_up
            time.sleep(0.002)
            starting = [pid for pid, command in descendants(process.pid).items() if kind(command) == "worker.py"]
        os.kill(which(starting), signal.SIGKILL)
        try:
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert said == "[1, 2]\n"


def test_workers_start_by_themselves_where_nobody_forks_them():
    with RayEngine(cpus=2).started(stages()):
        assert in_workers(os.getppid).count(twin()) == 1
        os.kill(gone := twin(), signal.SIGKILL)
        for pid in in_workers(os.getpid):
            os.kill(pid, signal.SIGKILL)
        assert gone not in in_workers(os.getppid)
        kinds = [kind(each) for each in descendants(os.getpid()).values()]
    assert "worker.py" not in kinds


def test_nothing_of_them_is_left():
    with RayEngine(cpus=2).started(stages()):
        in_workers(os.getpid)
        processes = descendants(os.getpid())
    give_up = time.monotonic() + 10
    while left := [pid for pid in processes if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < give_up, [processes[pid] for pid in left]
        time.sleep(0.1)


def test_where_a_worker_wants_a_world_the_agent_that_makes_it_runs():
    with RayEngine(cpus=2).started(stages(via=Via.actor, env={"AUDIOCUR_HERE": "1"})):
        options = {"num_cpus": 0, "runtime_env": {"env_vars": {"AUDIOCUR_HERE": "1"}}}
        assert ray.get(ray.remote(lambda: os.environ["AUDIOCUR_HERE"]).options(**options).remote()) == "1"
        commands = list(descendants(os.getpid()).values())
    kinds = [kind(each) for each in commands]
    assert kinds.count("stand_in.py") == 1
    assert sum(each.startswith("ray::RuntimeEnvAgent") for each in commands) == 1


def test_a_run_starts_no_actor_of_rays():
    with RayEngine(cpus=1).started(stages()):
        rows = ray.data.from_items([1, 2, 3]).map_batches(lambda batch: batch).take_all()
        assert sorted(row["item"] for row in rows) == [1, 2, 3]
        assert ray.util.list_named_actors(all_namespaces=True) == []


def test_ray_is_as_it_was_afterwards():
    node, context = ray._private.node.Node, DataContext.get_current()
    classes = context.execution_callback_classes
    with RayEngine(cpus=1).started(stages()):
        assert ray._private.node.Node is not node
        assert DataContext.get_current() is not context
    assert ray._private.node.Node is node
    assert DataContext.get_current() is context
    assert context.execution_callback_classes == classes != []


def test_a_stand_in_ends_when_ray_is_killed():
    command = (
        "import os, subprocess, sys; os.environ['RAY_RAYLET_PID'] = str(os.getpid());"
        f"print(subprocess.Popen([sys.executable, {stand_in.__file__!r}]).pid, flush=True); input()"
    )
    ray_in_its_place = subprocess.Popen(
        [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with ray_in_its_place:
        pid = int(ray_in_its_place.stdout.readline())
        assert stand_in.__file__ in Path(f"/proc/{pid}/cmdline").read_text()
        ray_in_its_place.send_signal(signal.SIGKILL)
    give_up = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.1)
