"""The engine on Ray Data: each stage one operator, each block of spans one batch, each commit one small row back."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import pickle
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from audiocur.block import work_through
from audiocur.engine.base import Engine
from audiocur.engine.cores import cores
from audiocur.engine.watch import watched
from audiocur.errors import ConfigError, RunError, require
from audiocur.isolation import Death
from audiocur.pipeline import Stage, Via
from audiocur.records import Span
from audiocur.store.commit import Committed, Committer

if TYPE_CHECKING:
    import ray.data

#: What Ray and the libraries below it read from the environment when a local instance starts.
_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # a loopback-only instance that ends with the run needs no token file
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_task_oom_retries": "1",  # by default for ever
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # One thread a worker: the workers are what fills the cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
#: Ray Data's read and utility tasks want whole CPUs of their own; with fewer logical ones a small machine hangs.
_LEAST_LOGICAL_CPUS = 4


@dataclass(frozen=True)
class RayEngine(Engine):
    """Runs stages as Ray Data operators, on a local instance or a cluster.

    Attributes:
        address: of a running cluster ("auto" finds one on this machine); default: RAY_ADDRESS, else a local instance
            that ends with the run.
        cpus: how many workers at once; default: as many as there are cores.
        object_store_mb: shared memory of a local instance.
    """

    address: str | None = None
    cpus: int | None = None
    object_store_mb: int = 512

    def __post_init__(self) -> None:
        require(self.cpus is None or self.cpus > 0, "cpus", self.cpus, "a number of workers, 1 or more")
        require(self.object_store_mb >= 80, "object_store_mb", self.object_store_mb, "MB, 80 or more")

    @contextmanager
    def started(self) -> Iterator[None]:
        """Connect to a cluster or start an instance, unless the caller has one already."""
        import ray

        if ray.is_initialized():
            yield
            return
        with _quiet(), _instance(self):
            yield

    @property
    def workers(self) -> int:
        """Cores, or what `cpus` says."""
        import ray

        if self.cpus is not None:
            return self.cpus
        if ray.is_initialized() and self._address:
            return max(1, int(sum(node.get("CPU", 0) for node in _nodes())))
        return cores()

    @property
    def _address(self) -> str | None:
        return self.address or os.environ.get("RAY_ADDRESS") or None

    def run(
        self,
        stages: Sequence[Stage],
        blocks: Sequence[Sequence[Span]],
        committer: Committer,
        *,
        careful: bool = False,
        watch: Callable[[], None] = lambda: None,
    ) -> Iterator[Committed | Death]:
        """Stream the blocks through Ray Data; see `Engine.run`."""
        import ray.data

        _check_room(stages)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = None  # a block of spans is committed as it was packed
        context.max_errored_blocks = -1  # only a worker's death gets here; what it held is found missing and done again
        if not blocks:
            return
        dataset: ray.data.Dataset = ray.data.from_arrow([_one_row(block) for block in blocks])
        for stage in stages:
            work = Work(stage, committer if stage.final else None, careful)
            dataset = self._add(dataset, work, len(blocks))
        yielded = False
        batches: Any = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        try:
            for batch in watched(batches, watch):
                for result in _rows(batch):
                    if isinstance(result, RunError):
                        raise result
                    yielded = True
                    yield result
        finally:
            batches.close()  # which ends what is still at work
            # Ray Data leaves its handles to the garbage collector; until then a restarted actor keeps its GPU.
            del batches, dataset
            gc.collect()
        if not yielded:
            _check_workers(stages)

    def _add(self, dataset: ray.data.Dataset, work: Work, blocks: int) -> ray.data.Dataset:
        import ray.data

        where = work.stage.placement
        options: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}
        options |= {"num_cpus": where.cpus, "num_gpus": where.gpus or None}
        call: Any = _work
        if where.via is Via.task:
            options["fn_kwargs"] = {"work": work}
            options["compute"] = ray.data.TaskPoolStrategy(size=min(self.workers, blocks))
            options["max_retries"] = 0  # what kills a worker must not do so again: it is done once more with care
        else:
            call = _Actor
            options["fn_constructor_kwargs"] = {"work": work}
            options["compute"] = ray.data.ActorPoolStrategy(min_size=where.actors[0], max_size=where.actors[-1])
            # A batch of an actor whose node is gone must not wait for that very actor: there may be no place for it.
            options |= {"max_restarts": -1, "max_task_retries": 0}
        with warnings.catch_warnings():
            # Retries have no named argument yet in this release of Ray, which is pinned.
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
            return dataset.map_batches(call, **options)


@dataclass(frozen=True)
class Work:
    """What a worker does with a block; see `work_through`."""

    stage: Stage
    committer: Committer | None
    careful: bool


def _work(batch: pa.Table, work: Work) -> pa.Table:
    """One block through one stage, in a worker.

    What ops raise is settled within `run_stage`; whatever still gets out (a full disk, a bug of ours) must stop the
    run, and goes to the driver as a row, because Ray would drop the block and go on.
    """
    rows = _rows(batch)
    failure = next((row for row in rows if isinstance(row, RunError)), None)
    if failure is not None:
        return _one_row([failure])
    try:
        return _one_row(work_through(rows, work.stage, work.committer, careful=work.careful, watchdog=True))
    except Exception as error:
        return _one_row([error if isinstance(error, RunError) else RunError(f"{type(error).__name__}: {error}")])


class _Actor:
    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, batch: pa.Table) -> pa.Table:
        return _work(batch, self.work)


def _one_row(rows: Sequence[object]) -> pa.Table:
    """A block as one value that Ray never looks into: no span and no block can be torn, and none are put together."""
    return pa.table({"block": pa.array([pickle.dumps(list(rows), protocol=5)], pa.binary())})


def _rows(batch: pa.Table) -> list[Any]:
    return [row for block in batch.column("block").to_pylist() for row in pickle.loads(block)]


def _nodes() -> list[dict[str, float]]:
    """What each node of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _check_workers(stages: Sequence[Stage]) -> None:
    """When no block came through at all: can a worker so much as load the ops?"""
    import ray

    try:
        ray.get(ray.remote(_loaded).options(num_cpus=0, max_retries=0).remote(tuple(stages)))
    except ray.exceptions.RayError as error:
        raise RunError(f"workers cannot load the ops: {str(error).strip().splitlines()[-1]}") from error


def _loaded(stages: Sequence[Stage]) -> str:
    return ", ".join(stage.names for stage in stages)


def _check_room(stages: Sequence[Stage]) -> None:
    """Refuse a placement that no node can take, where Ray would wait for ever."""
    nodes = _nodes()
    for stage in stages:
        where = stage.placement
        if not any(node.get("CPU", 0) >= where.cpus and node.get("GPU", 0) >= where.gpus for node in nodes):
            raise ConfigError(f"placement.{stage.steps[0].name}: {where.where}: no node has that much")
    needed = sum(s.placement.cpus * s.placement.actors[0] for s in stages if s.placement.via is Via.actor)
    needed += max((s.placement.cpus for s in stages if s.placement.via is Via.task), default=0)
    available = sum(node.get("CPU", 0) for node in nodes)
    if needed > available:
        raise ConfigError(
            f"placement: actors and one task at a time need {needed:g} CPUs, the cluster has {available:g}"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's own log lines stay in its files; ours are what the user reads."""
    importlib.import_module("ray.data")  # sets its loggers up, so that what follows holds
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _search_path() -> str:
    """Where workers find modules: as this process does, so that they can load a user's own ops."""
    return os.pathsep.join(filter(None, sys.path))


def _session_folder() -> str:
    """A new folder for Ray's sockets and logs, whose path is short enough: the kernel takes 107 bytes for a socket."""
    room = 107 - len("/audiocur-12345678/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
    bases = [base for base in (tempfile.gettempdir(), "/tmp", "/var/tmp") if len(os.fsencode(base)) <= room]
    return tempfile.mkdtemp(prefix="audiocur-", dir=next(base for base in bases if os.access(base, os.W_OK)))


@contextmanager
def _instance(engine: RayEngine) -> Iterator[None]:
    """Connect to the cluster, or start an instance of our own that leaves no process and no file behind."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    address = engine._address
    if address:
        try:
            ray.init(address=address, runtime_env={"env_vars": {"PYTHONPATH": _search_path()}}, **quiet)
        except ConnectionError as error:
            raise ConfigError(f"address={address}: expected a running Ray cluster ({error})") from error
        try:
            yield
        finally:
            ray.shutdown()
        return
    folder = _session_folder()
    environment = _ENVIRONMENT | {"PYTHONPATH": _search_path()}
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        ray.init(
            address="local",
            num_cpus=max(_LEAST_LOGICAL_CPUS, engine.workers),
            object_store_memory=engine.object_store_mb << 20,
            include_dashboard=False,
            _temp_dir=folder,
            **quiet,
        )
        yield
    finally:
        ray.shutdown()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        shutil.rmtree(folder, ignore_errors=True)  # a process that is still ending may hold a log file
