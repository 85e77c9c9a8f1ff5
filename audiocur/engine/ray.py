"""The engine on Ray Data: each stage one operator, each block of spans one batch, each commit one small row back."""

from __future__ import annotations

import gc
import importlib
import math
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from audiocur.engine import metrics, twin
from audiocur.engine.base import Engine
from audiocur.engine.cores import cores
from audiocur.engine.deaths import ActorsDyingError, Deaths
from audiocur.engine.instance import instance, quiet
from audiocur.engine.memory import available_bytes, workers_that_fit
from audiocur.engine.room import NodesLostError, Room, available_cpus, check_room, fitted, pools_cpus
from audiocur.engine.serve import calls_at_once, deployed, served_models
from audiocur.engine.watch import watched
from audiocur.engine.work import Actor, Work, loaded, one_row, rows_of, work_through_block
from audiocur.errors import RunError, require
from audiocur.isolation import Death
from audiocur.pipeline import Pipeline, Stage
from audiocur.placement import Via
from audiocur.records import Span
from audiocur.store.commit import Committed, Committer

if TYPE_CHECKING:
    import ray.data


#: Longer than any block takes, a slow model on a CPU included; a cluster that gives no sign for so long ends the run.
_PATIENCE_S = 6 * 3600
#: With fewer a small machine hangs, where pools or services stand beside tasks: each waits for a whole CPU.
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

    def load(self, stages: Sequence[Stage]) -> None:
        """Ray Data; where its workers are forked, a twin of this process stays to do so."""
        if not self._address and _plain_tasks(stages) and twin.can_split():
            twin.split()
        for name in ("ray.data",) if self._address else ("ray.data", "audiocur.engine.lean"):
            importlib.import_module(name)

    @contextmanager
    def started(self, stages: Sequence[Stage]) -> Iterator[None]:
        """Connect to a cluster or start an instance, unless the caller has one already; then what stages serve."""
        import ray

        with ExitStack() as stack:
            stack.enter_context(quiet())
            if not ray.is_initialized():
                stack.enter_context(self._instance(stages))
            check_room(stages)
            stack.enter_context(deployed(fitted(stages), _scope()))
            yield

    def _instance(self, stages: Sequence[Stage]) -> AbstractContextManager[None]:
        if _plain_tasks(stages):
            return instance(self._address, self.workers, self.object_store_mb, worlds=False)
        # Pools share the cores of a small machine with the other workers, rather than be refused.
        cpus = max(_LEAST_LOGICAL_CPUS, self.workers + math.ceil(pools_cpus(stages)))
        return instance(self._address, cpus, self.object_store_mb, worlds=True)

    @property
    def workers(self) -> int:
        """Cores, or what `cpus` says."""
        import ray

        if self.cpus is not None:
            return self.cpus
        if ray.is_initialized() and self._address:
            return max(1, int(available_cpus()))
        return cores()

    def metered(self) -> Callable[[Committed], None]:
        """Ray's own exporters have them, where the cluster gathers any."""
        return metrics.count

    def sized(self, pipeline: Pipeline, sources: int) -> Engine:
        """As many workers as this machine has memory for; those of a cluster are the cluster's to mind."""
        span_mb = pipeline.span_mb
        if self._address or span_mb is None:
            return self
        workers = workers_that_fit(
            self.workers,
            available=available_bytes(),
            span_mb=span_mb,
            sources=sources,
            object_store_mb=self.object_store_mb,
            whole=pipeline.cuts_nothing,
        )
        return replace(self, cpus=workers)

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
        left, seen = [*blocks], set[str]()
        while left:
            try:
                for row in self._stream(fitted(stages), left, committer, careful=careful, watch=watch):
                    seen |= {row.span_id} if isinstance(row, Death) else {span.span_id for span in row.spans}
                    yield row
                return
            except ActorsDyingError as error:
                raise RunError(f"{error}: {self._last_words(stages, blocks[-1][0], committer)}") from None
            except NodesLostError:
                # A block that was committed unheard is committed again under the same name.
                left = [block for block in left if not any(span.span_id in seen for span in block)]

    def _last_words(self, stages: Sequence[Stage], span: Span, committer: Committer) -> str:
        """How one span ends a process of its own, as a task, for actors die unheard; nothing is committed."""
        alone = [replace(stage, placement=replace(stage.placement, via=Via.task), final=False) for stage in stages]
        try:
            for row in self._stream(alone, [[span]], committer, careful=True):
                if isinstance(row, Death):
                    return f"{row.how}\n{row.trace}"
        except RunError as error:
            return str(error)
        return "a single recording came through"

    def _stream(
        self,
        stages: Sequence[Stage],
        blocks: Sequence[Sequence[Span]],
        committer: Committer,
        *,
        careful: bool = False,
        watch: Callable[[], None] = lambda: None,
    ) -> Iterator[Committed | Death]:
        import ray.data

        # Ray Data leaves its handles to the garbage collector; until then actors of the stream before keep their place.
        gc.collect()
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = _PATIENCE_S
        context.target_max_block_size = None  # a block of spans is committed as it was packed
        context.max_errored_blocks = -1  # only a worker's death gets here; what it held is found missing and done again
        if not careful:
            self._warm_up(stages[0], len(blocks))
        dataset: ray.data.Dataset = ray.data.from_arrow([one_row(block) for block in blocks])
        for stage in stages:
            served = served_models(stage, _scope())
            work = Work(stage, committer if stage.final else None, careful, _scope(), served)
            dataset = self._add(dataset, work, len(blocks))
        yielded = False
        results = _results(dataset)
        deaths, room = Deaths(stages), Room(stages)

        def look() -> None:
            watch()
            deaths.look()
            room.look()

        try:
            for rows in watched(results, look):
                deaths.came_through()
                for result in rows:
                    if isinstance(result, RunError):
                        raise result
                    yielded = True
                    yield result
        except (ray.exceptions.RayError, ray.data.exceptions.ExecutionTimeoutError) as error:
            raise RunError(f"Ray gave up: {str(error).strip().splitlines()[-1]}") from error
        finally:
            results.close()  # which ends what is still at work
        if not yielded:
            _check_workers(stages)

    def _warm_up(self, stage: Stage, blocks: int) -> None:
        """Have workers load the ops while Ray Data gets itself ready: each of the two takes seconds."""
        import ray

        if stage.placement.via is Via.task:
            load = ray.remote(loaded).options(num_cpus=stage.placement.cpus, max_retries=0)
            for _ in range(min(self.workers, blocks)):
                load.remote(_pickled(stage))  # whatever comes of it: a worker that cannot load them is met with again

    def _add(self, dataset: ray.data.Dataset, work: Work, blocks: int) -> ray.data.Dataset:
        import ray.data

        where = work.stage.placement
        options: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}
        if where.via is not Via.serve:
            options |= {"num_cpus": where.cpus, "num_gpus": where.gpus or None}
            options |= {"runtime_env": dict(where.world)} if where.world else {}
        call: Any = work_through_block
        if where.via is not Via.actor:
            options["fn_kwargs"] = {"work": work}
            size = self.workers if where.via is Via.task else calls_at_once(where)
            options["compute"] = ray.data.TaskPoolStrategy(size=min(size, blocks))
            options |= {} if where.via is Via.task else {"num_cpus": 0}  # it waits for others
            options["max_retries"] = 0  # what kills a worker must not do so again: it is done once more with care
        else:
            call = type(work.stage.label, (Actor,), {})  # by which its actors are known to Ray
            options["fn_constructor_kwargs"] = {"work": work}
            least, most = (min(size, blocks) for size in (where.actors[0], where.actors[-1]))
            options["compute"] = ray.data.ActorPoolStrategy(min_size=least, max_size=most)
            # A batch of an actor whose node is gone must not wait for that very actor: there may be no place for it.
            options |= {"max_restarts": -1, "max_task_retries": 0}
        with warnings.catch_warnings():
            # Retries have no named argument yet in this release of Ray, which is pinned.
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
            return dataset.map_batches(call, **options)


def _plain_tasks(stages: Sequence[Stage]) -> bool:
    """Whether all that is asked for is a core each."""
    where = [stage.placement for stage in stages]
    return all(each.via is Via.task and each.cpus <= 1 and not each.world for each in where)


def _results(dataset: ray.data.Dataset) -> Generator[list[Any], None, None]:
    """What comes through, block by block.

    Waiting for it is a loop of Python, as `watched` needs it; in `Dataset.iter_batches` it is not, after the first.
    """
    import ray

    for bundle in dataset.iter_internal_ref_bundles():
        for block in bundle.blocks:
            try:
                table = ray.get(block.ref)
            except ray.exceptions.ObjectLostError:
                continue  # with its node; the ledger has what was committed
            yield rows_of(table)


def _check_workers(stages: Sequence[Stage]) -> None:
    """When no block came through at all: can a worker so much as load the ops?"""
    import ray

    try:
        ray.get(ray.remote(loaded).options(num_cpus=0, max_retries=0).remote(_pickled(stages)))
    except ray.exceptions.RayError as error:
        raise RunError(f"workers cannot load the ops: {str(error).strip().splitlines()[-1]}") from error


def _pickled(stages: Stage | Sequence[Stage]) -> bytes:
    """With the ops of a notebook, whose classes a worker could not import."""
    import ray.cloudpickle

    pickled: bytes = ray.cloudpickle.dumps(stages)  # type: ignore[no-untyped-call]
    return pickled


def _scope() -> str:
    """What tells the work of this driver from that of others on the cluster."""
    import ray

    context = ray.get_runtime_context()
    return f"{context.get_node_id()[:8]}-{context.get_job_id()}"
