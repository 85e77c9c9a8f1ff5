from __future__ import annotations

import errno
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from audiocur.audio import Audio
from audiocur.errors import RunError
from audiocur.op import ClipOp, Column, Decoder, ModelOp
from audiocur.placement import Placement
from audiocur.records import Verdict
from audiocur.rules import KeepRule
from audiocur.stage import run_stage


def run(pipeline, spans):
    for stage in pipeline.plan():
        run_stage(stage, spans)
    return [clip for span in spans for clip in span.clips]


def test_clips_are_measured_stored_and_kept(ops, make_spans):
    clips = run(ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw(), make_spans())
    assert [clip.measures for clip in clips] == [{"measured_start_s": 0.0}, {"measured_start_s": 5.0}]
    assert [clip.verdict for clip in clips] == [Verdict.KEPT] * 2
    assert clips[0].stored.num_samples == 5000


def test_a_rejected_clip_has_every_measure_is_not_stored_and_skips_what_follows(ops, make_spans):
    rules = {"late": KeepRule(column="measured_start_s", max=1), "long": KeepRule(column="duration_s", min=9)}
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw() >> ops.Counting()
    first, second = run(replace(pipeline, rules=rules), make_spans())
    assert second.verdict is Verdict.REJECTED
    assert (second.rule, second.rules) == ("late", ["late", "long"])
    assert second.reason == "measured_start_s is 5, above max 1"
    assert second.measures == {"measured_start_s": 5.0}
    assert second.stored is None
    assert (first.rule, first.rules) == ("long", ["long"])


def test_rules_over_a_models_columns_apply_at_the_end(ops, make_spans):
    rules = {"model": KeepRule(column="batch", max=1)}
    pipeline = ops.Tone() >> ops.Halves() >> ops.Raw() >> ops.Counting()
    clips = run(replace(pipeline, rules=rules), make_spans())
    assert [(clip.verdict, clip.rule, clip.stored) for clip in clips] == [(Verdict.REJECTED, "model", None)] * 2
    assert clips[0].measures == {"batch": 2, "model": "loaded"}


@pytest.mark.parametrize(
    ("fault", "reason", "unexpected"),
    [
        ("raises_at_s", "ZeroDivisionError: a bug", True),
        ("unusable_at_s", "unusable", False),
        ("undeclared_at_s", "TypeError: wrote ['something_else'], declared ['measured_start_s']", True),
        ("infinite_at_s", "ValueError: measured_start_s is not finite; an undefined measure is None", True),
    ],
)
def test_an_error_costs_its_clip_and_no_neighbour(ops, make_spans, fault, reason, unexpected):
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start(**{fault: 5.0}) >> ops.Raw()
    first, second = run(pipeline, make_spans())
    assert first.verdict is Verdict.KEPT
    assert (second.verdict, second.op, second.reason) == (Verdict.FAILED, "start", reason)
    assert second.unexpected is unexpected
    assert second.stored is None


def test_an_undecodable_span_fails_alone(ops, make_spans):
    spans = make_spans(2, uri="undecodable {}") + make_spans(1)
    run(ops.Tone() >> ops.Halves() >> ops.Start(), spans)
    assert [span.verdict for span in spans] == [Verdict.FAILED, Verdict.FAILED, Verdict.DONE]
    assert (spans[0].op, spans[0].reason, spans[0].clips) == ("decode", "not audio", [])


def test_a_span_past_the_end_is_done_with_nothing(ops, make_spans):
    (span,) = make_spans(1, index=3)
    run(ops.Tone(spans=2) >> ops.Halves() >> ops.Start(), [span])
    assert (span.verdict, span.last, span.duration_s, span.clips) == (Verdict.DONE, True, 0.0, [])


def test_models_get_the_open_clips_of_all_spans_in_batches(ops, make_spans):
    pipeline = ops.Tone() >> ops.Halves() >> ops.Raw() >> ops.Counting()
    clips = run(replace(pipeline, placements={"counting": Placement(batch_clips=4)}), make_spans(3))
    assert [clip.measures["batch"] for clip in clips] == [4, 4, 4, 4, 2, 2]


def test_a_clip_that_spoils_its_batch_fails_alone(ops, make_spans):
    clips = run(ops.Tone() >> ops.Halves() >> ops.Raw() >> ops.Counting(raises_at_s=5.0), make_spans())
    assert [clip.verdict for clip in clips] == [Verdict.KEPT, Verdict.FAILED]
    assert clips[1].reason == "MemoryError: too much"
    assert clips[0].measures["batch"] == 1


def test_samples_are_let_go(ops, make_spans):
    spans = make_spans()
    clips = run(ops.Tone() >> ops.Halves() >> ops.Start(), spans)
    assert spans[0].audio is None
    with pytest.raises(RuntimeError, match="no audio any more"):
        _ = clips[0].audio


@dataclass(frozen=True, kw_only=True)
class Flaky(Decoder):
    """An I/O error the first `times` times, counted in a file because the op itself is frozen."""

    span_s: float = 10.0
    counter: str
    times: int

    def apply(self, span):
        with open(self.counter, "a+") as file:
            file.write("x")
            file.seek(0)
            if len(file.read()) <= self.times:
                raise OSError(errno.EIO, "Input/output error")
        span.rate_hz, span.channels, span.num_samples, span.last = 1000, 1, 10_000, True
        span.audio = Audio(np.zeros((1, 10_000), np.float32), 1000)


@pytest.mark.parametrize(
    ("times", "verdict", "reason"), [(2, "done", None), (9, "failed", "cannot be read: Input/output error")]
)
def test_an_io_error_is_tried_again_and_is_no_bug(ops, make_spans, tmp_path, monkeypatch, times, verdict, reason):
    monkeypatch.setattr("audiocur.stage._WAITS_S", (0.01, 0.01, 0.01))
    (span,) = make_spans()
    run(Flaky(counter=str(tmp_path / "count"), times=times) >> ops.Halves(), [span])
    assert (span.verdict, span.reason, span.unexpected) == (verdict, reason, False)
    assert len((tmp_path / "count").read_text()) == min(times + 1, 4)


def test_every_call_of_an_op_is_counted(ops, make_spans):
    (span,) = make_spans()
    rules = {"late": KeepRule(column="measured_start_s", max=1)}
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw() >> ops.Counting()
    run(replace(pipeline, rules=rules), [span])
    assert span.tried == {"decode": 1, "segment": 1, "start": 2, "encode": 1, "counting": 1}


@dataclass(frozen=True, kw_only=True)
class Typed(ClipOp):
    """Writes a text where it declared a number, or hides a NaN in a list."""

    name = "typed"
    writes = (Column("number", pa.float32(), "", "a number"), Column("numbers", pa.list_(pa.float32()), "", "numbers"))
    number: str = "1"
    numbers: float = 1.0

    def measure(self, clip):
        return {"number": self.number if self.number != "1" else 1.0, "numbers": [self.numbers]}


@pytest.mark.parametrize(
    ("fault", "reason"), [({"number": "loud"}, "ArrowInvalid"), ({"numbers": math.nan}, "numbers is not finite")]
)
def test_values_of_another_type_than_declared_fail_their_clip_not_the_commit(ops, make_spans, fault, reason):
    clips = run(ops.Tone() >> ops.Halves() >> Typed(**fault), make_spans())
    assert [(clip.verdict, clip.unexpected) for clip in clips] == [(Verdict.FAILED, True)] * 2
    assert reason in clips[0].reason


def test_a_model_that_cannot_be_loaded_stops_the_run(ops, make_spans):
    with pytest.raises(RunError, match="counting: its model cannot be loaded: FileNotFoundError"):
        run(ops.Tone() >> ops.Halves() >> ops.Raw() >> Missing(), make_spans())


@dataclass(frozen=True, kw_only=True)
class Missing(ModelOp):
    name = "counting"

    def load(self, device):
        return Path("/nonexistent/model.pt").read_bytes()


@dataclass(frozen=True, kw_only=True)
class Short(ModelOp):
    """Returns one result too few for a batch."""

    name = "short"

    def load(self, device):
        return None

    def prepare(self, clip):
        pass

    def measure_batch(self, clips, model):
        return [{}] * max(1, len(clips) - 1)


def test_a_batch_with_too_few_results_is_done_again_one_by_one(ops, make_spans):
    clips = run(ops.Tone() >> ops.Halves() >> ops.Raw() >> Short(), make_spans())
    assert [clip.verdict for clip in clips] == [Verdict.KEPT] * 2
