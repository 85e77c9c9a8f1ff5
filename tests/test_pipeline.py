from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import pytest

from audiocur.errors import ConfigError
from audiocur.op import ClipOp, Column
from audiocur.pipeline import Pipeline
from audiocur.placement import Placement, Via
from audiocur.rules import KeepRule


@dataclass(frozen=True, kw_only=True)
class Reader(ClipOp):
    name = "reader"
    reads = ("measured_start_s",)

    def measure(self, clip):
        return {}


@dataclass(frozen=True, kw_only=True)
class Thief(ClipOp):
    name = "thief"
    writes = (Column("duration_s", pa.float64(), "s", "not its own"),)

    def measure(self, clip):
        return {"duration_s": 0.0}


def test_ops_chain_in_order(ops):
    pipeline = ops.Tone() >> (ops.Halves() >> ops.Start()) >> ops.Raw()
    assert [step.name for step in pipeline.steps] == ["decode", "segment", "start", "encode"]
    pipeline.check()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda o: Pipeline.of(o.Halves(), o.Tone()), "segment at place 1: expected decode first"),
        (lambda o: o.Tone() >> o.Start(), "start works on clips, but nothing before it cuts any: expected segment"),
        (lambda o: o.Tone() >> o.Halves() >> o.Halves(), "segment stands in it twice"),
        (lambda o: o.Tone() >> o.Halves() >> Reader(), "reader reads measured_start_s, but no op in the pipeline"),
        (lambda o: o.Tone() >> o.Halves() >> Reader() >> o.Start(), "reads measured_start_s, but move start before it"),
        (
            lambda o: o.Tone() >> o.Halves() >> o.Counting(),
            "counting is a model, which hears stored clips: expected encode",
        ),
        (lambda o: o.Tone() >> o.Halves() >> Thief(), "thief writes duration_s, which every run writes already"),
    ],
)
def test_what_cannot_work_is_refused(ops, build, message):
    with pytest.raises(ConfigError, match=message):
        build(ops).check()


def test_neighbours_of_one_placement_are_fused(ops):
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw() >> ops.Counting()
    (stage,) = pipeline.plan()
    assert stage.names == "decode → segment → start → encode → counting"
    assert stage.final

    actors = Placement(via=Via.actor, actors=[1, 2])
    first, second = replace(pipeline, placements={"counting": actors}).plan()
    assert (first.names, second.names) == ("decode → segment → start → encode", "counting")
    assert not first.final
    assert "measured_start_s" in second.known


def test_decoded_audio_does_not_travel(ops):
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw()
    apart = replace(pipeline, placements={"start": Placement(via=Via.actor)})
    with pytest.raises(ConfigError, match=r"placement\.start.*decoded audio does not travel"):
        apart.plan()


def test_a_placement_of_no_op_is_refused(ops):
    with pytest.raises(ConfigError, match=r"placement\.asr: expected an op of the pipeline"):
        replace(ops.Tone() >> ops.Halves(), placements={"asr": Placement()}).check()


def test_a_rule_whose_column_nobody_writes_is_inactive(ops):
    rules = {"start": KeepRule(column="measured_start_s", min=0), "loud": KeepRule(column="loudness_lufs")}
    pipeline = replace(ops.Tone() >> ops.Halves() >> ops.Start(), rules=rules)
    assert list(pipeline.active_rules()) == ["start"]


def test_a_rule_may_judge_what_every_clip_has(ops):
    meta = [pa.field("mood", pa.string())]
    rules = {
        "long": KeepRule(column="duration_s", min=6),
        "free": KeepRule(column="license", allow=["CC0-1.0"]),
        "calm": KeepRule(column="meta_mood", allow=["calm"]),
    }
    pipeline = replace(ops.Tone() >> ops.Halves(), rules=rules)
    assert list(pipeline.active_rules(meta)) == ["long", "free", "calm"]


def test_a_bound_on_a_text_is_refused(ops):
    with pytest.raises(ConfigError, match=r"keep\.free: license is no number; expected allow"):
        replace(ops.Tone() >> ops.Halves(), rules={"free": KeepRule(column="license", min=1)}).check()


@pytest.mark.parametrize(
    "wrong", [{"cpus": -1}, {"gpus": -0.5}, {"actors": [2, 1]}, {"actors": [0]}, {"batch_clips": 0}]
)
def test_placements_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name}="):
        Placement(**wrong)
