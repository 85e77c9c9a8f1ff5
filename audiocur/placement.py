"""Where an op runs: tasks, actors or a service, on which hardware, in which batches, in a world of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from audiocur.errors import require

#: What of Ray's `runtime_env` makes sense for an op; its environment variables are `env` here.
WORLD = ("pip", "uv", "conda", "py_modules", "working_dir", "image_uri", "config")


#: Of these, what is a list: as text, Ray would take it for the name of a file.
_LISTS = ("pip", "uv", "py_modules")


class Via(StrEnum):
    """What runs an op."""

    task = "task"
    actor = "actor"
    serve = "serve"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an op runs: never what it computes.

    Attributes:
        via: stateless tasks, a pool of actors that keep their model, or replicas of a Ray Serve deployment.
        cpus, gpus: what one worker takes; fractions share a device. A model is on the GPU if its op is given any.
        actors: size of the pool, or its bounds [min, max]; of Serve's replicas likewise. Default: one.
        batch_clips: how many clips a model op gets at once, at most.
        batch_s: how much audio, padding included, at most.
        app: a Serve application that is running already (`audiocur serve`), to be used and left running; null starts
            one for this run alone.
        timeout_s: how long a call of a replica may take before it is tried on another.
        runtime_env: packages of its own, as Ray's runtime_env has them: ``{pip: [name==1.0]}``.
        env: environment variables of its workers.
        setup: commands of the shell, run once on each node before its first clip.
    """

    via: Via = Via.task
    cpus: float = 1.0
    gpus: float = 0.0
    actors: list[int] = field(default_factory=lambda: [1])
    batch_clips: int = 16
    batch_s: float = 600.0
    app: str | None = None
    timeout_s: float = 600.0
    runtime_env: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(self.cpus >= 0, "cpus", self.cpus, "a number of cores, 0 or more")
        require(self.gpus >= 0, "gpus", self.gpus, "a number of GPUs, 0 or more")
        whole_or_part = self.gpus <= 1 or self.gpus == int(self.gpus)
        require(whole_or_part, "gpus", self.gpus, "a part of one GPU, or a whole number")
        bounds_make_sense = len(self.actors) in (1, 2) and 0 < self.actors[0] <= self.actors[-1]
        require(bounds_make_sense, "actors", self.actors, "a number of actors, 1 or more, or [min, max]")
        require(self.batch_clips > 0, "batch_clips", self.batch_clips, "a number of clips, 1 or more")
        require(self.batch_s > 0, "batch_s", self.batch_s, "seconds, above 0")
        require(self.timeout_s > 0, "timeout_s", self.timeout_s, "seconds, above 0")
        require(self.app is None or self.via is Via.serve, "app", self.app, "via=serve beside it")
        for key in self.runtime_env:
            require(key in WORLD, "runtime_env", key, f"one of {', '.join(WORLD)}")

    @property
    def threads(self) -> int:
        """How many threads of a library one worker may use."""
        return max(1, int(self.cpus))

    @property
    def world(self) -> Mapping[str, Any]:
        """What Ray is to make for its workers; empty where they live in the driver's."""
        listed = {
            key: value.split(",") for key, value in self.runtime_env.items() if key in _LISTS and isinstance(value, str)
        }
        return {**self.runtime_env, **listed, **({"env_vars": dict(self.env)} if self.env else {})}

    @property
    def where(self) -> str:
        """In words, "tasks of 1 CPU"."""
        device = f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")
        if self.via is Via.task:
            return f"tasks of {device}"
        if self.app:
            return f"Serve application {self.app}"
        kind = "actors" if self.via is Via.actor else "replicas"
        return f"{'–'.join(map(str, self.actors))} {kind} of {device}"
