"""The processes behind `audiocur serve`: the front that takes requests in, and the workers without a model."""

from __future__ import annotations

import asyncio
import math
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from audiocur.engine import answers
from audiocur.engine.gather import Gatherer
from audiocur.engine.serve import ReplicasLostError, ServedModel, calls_at_once
from audiocur.engine.uploads import Refused, Uploads
from audiocur.pipeline import Pipeline, Stage, Step
from audiocur.placement import Placement
from audiocur.records import Clip, Source, Span, Verdict, source_id
from audiocur.setup import set_up
from audiocur.stage import one_thread, run_stage

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle
    from starlette.requests import Request

    from audiocur.engine.api import Api

#: A worker that ends in the middle of a recording may have been ended from outside; twice is no accident.
_TRIES = 2
#: How long one look at the deployments holds.
_HEALTH_S = 1.0


def placement(pipeline: Pipeline, step: Step) -> Placement:
    """Where a step runs, as the recipe has it."""
    return pipeline.placements.get(step.name, Placement())


def stage_of(pipeline: Pipeline, steps: tuple[Step, ...], where: Placement) -> Stage:
    """Steps without keep rules: every op is asked for its columns, whatever others say of the clip."""
    handed_on = frozenset(name for step in pipeline.steps for name in step.op.takes)
    return Stage(steps, where, frozenset(), {}, final=False, passes_on=handed_on)


class Worker:
    """Decodes, measures and encodes recordings, one at a time, in a process of Serve's."""

    def __init__(self, pipeline: Pipeline, where: Placement, scope: str) -> None:
        set_up(where.setup, scope)
        self._pipeline, self._where = pipeline, where
        self._steps = {step.name: step for step in pipeline.steps}

    def measure(self, given: bytes | Span, names: Sequence[str], last: bool) -> Span:
        """The span after the steps of these names.

        Args:
            given: a recording, or the span that earlier steps have made of it.
            names: of steps without a model.
            last: no others follow, and nobody needs the encoded audio any more.
        """
        stage = stage_of(self._pipeline, tuple(self._steps[name] for name in names), self._where)
        with one_thread():
            if isinstance(given, Span):
                span = given
                run_stage(stage, [span], watchdog=True)
            else:
                with tempfile.TemporaryFile() as file:
                    file.write(given)
                    file.flush()
                    # On Linux a file without a name has this one.
                    path = f"/proc/self/fd/{file.fileno()}".encode()
                    span = Span(source=Source(source_id=source_id(secrets.token_bytes(16)), uri="upload", path=path))
                    run_stage(stage, [span], watchdog=True)
        for clip in span.clips if last else ():
            if clip.stored is not None:
                clip.stored = replace(clip.stored, data=b"")
        return span


class Front:
    """Takes requests in: a turn for each, through workers and models, to the answer."""

    def __init__(
        self,
        pipeline: Pipeline,
        api: Api,
        workers: DeploymentHandle[Any],
        count: int,
        models: Mapping[str, DeploymentHandle[Any]],
    ) -> None:
        self._pipeline, self._api = pipeline, api
        self._workers, self._worker_turns = workers, asyncio.Semaphore(count)
        self._gatherers = {step.name: self._gatherer(step) for step in pipeline.steps if step.name in models}
        # As many as the models may want at once, those in the workers' hands besides; each holds one clip in memory.
        steps = [step for step in pipeline.steps if step.name in models]
        at_models = sum(calls_at_once(where) * where.batch_clips for where in map(self._where, steps))
        self._most_at_work = count + at_models
        self._turns = asyncio.Semaphore(self._most_at_work)
        self._uploads = Uploads(api.max_upload_mb, api.waiting_mb)
        self._open = 0
        self._turn_s = 1.0  # how long a request has lately been at work
        self._health: Mapping[str, str] = {}
        self._looked = -math.inf

    def __serve_build_asgi_app__(self) -> Any:
        """What Serve asks for the pages."""
        from audiocur.engine.http import application

        return application(self, answers.schema(self._pipeline))

    async def clip(self, request: Request, columns: str | None) -> Mapping[str, Any]:
        """The columns of the recording that a request brings.

        Raises:
            Refused: with the status and the reason.
        """
        asked = None if columns is None else [name.strip() for name in columns.split(",")]
        work = answers.wanted(self._pipeline, asked)
        if self._open >= self._api.waiting + self._most_at_work:
            wait_s = math.ceil(self._open / self._most_at_work * self._turn_s)
            raise Refused(503, f"{self._open} requests wait already; try again later", retry_after_s=max(1, wait_s))
        self._open += 1
        try:
            async with asyncio.timeout(self._api.timeout_s), self._uploads.received(request) as file, self._turns:
                began = time.monotonic()
                span = await self._through(file, work)
                self._turn_s += 0.1 * (time.monotonic() - began - self._turn_s)
        except TimeoutError:
            raise Refused(504, f"no answer within {self._api.timeout_s:g} s (serve.timeout_s)") from None
        finally:
            self._open -= 1
        return answers.answer(self._pipeline, work.columns, span)

    async def health(self) -> Mapping[str, str]:
        """The state of each deployment, as Serve names it."""
        from ray import serve

        if time.monotonic() - self._looked > _HEALTH_S:
            status = await asyncio.to_thread(serve.status)
            deployments = status.applications[self._api.name].deployments
            self._health = {name: _state(its) for name, its in deployments.items()}
            self._looked = time.monotonic()
        return self._health

    def ops(self) -> Mapping[str, Any]:
        """The ops and the keep rules."""
        return answers.ops(self._pipeline)

    async def _through(self, file: BinaryIO, work: answers.Wanted) -> Span:
        first, *rest = work.parts
        async with self._worker_turns:
            span = await self._worked(await asyncio.to_thread(file.read), first, last=not rest)
        _require_sound(span)
        for place, names in enumerate(rest, 1):
            if names[0] in self._gatherers:
                try:
                    await self._gatherers[names[0]].measured(span)
                except ReplicasLostError as error:
                    raise Refused(503, str(error), retry_after_s=5) from None
            else:
                async with self._worker_turns:
                    span = await self._worked(span, names, last=place == len(rest))
            _require_sound(span)
        return span

    async def _worked(self, given: bytes | Span, names: Sequence[str], *, last: bool) -> Span:
        import ray

        shared = await asyncio.to_thread(ray.put, given)
        for tried in range(1, _TRIES + 1):
            try:
                span: Span = await self._workers.measure.remote(shared, names, last)
                return span
            except ray.exceptions.RayActorError:
                if tried == _TRIES:
                    raise Refused(422, f"it ended {_TRIES} of the processes that were to measure it") from None
        raise AssertionError

    def _where(self, step: Step) -> Placement:
        return placement(self._pipeline, step)

    def _gatherer(self, step: Step) -> Gatherer:
        where = self._where(step)
        stage = stage_of(self._pipeline, (step,), where)
        model = {step.name: ServedModel(self._api.name, step.name, where.timeout_s)}
        return Gatherer(
            lambda spans: run_stage(stage, spans, served=model),
            most=where.batch_clips,
            calls=calls_at_once(where),
            replicas=where.actors[-1],
        )


def _require_sound(span: Span) -> None:
    """Refuse a recording that an op could not use."""
    rows: list[Span | Clip] = [span, *span.clips]
    for row in rows:
        if row.verdict is not Verdict.FAILED:
            continue
        reason = row.reason if row is span else f"{row.op}: {row.reason}"
        raise Refused(500 if row.unexpected else 422, f"{reason}")


def _state(deployment: Any) -> str:
    """HEALTHY as well while replicas are added to some that run, or taken from them."""
    running = deployment.replica_states.get("RUNNING", 0)
    scaling = deployment.status in ("UPSCALING", "DOWNSCALING") and running
    return "HEALTHY" if scaling else str(deployment.status.value)
