"""Actors that die again and again: Ray would start them anew for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from audiocur.errors import RunError
from audiocur.pipeline import Stage
from audiocur.placement import Via

#: So often must the actors of a stage have died, each, with no block done in between, before that is no accident.
#: A lost node is one death for each actor that it held.
MOST_DEATHS = 5


class ActorsDyingError(RunError):
    """The actors of a stage die and do nothing else."""


class Deaths:
    """How often actors were started again since a block last came through."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = {stage.label for stage in stages if stage.placement.via is Via.actor}
        self._before: dict[str, Counter[str]] | None = None

    def came_through(self) -> None:
        """A block did: from here it is counted anew."""
        self._before = None

    def look(self) -> None:
        """Called once a second.

        Raises:
            ActorsDyingError: naming the stage and how often.
        """
        if not self._stages:
            return
        restarts = {stage: self._restarts(stage) for stage in self._stages}
        before = self._before = self._before or restarts
        for stage, now in restarts.items():
            died = (now - before[stage]).total()
            if now and died >= MOST_DEATHS * len(now):
                raise ActorsDyingError(f"{stage}: its actors keep dying ({died} times without finishing a block)")

    @staticmethod
    def _restarts(stage: str) -> Counter[str]:
        """Of each actor of a stage. Ray tells it nowhere else: its public state API needs the dashboard."""
        import ray
        from ray._private.state import actors

        job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
        rows = actors(job_id=job).values()
        mine = [row for row in rows if f"({stage})" in row["ActorClassName"] and row["State"] != "DEAD"]
        return Counter({row["ActorID"]: row["NumRestarts"] for row in mine})
