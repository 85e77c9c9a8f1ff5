"""Model ops in a worker: batches, what goes wrong in them, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from audiocur.checkpoints import OwnFile
from audiocur.errors import ConfigError, RowError, RunError
from audiocur.op import ClipOp, Column, Device, ModelOp, OnError
from audiocur.pipeline import Pipeline, Step
from audiocur.placement import Placement
from audiocur.records import Clip, Verdict
from audiocur.rules import KeepRule
from audiocur.stage import run_stage

CALLS: list[list[float]] = []


@dataclass(frozen=True, kw_only=True)
class Hearing(ModelOp):
    """Writes how many clips it was given, and remembers which; memory holds `memory_clips` of them."""

    name = "hearing"
    writes = (Column("heard", pa.int32(), "clips", "clips in the batch"),)
    memory_clips: int = 99
    unusable_at_s: float | None = None
    unprepared_at_s: float | None = None
    on_error: OnError = OnError.fail

    def load(self, device: Device) -> Device:
        return device

    def prepare(self, clip: Clip) -> None:
        if clip.start_s == self.unprepared_at_s:
            raise RowError("cannot be made ready")

    def measure_batch(self, clips: Sequence[Clip], model: Device) -> list[dict[str, Any]]:
        CALLS.append([clip.start_s for clip in clips])
        if len(clips) > self.memory_clips:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if any(clip.start_s == self.unusable_at_s for clip in clips):
            raise RowError("unusable")
        return [{"heard": len(clips)} for _ in clips]


@dataclass(frozen=True, kw_only=True)
class Wide(Hearing):
    """The same, over windows of ten seconds."""

    window_s: ClassVar[float] = 10.0


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def run(pipeline, spans, **placement):
    pipeline = replace(pipeline, placements={"hearing": Placement(**placement)} if placement else {})
    for stage in pipeline.plan():
        run_stage(stage, spans)
    return [clip for span in spans for clip in span.clips]


def of(ops, op, *, when=None, rules=None):
    before = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw()
    return Pipeline((*before.steps, Step("hearing", op, when)), rules or {})


def total(spans):
    from audiocur.usage import totals

    return totals(span.usage for span in spans)["hearing"]


def test_clips_of_all_spans_go_together_and_it_is_told_how(ops, make_spans):
    spans = make_spans(5)
    clips = run(of(ops, Hearing()), spans, batch_clips=4)
    assert [clip.measures["heard"] for clip in clips] == [4] * 8 + [2] * 2
    usage = total(spans)
    assert (usage.clips, usage.batches, usage.room, usage.heard_s, usage.computed_s) == (10, 3, 12, 50.0, 50.0)
    assert usage.fill_ratio == pytest.approx(10 / 12)


def test_a_batch_holds_no_more_audio_than_it_may(ops, make_spans):
    run(of(ops, Hearing()), make_spans(4), batch_clips=8, batch_s=15.0)
    assert [len(call) for call in CALLS] == [3, 3, 2]


def test_padding_of_fixed_windows_is_told(ops, make_spans):
    spans = make_spans(2)
    run(of(ops, Wide()), spans)
    assert total(spans).padding_ratio == pytest.approx(0.5)


def test_a_batch_that_runs_out_of_memory_is_halved_and_so_are_those_behind_it(ops, make_spans):
    spans = make_spans(8)
    clips = run(of(ops, Hearing(memory_clips=2)), spans, batch_clips=8)
    assert {clip.verdict for clip in clips} == {Verdict.KEPT}
    assert {clip.measures["heard"] for clip in clips} == {2}
    # 8 is too many, so are its halves; the second batch begins with 4.
    assert [len(call) for call in CALLS] == [8, 4, 2, 2, 4, 2, 2, 4, 2, 2, 2, 2]
    assert total(spans).halvings == 4


def test_one_clip_that_does_not_fit_fails_alone(ops, make_spans):
    clips = run(of(ops, Hearing(memory_clips=0)), make_spans(1))
    assert [clip.verdict for clip in clips] == [Verdict.FAILED] * 2
    assert "out of memory" in clips[0].reason


def test_none_is_called_for_a_clip_rejected_earlier(ops, make_spans):
    rules = {"late": KeepRule(column="measured_start_s", max=1)}
    clips = run(of(ops, Hearing(), rules=rules), make_spans(3))
    assert CALLS == [[0.0] * 3]
    assert [clip.verdict for clip in clips] == [Verdict.KEPT, Verdict.REJECTED] * 3


def test_none_is_called_where_when_does_not_hold(ops, make_spans):
    spans = make_spans(3)
    when = KeepRule(column="measured_start_s", min=1)
    clips = run(of(ops, Hearing(), when=when), spans)
    assert CALLS == [[5.0] * 3]
    assert [clip.measures["heard"] for clip in clips] == [None, 3] * 3
    assert {clip.verdict for clip in clips} == {Verdict.KEPT}
    assert (total(spans).clips, total(spans).skipped) == (3, 3)


@pytest.mark.parametrize("fault", ["unusable_at_s", "unprepared_at_s"])
@pytest.mark.parametrize("on_error", OnError)
def test_an_error_costs_its_clip_or_leaves_a_null(ops, make_spans, fault, on_error):
    spans = make_spans(2)
    clips = run(of(ops, Hearing(**{fault: 5.0}, on_error=on_error)), spans)
    faulty = [clip for clip in clips if clip.start_s == 5.0]
    fails = on_error is OnError.fail
    assert [clip.verdict for clip in faulty] == [Verdict.FAILED if fails else Verdict.KEPT] * 2
    assert [clip.measures.get("heard") for clip in faulty] == [None, None]
    assert all(clip.measures["heard"] for clip in clips if clip.start_s == 0.0)
    assert total(spans).nulled == (0 if fails else 2)
    assert [span.examples.get("hearing") is None for span in spans] == [fails, fails]


@dataclass(frozen=True, kw_only=True)
class Overlapping(Hearing):
    """Its batches wait until the next is ready."""

    ready: ClassVar[list[threading.Event]] = [threading.Event() for _ in range(4)]

    def prepare(self, clip: Clip) -> None:
        self.ready[int(clip.measures["batch_number"])].set()

    def measure_batch(self, clips: Sequence[Clip], model: Device) -> list[dict[str, Any]]:
        number = int(clips[0].measures["batch_number"])
        assert number == 3 or self.ready[number + 1].wait(10), "the next batch is not made ready meanwhile"
        return [{"heard": number} for _ in clips]


@dataclass(frozen=True, kw_only=True)
class Numbered(ClipOp):
    """Says which batch the clip will be in, with two in each."""

    name = "numbered"
    writes = (Column("batch_number", pa.int32(), "", "of its batch"),)
    seen: list[int] = field(default_factory=list)

    def measure(self, clip: Clip) -> dict[str, Any]:
        self.seen.append(0)
        return {"batch_number": (len(self.seen) - 1) // 2}


def test_the_next_batch_is_made_ready_while_the_model_works(ops, make_spans):
    pipeline = ops.Tone() >> ops.Halves() >> Numbered() >> ops.Raw() >> Overlapping()
    clips = run(pipeline, make_spans(4), batch_clips=2)
    assert [clip.measures["heard"] for clip in clips] == [0, 0, 1, 1, 2, 2, 3, 3]


@dataclass(frozen=True, kw_only=True)
class Maker(ModelOp):
    """Hands features on."""

    name = "maker"
    makes = ("sums",)

    def load(self, device: Device) -> None:
        return None

    def prepare(self, clip: Clip) -> None:
        pass

    def measure_batch(self, clips: Sequence[Clip], model: None) -> list[dict[str, Any]]:
        for clip in clips:
            clip.features["sums"] = np.full(3, clip.start_s, np.float32)
        return [{} for _ in clips]


@dataclass(frozen=True, kw_only=True)
class Taker(ModelOp):
    """Takes them."""

    name = "taker"
    takes = ("sums",)
    writes = (Column("taken", pa.float32(), "", "sum of the features"),)

    def load(self, device: Device) -> None:
        return None

    def prepare(self, clip: Clip) -> None:
        pass

    def measure_batch(self, clips: Sequence[Clip], model: None) -> list[dict[str, Any]]:
        return [{"taken": float(clip.features["sums"].sum())} for clip in clips]


@pytest.mark.parametrize("apart", [False, True])
def test_features_travel_to_the_op_that_takes_them_and_no_further(ops, make_spans, apart):
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw() >> Maker() >> Taker() >> ops.Counting()
    placements = {"taker": Placement(cpus=0.5), "counting": Placement(cpus=0.25)} if apart else {}
    stages = replace(pipeline, placements=placements).plan()
    assert len(stages) == (3 if apart else 1)
    (span,) = make_spans()
    for stage in stages:
        run_stage(stage, [span])
        assert all(bool(clip.features) == ("sums" in stage.passes_on) for clip in span.clips)
    assert [clip.measures["taken"] for clip in span.clips] == [0.0, 15.0]


def test_what_was_not_made_for_a_clip_leaves_it_without_what_follows_from_it(ops, make_spans):
    before = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw()
    when = KeepRule(column="measured_start_s", min=1)
    (span,) = make_spans()
    for stage in Pipeline((*before.steps, Step("maker", Maker(), when), Step("taker", Taker()))).plan():
        run_stage(stage, [span])
    assert [(clip.measures["taken"], clip.verdict) for clip in span.clips] == [
        (None, Verdict.KEPT),
        (15.0, Verdict.KEPT),
    ]


def test_features_that_nobody_makes_are_refused(ops):
    with pytest.raises(ConfigError, match="taker takes sums, but no op before it makes any"):
        (ops.Tone() >> ops.Halves() >> ops.Raw() >> Taker() >> Maker()).check()


@pytest.mark.parametrize(
    ("column", "why"), [("heard", "expected a column of an op before it"), ("nothing", "expected a column of an op")]
)
def test_when_must_know_its_column(ops, column, why):
    with pytest.raises(ConfigError, match=rf"hearing\.when\.column={column}: {why}"):
        of(ops, Hearing(), when=KeepRule(column=column, min=0)).check()


def test_a_model_gets_the_threads_and_the_device_of_its_placement(ops, make_spans):
    seen = []

    class Seeing(Hearing):
        def measure_batch(self, clips: Sequence[Clip], model: Device) -> list[dict[str, Any]]:
            from threadpoolctl import threadpool_info

            blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
            seen.append((model, blas))
            return super().measure_batch(clips, model)

    run(of(ops, Seeing()), make_spans(), cpus=2)
    assert seen == [(Device("cpu", 2), {2})]


@dataclass(frozen=True, kw_only=True)
class Lost(Hearing):
    """Its service is gone."""

    def measure_batch(self, clips: Sequence[Clip], model: Device) -> list[dict[str, Any]]:
        CALLS.append([clip.start_s for clip in clips])
        raise RunError("nobody answers")


def test_what_is_no_clips_fault_stops_the_run_at_once(ops, make_spans):
    with pytest.raises(RunError, match="nobody answers"):
        run(of(ops, Lost()), make_spans(4))
    assert len(CALLS) == 1


@dataclass(frozen=True, kw_only=True)
class FromFile(Hearing):
    """Its weights are a file."""

    path: str

    def checkpoints(self) -> Sequence[OwnFile]:
        return (OwnFile(name="weights", path=self.path),)

    def load(self, device: Device) -> int:
        return int(Path(self.path).read_text())

    def measure_batch(self, clips: Sequence[Clip], model: int) -> list[dict[str, Any]]:
        return [{"heard": model} for _ in clips]


def test_weights_that_were_replaced_are_loaded_again(ops, make_spans, tmp_path):
    path = tmp_path / "weights"
    for weights in ("1", "22"):
        path.write_text(weights)
        clips = run(of(ops, FromFile(path=str(path))), make_spans())
        assert {clip.measures["heard"] for clip in clips} == {int(weights)}


def test_memory_that_ran_out_once_is_remembered_for_the_blocks_to_come(ops, make_spans):
    op = Hearing(memory_clips=3)
    run(of(ops, op), make_spans(4), batch_clips=8)
    CALLS.clear()
    run(of(ops, op), make_spans(4), batch_clips=8)
    assert {len(call) for call in CALLS} <= {2, 4}
    assert len(CALLS[0]) == 4


def test_an_error_that_left_a_null_says_so_in_the_ledger(ops, make_spans):
    clips = run(of(ops, Hearing(unusable_at_s=5.0, on_error=OnError.null)), make_spans())
    assert [clip.reason for clip in clips] == [None, "hearing left null: unusable"]
