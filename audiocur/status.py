"""RUN/progress.json: how far a run is, written by its driver and read by whoever looks on. No stored datum needs it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from audiocur.pipeline import Stage
from audiocur.storage.base import Store
from audiocur.store.commit import Committed
from audiocur.store.parts import SpanOutcome, Tally

PROGRESS = "progress.json"


class State(StrEnum):
    """Where a run is; one that says `running` and whose lease is not live was killed."""

    running = "running"
    done = "done"
    interrupted = "interrupted"  # by a person
    stopped = "stopped"  # by an error


@dataclass
class Amount:
    """Clips or spans, and their seconds of audio."""

    count: int = 0
    seconds: float = 0.0

    def add(self, count: int, seconds: float) -> None:
        """Some more."""
        self.count += count
        self.seconds += seconds


@dataclass
class Outcome:
    """What the ledger says, by the last commit.

    Attributes:
        spans: settled, with their audio; `uncut_s`: seconds of them in no clip.
        kept: clips; `rejected`: by the first rule they broke; `failed`: by kind of error and op.
        unreadable: spans that failed, by kind of error and op.
    """

    spans: Amount = field(default_factory=Amount)
    uncut_s: float = 0.0
    kept: Amount = field(default_factory=Amount)
    rejected: dict[str, Amount] = field(default_factory=dict)
    failed: dict[str, Amount] = field(default_factory=dict)
    unreadable: dict[str, Amount] = field(default_factory=dict)

    def take(self, spans: Iterable[SpanOutcome], fates: Iterable[Tally]) -> None:
        """Take in what a ledger part says."""
        for span in spans:
            self.spans.add(1, span.duration_s)
            if span.failed:
                self.unreadable.setdefault(str(span.why), Amount()).add(1, span.duration_s)
            else:
                self.uncut_s += span.uncut_s
        for fate in fates:
            by_why = {"rejected": self.rejected, "failed": self.failed}.get(fate.verdict)
            its = self.kept if by_why is None else by_why.setdefault(str(fate.why), Amount())
            its.add(fate.count, fate.duration_s)

    @property
    def verdicts(self) -> dict[str, Amount]:
        """Clips by verdict: "kept", "rejected", "failed"."""
        return {"kept": self.kept, "rejected": total(self.rejected.values()), "failed": total(self.failed.values())}


def total(amounts: Iterable[Amount]) -> Amount:
    """All of them together.

    >>> total([Amount(1, 2.5), Amount(2, 5.0)])
    Amount(count=3, seconds=7.5)
    """
    found = Amount()
    for amount in amounts:
        found.add(amount.count, amount.seconds)
    return found


@dataclass
class Spent:
    """Calls of an op, and seconds that it was at work in all workers together."""

    calls: int = 0
    busy_s: float = 0.0


@dataclass
class Effort:
    """What one session took, or several: each time that a driver worked on the run.

    Attributes:
        sessions: how many.
        elapsed_s: by the clock, from the first block to the last.
        audio_s: seconds of audio worked through.
        ops: by name.
    """

    sessions: int = 0
    elapsed_s: float = 0.0
    audio_s: float = 0.0
    ops: dict[str, Spent] = field(default_factory=dict)

    @property
    def speed(self) -> float:
        """Seconds of audio a second, × real time; 0 before anything is done."""
        return self.audio_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def take(self, committed: Committed) -> None:
        """Take in what was done for one commit."""
        self.audio_s += sum(span.duration_s for span in committed.spans)
        for op, calls in committed.tried.items():
            self.ops.setdefault(op, Spent()).calls += calls
        for op, seconds in committed.spent_s.items():
            self.ops.setdefault(op, Spent()).busy_s += seconds
        for op, usage in committed.usage.items():
            self.ops.setdefault(op, Spent()).busy_s += usage.busy_s

    def __add__(self, other: Effort) -> Effort:
        """Both together."""
        ops = {op: Spent(spent.calls, spent.busy_s) for op, spent in self.ops.items()}
        for op, spent in other.ops.items():
            its = ops.setdefault(op, Spent())
            its.calls, its.busy_s = its.calls + spent.calls, its.busy_s + spent.busy_s
        return Effort(
            self.sessions + other.sessions, self.elapsed_s + other.elapsed_s, self.audio_s + other.audio_s, ops
        )


@dataclass(frozen=True)
class StageOps:
    """A stage: the names of its ops, and where they run, "tasks of 1 CPU"."""

    ops: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class StageWork:
    """What the work in a stage came to.

    Attributes:
        share: of all work of the run, by the time it took.
        speed: seconds of the run's audio for each second of one worker; null where it was not at work.
        most: its slowest ops, each with its share of all work, slowest first.
    """

    stage: StageOps
    busy_s: float
    share: float
    speed: float | None
    most: tuple[tuple[str, float], ...]


@dataclass
class Status:
    """How far a run is.

    What it holds is told of the whole run, as its ledger has it; what it takes is told of this session and of those
    before it, so that seconds of audio a second are those of the time they took.

    Attributes:
        state: where it is.
        epoch: of the driver that says so.
        began: when the first session did, and `updated`: when this was said; UTC, ISO 8601.
        workers: spans worked on at once.
        stages: of the pipeline.
        sources: recordings in all, and `sources_done`: those without anything left to do.
        expected_s: seconds of audio in all; `done_s`: of them done; guessed from sizes where nobody has looked yet.
        begun_s: `done_s` when this session began.
        outcome: what the ledger holds.
        now: effort of this session; `before`: of those before it.
    """

    state: State = State.running
    epoch: int = 0
    began: str = ""
    updated: str = ""
    workers: int = 1
    stages: tuple[StageOps, ...] = ()
    sources: int = 0
    sources_done: int = 0
    expected_s: float = 0.0
    done_s: float = 0.0
    begun_s: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)
    now: Effort = field(default_factory=lambda: Effort(sessions=1))
    before: Effort = field(default_factory=Effort)

    @property
    def effort(self) -> Effort:
        """Of all sessions."""
        return self.before + self.now

    @property
    def done_ratio(self) -> float:
        """How much is done, as far as one can tell: 1 when everything is, and before that never more than 0.99."""
        if self.sources_done >= self.sources:
            return 1.0
        return min(self.done_s / self.expected_s, 0.99) if self.expected_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that it may still take; null while nobody can tell."""
        done_s, left_s = self.done_s - self.begun_s, self.expected_s - self.done_s
        if self.state is not State.running or self.done_ratio == 1.0 or done_s <= 0:
            return None
        return self.now.elapsed_s * left_s / done_s

    def take(self, committed: Committed, estimated_s: float, finished: int) -> None:
        """Take in a commit: its share of what was expected, and how many recordings it finished."""
        self.outcome.take(committed.spans, committed.fates)
        self.now.take(committed)
        self.done_s += estimated_s
        self.sources_done += finished

    def work(self, effort: Effort) -> tuple[StageWork, ...]:
        """What `effort`, `now` or both of the sessions, came to in each stage."""
        all_s = sum(spent.busy_s for spent in effort.ops.values())
        return tuple(_work(stage, effort, all_s) for stage in self.stages)

    @classmethod
    def read(cls, store: Store) -> Status | None:
        """As the driver of a run has left it; null where none has written any, or it is damaged."""
        try:
            return _status(json.loads(store.read(PROGRESS)))
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def write(self, store: Store) -> None:
        """Put it into the run.

        Raises:
            OSError: it cannot be written.
        """
        self.updated = now_utc()
        store.write(PROGRESS, json.dumps(asdict(self), separators=(",", ":")).encode())


def stages_of(stages: Sequence[Stage]) -> tuple[StageOps, ...]:
    """Stages, as a status tells of them."""
    return tuple(StageOps(tuple(step.name for step in stage.steps), stage.placement.where) for stage in stages)


def now_utc() -> str:
    """The time, "2026-01-01T12:00:00+00:00"."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _work(stage: StageOps, effort: Effort, all_s: float) -> StageWork:
    busy = {op: effort.ops[op].busy_s for op in stage.ops if op in effort.ops}
    busy_s = sum(busy.values())
    most = sorted(((op, its_s / all_s) for op, its_s in busy.items() if its_s > 0), key=lambda item: -item[1])
    return StageWork(
        stage,
        busy_s,
        busy_s / all_s if all_s else 0.0,
        effort.audio_s / busy_s if busy_s else None,
        tuple(most),
    )


def _status(said: dict[str, Any]) -> Status:
    """The inverse of `asdict`."""
    outcome = said["outcome"]
    amounts = {name: _amounts(outcome[name]) for name in ("rejected", "failed", "unreadable")}
    single = {name: Amount(**outcome[name]) for name in ("spans", "kept")}
    return Status(
        **said
        | {
            "state": State(said["state"]),
            "stages": tuple(StageOps(tuple(stage["ops"]), stage["where"]) for stage in said["stages"]),
            "outcome": Outcome(**outcome | amounts | single),
            "now": _effort(said["now"]),
            "before": _effort(said["before"]),
        }
    )


def _amounts(said: dict[str, Any]) -> dict[str, Amount]:
    return {why: Amount(**amount) for why, amount in said.items()}


def _effort(said: dict[str, Any]) -> Effort:
    return Effort(**said | {"ops": {op: Spent(**spent) for op, spent in said["ops"].items()}})
