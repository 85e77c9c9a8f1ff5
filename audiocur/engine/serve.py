"""Model ops as deployments of Ray Serve: replicas that are warm before the stream begins, called from its workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from audiocur.errors import ConfigError, RunError
from audiocur.extras import extra
from audiocur.models import Model, local_model
from audiocur.op import Measures
from audiocur.pipeline import Stage, Step
from audiocur.placement import Placement, Via
from audiocur.records import Clip
from audiocur.setup import set_up
from audiocur.store.recipe import describe

if TYPE_CHECKING:
    from ray.serve import Application

#: One call is at the model while the clips of the next are decoded.
_ONGOING = 2
#: A replica that dies is started again and loads its model; so long are its calls tried on it and on others.
_TRIES, _WAIT_S = 8, 2.0
_HEALTH: dict[str, Any] = {"health_check_period_s": 1, "health_check_timeout_s": 30}
_PREFIX = "audiocur"


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
    own = [(step, where) for step, where in steps if not where.app]
    try:
        logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # its import has just set it up
        for step, where in steps:
            if where.app:
                _check_running(step, where.app)
        if own:
            serve.start(proxy_location="Disabled")
        for step, where in own:
            try:
                serve.run(deployment(step, where, scope), name=_app(step, where, scope), route_prefix=None)
            except RuntimeError as error:
                why = serve.status().applications[_app(step, where, scope)].deployments[step.name].message
                raise RunError(f"{step.name}: its replicas cannot be started: {_cause(why or str(error))}") from error
        yield
    finally:
        for step, where in own:
            serve.delete(_app(step, where, scope))


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
        """The op, as the recipe that started it has it."""
        return describe(self._step.op)


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
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

        batch = ray.put(clips)  # more than a megabyte, mostly: the handle would copy it twice
        gone = (DeploymentUnavailableError, ReplicaUnavailableError, BackPressureError)
        for tried in range(1, _TRIES + 1):
            try:
                return _handle(self.name, self.app).measure.remote(batch).result(timeout_s=self.timeout_s)
            except (ray.exceptions.RayActorError, *gone, TimeoutError) as error:
                if tried == _TRIES:
                    raise ReplicasLostError(f"{self.name}: no replica answered {_TRIES} calls: {error}") from error
            time.sleep(_WAIT_S)
        raise AssertionError


@cache
def _handle(name: str, app: str) -> Any:
    """Found once a process: it keeps track of the replicas by itself."""
    from ray import serve

    return serve.get_deployment_handle(name, app)


class ReplicasLostError(RuntimeError):
    """No replica answers any more."""


def _bare(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with what a model may hear and read, and nothing decoded."""
    for clip in clips:
        clip.release()
    return list(clips)


def _app(step: Step, where: Placement, scope: str) -> str:
    return where.app or f"{_PREFIX}-{scope}-{step.name}"


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
    if its != describe(step.op):
        from audiocur.store.recipe import differences

        shown = "; ".join(differences({step.name: its}, {step.name: describe(step.op)}))
        raise ConfigError(f"placement.{step.name}.app={app}: it serves another {step.name} ({shown})")


def _cause(text: str) -> str:
    """The error at the end of what Serve tells of a replica, its traceback included."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    named = [line for line in lines if "Error: " in line]
    return (named or lines)[-1]
