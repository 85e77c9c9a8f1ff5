"""`audiocur serve`: a recipe behind an HTTP API, as one application of Ray Serve.

Each model op is a deployment under its own name, so that a run may use it too. Ops without a model share the workers
of a deployment of theirs: a recording that crashes a decoder takes one of them down and no more. The front takes
requests in, hands them from one to the next, and puts clips of several requests together for each model.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from audiocur.build import build
from audiocur.checkpoints import require_all
from audiocur.engine import answers
from audiocur.engine.cores import cores
from audiocur.engine.front import Front, Worker, placement, stage_of
from audiocur.engine.ray import RayEngine
from audiocur.engine.serve import deployment
from audiocur.errors import ConfigError, RunError, require
from audiocur.extras import extra
from audiocur.job import Job
from audiocur.op import ModelOp
from audiocur.pipeline import Pipeline, Stage
from audiocur.placement import Via

if TYPE_CHECKING:
    from ray.serve import Application

_PREFIX = "serve."
#: Of the deployments that are no model; no op may have these names.
FRONT, WORKERS = "audiocur", "pipeline"
_QUIET = {"log_level": "WARNING", "enable_access_log": False}


@dataclass(frozen=True, kw_only=True)
class Api:
    """How a recipe is served: the words ``serve.*`` of the command line.

    Attributes:
        host, port: where it listens; port 0 takes one that is free.
        name: of the application, by which a run finds its models (``placement.asr.app=``).
        workers: processes that decode and measure; default: as engine.cpus says, else one a core of this machine.
        max_upload_mb: of one recording.
        max_s: longest recording, which is one clip.
        waiting: requests that may wait for their turn; more are told to come again.
        waiting_mb: of uploads at once, those at work included.
        timeout_s: how long a request may take, from its first byte to the answer.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    name: str = "audiocur"
    workers: int | None = None
    max_upload_mb: int = 100
    max_s: float = 600.0
    waiting: int = 256
    waiting_mb: int = 1000
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        require(bool(self.host), "host", self.host, "a name or address of this machine")
        require(0 <= self.port <= 65_535, "port", self.port, "1 to 65535, or 0 for any that is free")
        require(bool(self.name), "name", self.name, "a name")
        require(self.workers is None or self.workers > 0, "workers", self.workers, "a number of processes, 1 or more")
        require(self.max_upload_mb > 0, "max_upload_mb", self.max_upload_mb, "MB, 1 or more")
        require(self.max_s >= 1, "max_s", self.max_s, "seconds, 1 or more")
        require(self.waiting > 0, "waiting", self.waiting, "a number of requests, 1 or more")
        enough = self.waiting_mb >= self.max_upload_mb
        require(enough, "waiting_mb", self.waiting_mb, f"at least max_upload_mb, {self.max_upload_mb}")
        require(self.timeout_s > 0, "timeout_s", self.timeout_s, "seconds, above 0")


def api_of(words: Sequence[str]) -> tuple[Api, list[str]]:
    """The words ``serve.*`` as they are meant, and the others.

    Raises:
        ConfigError: one of them cannot be.

    >>> api_of(["serve.port=9000", "asr=none"])[0].port
    9000
    """
    own: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key.startswith(_PREFIX):
            continue
        if not equals or key.removeprefix(_PREFIX) in own:
            raise ConfigError(f"{word}: expected {key}=value, once")
        own[key.removeprefix(_PREFIX)] = value
    return build(Api, "serve", {}, own), [word for word in words if not word.startswith(_PREFIX)]


@contextmanager
def served(job: Job, api: Api) -> Iterator[str]:
    """The recipe's ops behind HTTP, as long as the context lasts; gives the address.

    Raises:
        ConfigError: a checkpoint or package is missing, the port is taken, or there is no room.
        RunError: a replica cannot be started.
    """
    with extra("serve", "audiocur serve"):
        import fastapi  # noqa: F401 - needed in replicas
        import python_multipart  # noqa: F401
        from ray import serve
    pipeline = answers.of_one_clip(job.pipeline, api.max_s)
    _require_one_world(pipeline)
    require_all(pipeline)
    engine = _engine(job, api, pipeline)
    joins = _joins(engine)
    port = api.port if api.port and joins else _free_port(api)
    with engine.started(_stages(pipeline)), _quiet():
        before = serve.status()
        if api.name in before.applications:
            raise ConfigError(f"serve.name={api.name}: an application of that name runs there already")
        address = f"http://{f'[{api.host}]' if ':' in api.host else api.host}:{port}"
        try:
            _start(_application(pipeline, api, engine.cpus or cores()), api, port)
            _require_answer(address)
            yield address
        finally:
            if joins and not (before.applications or before.proxies):
                serve.shutdown()  # type: ignore[no-untyped-call]
            else:  # an instance of our own ends with all that is in it
                serve.delete(api.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """What Serve has to say of its start stays in its files."""
    logger = logging.getLogger("ray.serve")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def ops_served(job: Job) -> Sequence[str]:
    """The names of the ops, models marked, for the line that is printed."""
    return [f"{step.name} (model)" if isinstance(step.op, ModelOp) else step.name for step in job.pipeline.steps]


def _engine(job: Job, api: Api, pipeline: Pipeline) -> RayEngine:
    """The engine, with as many workers as there is memory for."""
    if not isinstance(job.engine, RayEngine):
        raise ConfigError("engine: audiocur serve runs on Ray Serve; expected engine=ray")
    engine = replace(job.engine, cpus=api.workers or job.engine.cpus or cores()).sized(pipeline, 1)
    if not isinstance(engine, RayEngine):
        raise TypeError(f"{engine!r}: expected a Ray engine to stay one")
    return engine


def _joins(engine: RayEngine) -> bool:
    """Whether Ray runs already, here or elsewhere: then the port may rightly be its own."""
    import ray

    return bool(engine.address or os.environ.get("RAY_ADDRESS") or ray.is_initialized())


def _free_port(api: Api) -> int:
    """The port, if nobody listens there: two instances of Serve would share it without a word."""
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((api.host, api.port))
        except OSError as error:
            where = f"serve.host={api.host} serve.port={api.port}"
            raise ConfigError(f"{where}: expected a free port of this machine ({error.strerror or error})") from error
        return int(sock.getsockname()[1])


def _require_one_world(pipeline: Pipeline) -> None:
    """Ops without a model share processes, and so whatever those are to have."""
    first = pipeline.steps[0]
    shared = placement(pipeline, first)
    for step in pipeline.steps:
        where = placement(pipeline, step)
        if not isinstance(step.op, ModelOp) and (where.world, where.setup) != (shared.world, shared.setup):
            raise ConfigError(
                f"placement.{step.name}: audiocur serve runs it beside {first.name}; expected the same runtime_env, "
                f"env and setup as placement.{first.name}"
            )


def _stages(pipeline: Pipeline) -> tuple[Stage, ...]:
    """What the engine is to find room for: one worker, and each model's replicas at their most."""
    stages = []
    for step in pipeline.steps:
        where = placement(pipeline, step)
        if isinstance(step.op, ModelOp):
            most = replace(where, via=Via.actor, app=None, actors=[where.actors[-1]])
            stages.append(stage_of(pipeline, (step,), most))
        elif not stages:
            stages.append(stage_of(pipeline, (step,), replace(where, via=Via.task, app=None)))
    return tuple(stages)


def _application(pipeline: Pipeline, api: Api, workers: int) -> Application:
    from ray import serve

    scope = secrets.token_hex(4)
    where = placement(pipeline, pipeline.steps[0])
    actor: dict[str, Any] = {"num_cpus": where.cpus, "num_gpus": where.gpus}
    if where.world:
        actor["runtime_env"] = dict(where.world)
    health: dict[str, Any] = {"health_check_period_s": 1, "health_check_timeout_s": 30}
    made: Any = serve.deployment(
        Worker,
        name=WORKERS,
        num_replicas=workers,
        ray_actor_options=actor,
        max_ongoing_requests=1,
        **health,
    )
    models = {
        step.name: deployment(step, placement(pipeline, step), scope)
        for step in pipeline.steps
        if isinstance(step.op, ModelOp)
    }
    front: Any = serve.deployment(
        serve.ingress()(Front),
        name=FRONT,
        ray_actor_options={"num_cpus": 0},  # it waits for others
        max_ongoing_requests=100 * api.waiting,  # it refuses by itself, and says when to come again
        **health,
    )
    application: Application = front.bind(pipeline, api, made.bind(pipeline, where, scope), workers, models)
    return application


def _start(application: Application, api: Api, port: int) -> None:
    import ray
    from ray import serve

    options = {"host": api.host, "port": port}
    try:
        serve.start(proxy_location="HeadOnly", http_options=options, logging_config=_QUIET)
        serve.run(application, name=api.name, route_prefix="/", logging_config=_QUIET)
    except (RuntimeError, TimeoutError, ray.exceptions.RayError, serve.exceptions.RayServeException) as error:
        raise RunError(f"audiocur serve cannot start: {_cause(error, api.name)}") from error


def _cause(error: Exception, name: str) -> str:
    """What the first deployment has to say that did not start, else the error: the last line that names one."""
    from ray import serve

    application = serve.status().applications.get(name)
    deployments = application.deployments if application else {}
    said = [
        (f"{deployment}: ", its.message)
        for deployment, its in deployments.items()
        if its.status.value in ("UNHEALTHY", "DEPLOY_FAILED") and its.message
    ]
    whose, text = said[0] if said else ("", str(error) or type(error).__name__)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = ([line for line in lines if "Error: " in line] or lines)[-1]
    _, ours, reason = last.rpartition("RunError: ")  # which names the op itself
    return reason if ours else whose + last


def _require_answer(address: str, patience_s: float = 30.0) -> None:
    """A cluster may have had Serve running already, at another address."""
    url = address.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]") + "/v1/ops"
    until = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=patience_s) as answer:
                if "ops" in json.load(answer):
                    return
            error: Exception | None = None
        except (OSError, ValueError) as raised:  # among them urllib's own
            error = raised
        if time.monotonic() > until:
            raise RunError(f"{address} does not answer ({error}): does Serve listen elsewhere on this cluster?")
        time.sleep(0.2)
