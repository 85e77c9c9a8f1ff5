"""Model ops as deployments of Ray Serve: replicas that are warm before the stream begins, called from its workers."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from audiocur.checkpoints import hashes
from audiocur.errors import ConfigError, RunError
from audiocur.extras import extra
from audiocur.models import Model, local_model
from audiocur.op import Measures
from audiocur.pipeline import Stage, Step
from audiocur.placement import Placement, Via
from audiocur.records import Clip
from audiocur.setup import set_up
from audiocur.store.recipe import describe, differences

if TYPE_CHECKING:
    from ray.serve import Application

#: One call is at the model while the clips of the next are decoded.
_ONGOING = 2
#: A replica that dies is started again and loads its model; so long are its calls tried on it and on others.
_TRIES, _WAIT_S = 8, 2.0
#: How often it is looked whether what is waited for still exists.
_LOOK_S = 10.0
_HEALTH: dict[str, Any] = {"health_check_period_s": 1, "health_check_timeout_s": 30}
#: What applications for one run alone are called by: of which driver they are.
_OWN = re.compile(r"audiocur-run-[0-9a-f]+-([0-9a-f]+)-.+")


@contextmanager
def deployed(stages: Sequence[Stage], scope: str) -> Iterator[None]:
    """The models that stages place on Serve, warm; what was started here ends here.

    Raises:
        ConfigError: an application that should be there is not, or has another model.
        RunError: a replica cannot be started.
    """
    steps = [(step, stage.placement) for stage in stages for step in served_steps(stage)]
    if not steps:
        yield
        return
    with extra("serve", f"placement.{steps[0][0].name}.via=serve"):
        from ray import serve
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # its import has just set it up
    own = [(step, where) for step, where in steps if not where.app]
    for step, where in steps:
        if where.app:
            _check_running(step, where.app)
    with ExitStack() as started:
        if own:
            serve.start(proxy_location="Disabled")
            _delete_abandoned()
        for step, where in own:
            name = _app(step, where, scope)
            started.callback(serve.delete, name)
            try:
                serve.run(deployment(step, where, scope), name=name, route_prefix=None)
            except RuntimeError as error:
                why = serve.status().applications[name].deployments[step.name].message
                raise RunError(f"{step.name}: its replicas cannot be started: {_cause(why or str(error))}") from error
        yield


def _delete_abandoned() -> None:
    """End what drivers served that were killed, and had no time to do so: their GPUs are wanted."""
    from ray import serve
    from ray._private.state import jobs

    alive = {job["JobID"] for job in jobs() if not job["IsDead"]}  # type: ignore[no-untyped-call]
    for name in serve.status().applications:
        its = _OWN.fullmatch(name)
        if its and its[1] not in alive:
            serve.delete(name)


def served_steps(stage: Stage) -> list[Step]:
    """The steps of a stage whose model is on Serve."""
    from audiocur.op import ModelOp

    return [step for step in stage.steps if stage.placement.via is Via.serve and isinstance(step.op, ModelOp)]


def served_models(stage: Stage, scope: str) -> Mapping[str, Model]:
    """What workers call for the stage's models."""
    where = stage.placement
    return {
        step.name: ServedModel(_app(step, where, scope), step.name, where.timeout_s) for step in served_steps(stage)
    }


def calls_at_once(where: Placement) -> int:
    """How many workers may call at once, so that nothing waits in front of a replica but what it can decode."""
    return where.actors[-1] * _ONGOING


def deployment(step: Step, where: Placement, scope: str) -> Application:
    """The deployment of one model op."""
    from ray import serve

    scaling: dict[str, Any] = {"num_replicas": where.actors[0]}
    if where.actors[0] < where.actors[-1]:
        bounds = {"min_replicas": where.actors[0], "max_replicas": where.actors[-1]}
        scaling = {"autoscaling_config": {**bounds, "target_ongoing_requests": 1}}
    actor: dict[str, Any] = {"num_cpus": where.cpus, "num_gpus": where.gpus}
    if where.world:
        actor["runtime_env"] = dict(where.world)
    made: Any = serve.deployment(
        Replica, name=step.name, ray_actor_options=actor, max_ongoing_requests=_ONGOING, **_HEALTH, **scaling
    )
    application: Application = made.bind(step, where, scope)
    return application


class Replica:
    """One model in a process of Serve's."""

    def __init__(self, step: Step, where: Placement, scope: str) -> None:
        set_up(where.setup, scope)
        self._described = _described(step)
        self._model = local_model(step, where)
        self._step, self._threads = step, where.threads
        self._turn = threading.Lock()

    def measure(self, clips: Sequence[Clip]) -> list[tuple[Measures, dict[str, Any]]]:
        """The columns and features of each clip in turn; one batch at a time, the next decoded meanwhile."""
        for clip in clips:
            self._model.prepare(clip)
        with self._turn, threadpool_limits(self._threads):
            results = self._model.measure(clips)
        return [(dict(result), clip.features) for result, clip in zip(results, clips, strict=True)]

    def described(self) -> dict[str, Any]:
        """The op as the recipe that started it has it, with the hashes of what it was loaded from."""
        return self._described


@dataclass(frozen=True)
class ServedModel(Model):
    """A deployment, as workers call it.

    Attributes:
        app, name: of the application and of the deployment in it.
        timeout_s: how long a call may take.
    """

    app: str
    name: str
    timeout_s: float

    def measure(self, clips: Sequence[Clip]) -> Sequence[Measures]:
        results = []
        for clip, (measures, features) in zip(clips, self._called(_bare(clips)), strict=True):
            clip.features.update(features)
            results.append(measures)
        return results

    def _called(self, clips: list[Clip]) -> Any:
        """What a replica answers; another is asked where one dies or is silent."""
        import ray
        from ray.serve.exceptions import RayServeException

        batch = ray.put(clips)  # more than a megabyte, mostly: the handle would copy it twice
        why, silent = "", 0
        for _ in range(_TRIES):
            try:
                return self._answer(batch)
            except ray.exceptions.RayTaskError as error:
                # The model's own error, as if it had been raised here.
                raise (error.cause if isinstance(error.cause, Exception) else RuntimeError(str(error))) from None
            except (ray.exceptions.RayActorError, RayServeException) as error:
                why = _cause(str(error))
            except TimeoutError:
                why, silent = f"no answer within {self.timeout_s:g} s (placement.{self.name}.timeout_s)", silent + 1
                if silent > 1:
                    break
            time.sleep(_WAIT_S)
        raise ReplicasLostError(f"{self.name}: its replicas do not answer any more: {why}")

    def _answer(self, batch: Any) -> Any:
        """One call; while it waits, it looks whether there is still somebody to wait for."""
        from ray import serve

        response = _handle(self.name, self.app).measure.remote(batch)
        deadline = time.monotonic() + self.timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                return response.result(timeout_s=min(left, _LOOK_S))
            except TimeoutError:
                if self.app not in serve.status().applications:
                    raise ReplicasLostError(f"{self.name}: the application {self.app} has ended") from None
        response.cancel()
        raise TimeoutError


@cache
def _handle(name: str, app: str) -> Any:
    """Found once a process: it keeps track of the replicas by itself."""
    from ray import serve

    return serve.get_deployment_handle(name, app)


class ReplicasLostError(RunError):
    """No replica answers any more: no fault of a clip, so the run stops, and can be resumed."""


def _bare(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with what a model may hear and read, and nothing decoded."""
    for clip in clips:
        clip.release()
    return list(clips)


def _app(step: Step, where: Placement, scope: str) -> str:
    return where.app or f"audiocur-run-{scope}-{step.name}"


def _check_running(step: Step, app: str) -> None:
    """Whether the application has this op, with these parameters."""
    from ray import serve

    running = serve.status().applications
    if app not in running:
        there = ", ".join(sorted(running)) or "none"
        raise ConfigError(f"placement.{step.name}.app={app}: expected an application that runs ({there})")
    if step.name not in running[app].deployments:
        there = ", ".join(sorted(running[app].deployments))
        raise ConfigError(f"placement.{step.name}.app={app}: expected one with a deployment {step.name} ({there})")
    its = serve.get_deployment_handle(step.name, app).described.remote().result(timeout_s=60)
    shown = "; ".join(differences({step.name: its}, {step.name: _described(step)}))
    if shown:
        raise ConfigError(f"placement.{step.name}.app={app}: it serves another {step.name} ({shown})")


def _described(step: Step) -> dict[str, Any]:
    return {**describe(step.op), "checkpoints": hashes(step.op)}


def _cause(text: str) -> str:
    """The error at the end of what Serve tells of a replica, its traceback included."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    named = [line for line in lines if "Error: " in line]
    return (named or lines)[-1]
