"""Figures of a run for Prometheus, through the exporter that each node of a Ray cluster has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from audiocur.store.commit import Committed

if TYPE_CHECKING:
    from ray.util.metrics import Counter

#: Name, labels and meaning of each counter; Ray puts `ray_` before the name and `_total` behind it.
COUNTERS = {
    "audiocur_clips": (("verdict", "rule"), "Clips cut, by verdict and the first keep rule they broke."),
    "audiocur_audio_seconds": ((), "Seconds of audio worked through."),
    "audiocur_spans": ((), "Spans settled."),
    "audiocur_op_seconds": (("op",), "Seconds that an op was at work, in all workers together."),
    "audiocur_unexpected_errors": (("op",), "Calls of an op that failed by a bug of its own."),
}


def count(committed: Committed) -> None:
    """Add a commit to the metrics of the Ray instance that this process is connected to.

    An instance of our own gathers none, see `audiocur.engine.instance`; then this comes to nothing, and costs as much.
    """
    for fate in committed.fates:
        rule = fate.why if fate.verdict == "rejected" else None
        _add("audiocur_clips", fate.count, verdict=fate.verdict, rule=rule or "")
    _add("audiocur_audio_seconds", sum(span.duration_s for span in committed.spans))
    _add("audiocur_spans", len(committed.spans))
    for op, seconds in committed.spent_s.items():
        _add("audiocur_op_seconds", seconds, op=op)
    for op, usage in committed.usage.items():
        _add("audiocur_op_seconds", usage.busy_s, op=op)
    for op, errors in committed.unexpected.items():
        _add("audiocur_unexpected_errors", errors, op=op)


def _add(name: str, amount: float, **labels: str) -> None:
    if amount > 0:  # Ray refuses to count nothing
        _counter(name).inc(amount, labels)


@cache
def _counter(name: str) -> Counter:
    from ray.util.metrics import Counter

    labels, meaning = COUNTERS[name]
    return Counter(name, meaning, labels)
