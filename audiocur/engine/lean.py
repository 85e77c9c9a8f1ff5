"""An instance of Ray's for one run on one machine: without what only serves a cluster, or those who watch one.

As Ray comes, seven processes that each import it, and take 3.8 CPU-seconds and 540 MB, start beside the workers: a
dashboard that nobody opens, an autoscaler that can start no machine, a reader of logs that nobody is shown, an agent
of the dashboard, one that makes environments for workers, and two actors that count for the first two. What is left
out here has no setting in Ray, so its own names are replaced, as long as the instance is there; the release of Ray is
pinned, and a name that is gone is an error.

On Linux, where no op wants an environment of its own, workers are forked from what another process has loaded: see
`processes/worker.py`.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
from ray import _raylet
from ray._private import node, ray_constants, services, utils
from ray.data._internal.cluster_autoscaler import ClusterAutoscaler
from ray.data._internal.execution import streaming_executor
from ray.data._internal.execution.interfaces import ExecutionResources
from ray.data._internal.stats import _StatsManager
from ray.data.context import DataContext

from audiocur.engine import twin

_compiled: Any = _raylet  # of which type checkers see little
#: The ports on which each agent would listen, which Ray waits to be told.
_PORTS = {
    ray_constants.PROCESS_TYPE_DASHBOARD_AGENT: (
        _compiled.METRICS_AGENT_PORT_NAME,
        _compiled.METRICS_EXPORT_PORT_NAME,
        _compiled.DASHBOARD_AGENT_LISTEN_PORT_NAME,
    ),
    ray_constants.PROCESS_TYPE_RUNTIME_ENV_AGENT: (_compiled.RUNTIME_ENV_AGENT_PORT_NAME,),
}
_NO_SERVICE = -1
_STAND_IN, _WORKER = (Path(__file__).with_name("processes") / name for name in ("stand_in.py", "worker.py"))


@contextmanager
def lean(*, worlds: bool) -> Iterator[None]:
    """Within it, an instance is started, and Ray Data runs, without what one run on one machine has no use for.

    Args:
        worlds: workers may want an environment of their own, which an agent of Ray's makes.
    """
    agents = {ray_constants.PROCESS_TYPE_DASHBOARD_AGENT}
    if not worlds:
        agents.add(ray_constants.PROCESS_TYPE_RUNTIME_ENV_AGENT)
    as_it_comes = services._build_python_executable_command_memory_profileable

    def command(component: str, *args: Any, **kwargs: Any) -> list[str]:
        if component in agents:
            return [sys.executable, "-I", "-S", str(_STAND_IN)]
        return list(as_it_comes(component, *args, **kwargs))

    class Node(_Node):
        def start_raylet(self, *args: Any, **kwargs: Any) -> None:
            for agent in agents:
                for port in _PORTS[agent]:
                    _compiled.persist_port(self._session_dir, self._node_id, port, _NO_SERVICE)
            if not worlds and sys.platform == "linux":
                self._ray_params.worker_path = str(_WORKER)
                twin.ask_at(Path(self.raylet_socket_name).parent)
            super().start_raylet(*args, **kwargs)

    with ExitStack() as stack:
        stack.enter_context(twin.forking())
        for where, name, new in (
            (node, "Node", Node),
            (services, as_it_comes.__name__, command),
            (services, "ConsolePopen", _Apart if sys.platform == "linux" else services.ConsolePopen),
            # Whether there could be a dashboard: a quarter of a second goes into finding out.
            (utils, "get_dashboard_dependency_error", lambda: ImportError("audiocur starts no dashboard")),
            (streaming_executor, "create_cluster_autoscaler", _OneMachine),
            # Which ask the dashboard about slow tasks, and count executions, of which each dataset here has one.
            (DataContext, "execution_callback_classes", []),
            (_StatsManager, "gen_dataset_id_from_stats_actor", lambda: uuid.uuid4().hex),
            (_StatsManager, "register_dataset_to_stats_actor", _nobody_asks),
            (_StatsManager, "update_execution_metrics", _nobody_asks),
            (_StatsManager, "update_iteration_metrics", _nobody_asks),
        ):
            stack.enter_context(_replaced(where, name, new))
        # Ray's own would load the dashboard's client, in each worker too.
        no_detectors: Any = SimpleNamespace(detectors=[], hash_shuffle_detector_config=SimpleNamespace())
        before = DataContext._set_current(DataContext(issue_detectors_config=no_detectors))
        try:
            yield
        finally:
            DataContext._set_current(before)


@contextmanager
def _replaced(where: Any, name: str, new: Any) -> Iterator[None]:
    before = vars(where)[name]
    setattr(where, name, new)
    try:
        yield
    finally:
        setattr(where, name, before)


class _Node(node.Node):
    """The servers that this run needs: the one that knows of all workers, and the one that starts them."""

    def start_monitor(self) -> None:
        """No autoscaler."""

    def start_api_server(self, **kwargs: Any) -> None:
        """No dashboard."""
        self._webui_url = ""

    def start_log_monitor(self) -> None:
        """No reader of logs."""


class _Apart(services.ConsolePopen):
    """A process of Ray's that signals to the command's process group do not end: the command does so itself.

    If the command is killed, the kernel does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, process_group=0)


class _OneMachine(ClusterAutoscaler):
    """Ray Data may use the whole machine, and there is no other to ask for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def try_trigger_scaling(self) -> None:
        """Nothing to start."""

    def on_executor_shutdown(self) -> None:
        """Nothing to give back."""

    def get_total_resources(self) -> ExecutionResources:
        """All there is."""
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        resources: ExecutionResources = ExecutionResources.from_resource_dict(there)
        return resources


def _nobody_asks(*args: Any, **kwargs: Any) -> None:
    """Where Ray Data would tell its figures to an actor, for the dashboard."""
