"""What a cluster has room for, at the start of a pass and when a node is lost in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from audiocur.errors import ConfigError
from audiocur.pipeline import Stage
from audiocur.placement import Placement, Via

_RESOURCES = ("CPU", "GPU")


class NodesLostError(Exception):
    """The pools at work could take all that is left of the cluster, and no task would ever run again."""


class Room:
    """Whether pools of actors leave the tasks a place, of whose nodes some may be lost."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._needed = needed(stages, "CPU", most=True) if any(s.placement.via is Via.actor for s in stages) else 0.0
        self._nodes = len(nodes())

    def look(self) -> None:
        """Called once a second.

        Raises:
            NodesLostError: see there.
        """
        left = nodes()
        # A cluster that lost nothing may be smaller than the largest pools: Ray makes them no larger than fits.
        if len(left) < self._nodes and self._needed > _all(left, "CPU"):
            raise NodesLostError


def fitted(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages; where their smallest pools would leave the tasks no place any more, with pools that do."""
    ratio = 1.0
    there = nodes()
    for resource in _RESOURCES:
        if needed(stages, resource) > _all(there, resource):
            pools = sum(_pool(stage, resource, most=True) for stage in stages)
            room = _all(there, resource) - (needed(stages, resource, most=True) - pools)
            ratio = min(ratio, room / pools) if pools else ratio
    if ratio == 1.0:
        return tuple(stages)
    return tuple(
        replace(
            stage,
            placement=replace(stage.placement, actors=[max(1, math.floor(n * ratio)) for n in stage.placement.actors]),
        )
        for stage in stages
    )


def needed(stages: Sequence[Stage], resource: str, *, most: bool = False) -> float:
    """CPUs or GPUs of the smallest (or largest) pools and of one task at a time."""
    tasks = [stage.placement for stage in stages if stage.placement.via is Via.task]
    return max((_each(task, resource) for task in tasks), default=0.0) + sum(
        _pool(stage, resource, most=most) for stage in stages
    )


def pools_cpus(stages: Sequence[Stage]) -> float:
    """CPUs of the smallest pools."""
    return sum(_pool(stage, "CPU", most=False) for stage in stages)


def check_room(stages: Sequence[Stage]) -> None:
    """Refuse a placement that no node can take, where Ray would wait for ever."""
    there = nodes()
    for stage in stages:
        where = stage.placement
        if where.app:
            continue  # it has its place already
        if not any(all(node.get(each, 0) >= _each(where, each) for each in _RESOURCES) for node in there):
            raise ConfigError(f"placement.{stage.steps[0].name}: {where.where}: no node has that much")
    for resource in _RESOURCES:
        # Of each pool one actor at least, of models that share no device.
        wanted, available = needed(fitted(stages), resource), _all(there, resource)
        if wanted > available:
            hint = "; expected parts of one, gpus=0.5" if resource == "GPU" else ""
            raise ConfigError(
                f"placement: actors and one task at a time need {wanted:g} {resource}s, the cluster has "
                f"{available:g}{hint}"
            )


def nodes() -> list[dict[str, float]]:
    """What each node of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def available_cpus() -> float:
    """CPUs of all nodes of the cluster."""
    return _all(nodes(), "CPU")


def _each(where: Placement, resource: str) -> float:
    return where.cpus if resource == "CPU" else where.gpus


def _pool(stage: Stage, resource: str, *, most: bool) -> float:
    where = stage.placement
    own = where.via is Via.actor or (where.via is Via.serve and not where.app)
    # Stages of one placement are one pool; of Serve's, each model has replicas of its own.
    pools = len(stage.steps) if where.via is Via.serve else 1
    return _each(where, resource) * where.actors[-1 if most else 0] * pools if own else 0.0


def _all(there: Sequence[dict[str, float]], resource: str) -> float:
    return sum(node.get(resource, 0) for node in there)
