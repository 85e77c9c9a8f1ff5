"""What a cluster has room for, at the start of a pass and when a node is lost in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from audiocur.errors import ConfigError
from audiocur.pipeline import Stage
from audiocur.placement import Via


class NodesLostError(Exception):
    """The pools at work could take all that is left of the cluster, and no task would ever run again."""


class Room:
    """Whether pools of actors leave the tasks a place, of whose nodes some may be lost."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._needed = needed_cpus(stages, most=True) if any(s.placement.via is Via.actor for s in stages) else 0.0
        self._nodes = len(nodes())

    def look(self) -> None:
        """Called once a second.

        Raises:
            NodesLostError: see there.
        """
        left = nodes()
        # A cluster that lost nothing may be smaller than the largest pools: Ray makes them no larger than fits.
        if len(left) < self._nodes and self._needed > _cpus(left):
            raise NodesLostError


def fitted(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages; where their smallest pools would leave the tasks no place any more, with pools that do."""
    if needed_cpus(stages) <= available_cpus():
        return tuple(stages)
    pools = sum(_pool_cpus(stage, most=True) for stage in stages)
    room = available_cpus() - (needed_cpus(stages, most=True) - pools)
    ratio = min(1.0, room / pools) if pools else 1.0
    return tuple(
        replace(
            stage,
            placement=replace(stage.placement, actors=[max(1, math.floor(n * ratio)) for n in stage.placement.actors]),
        )
        for stage in stages
    )


def needed_cpus(stages: Sequence[Stage], *, most: bool = False) -> float:
    """CPUs of the smallest (or largest) pools and of one task at a time."""
    task = max((stage.placement.cpus for stage in stages if stage.placement.via is Via.task), default=0.0)
    return task + sum(_pool_cpus(stage, most=most) for stage in stages)


def pools_cpus(stages: Sequence[Stage]) -> float:
    """CPUs of the smallest pools."""
    return sum(_pool_cpus(stage, most=False) for stage in stages)


def check_room(stages: Sequence[Stage]) -> None:
    """Refuse a placement that no node can take, where Ray would wait for ever."""
    there = nodes()
    for stage in stages:
        where = stage.placement
        if where.app:
            continue  # it has its place already
        if not any(node.get("CPU", 0) >= where.cpus and node.get("GPU", 0) >= where.gpus for node in there):
            raise ConfigError(f"placement.{stage.steps[0].name}: {where.where}: no node has that much")
    needed, available = needed_cpus(stages), _cpus(there)
    if needed > available:
        raise ConfigError(
            f"placement: actors and one task at a time need {needed:g} CPUs, the cluster has {available:g}"
        )


def nodes() -> list[dict[str, float]]:
    """What each node of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def available_cpus() -> float:
    """CPUs of all nodes of the cluster."""
    return _cpus(nodes())


def _pool_cpus(stage: Stage, *, most: bool) -> float:
    where = stage.placement
    own = where.via is Via.actor or (where.via is Via.serve and not where.app)
    return where.cpus * where.actors[-1 if most else 0] if own else 0.0


def _cpus(there: Sequence[dict[str, float]]) -> float:
    return sum(node.get("CPU", 0) for node in there)
