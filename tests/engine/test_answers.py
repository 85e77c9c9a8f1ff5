from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from audiocur.audio import Audio
from audiocur.engine import answers
from audiocur.engine.uploads import Refused
from audiocur.errors import ConfigError, RowError
from audiocur.op import ClipOp, Column, ModelOp, SpanOp
from audiocur.ops.caption.describe import Describe
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.silence import Silence
from audiocur.ops.measure.vad import Vad
from audiocur.ops.segment.phrase import Phrase
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline, Step
from audiocur.records import Source, Span, Stored
from audiocur.rules import KeepRule


@dataclass(frozen=True, kw_only=True)
class Words(ModelOp):
    name = "words"
    makes = ("words_heard",)
    writes = (Column("lyrics", pa.string(), "", "what is sung"), Column("raw", pa.binary(), "", "bytes"))


@dataclass(frozen=True, kw_only=True)
class Check(ModelOp):
    name = "check"
    takes = ("words_heard",)
    writes = (Column("agreement_ratio", pa.float32(), "ratio", "how far two agree"),)


@dataclass(frozen=True, kw_only=True)
class Tags(ClipOp):
    name = "tag"
    reads = ("lyrics",)
    writes = (Column("tags", pa.list_(pa.string()), "", "words"),)


@dataclass(frozen=True, kw_only=True)
class Denoise(SpanOp):
    name = "denoise"


RULES = {
    "agree": KeepRule(column="agreement_ratio", min=0.5),
    "loud": KeepRule(column="loudness_lufs", min=-30),
    "quiet": KeepRule(column="silence_ratio", max=0.1),
}


def pipeline(*more, rules=RULES) -> Pipeline:
    ops = [Decode(), Vad(), *more, Phrase(), Loudness(), Silence(), Encode(), Words(), Check(), Tags(), Describe()]
    when = {"words": KeepRule(column="voiced_ratio", min=0.1)}
    made = Pipeline(tuple(Step(op.name, op, when.get(op.name)) for op in ops), rules)
    return answers.of_one_clip(made, 60)


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (["duration_s"], [("decode", "segment")]),
        (["silence_ratio"], [("decode", "segment", "silence")]),
        (["channels"], [("decode", "segment", "encode")]),
        # its bound is on what vad writes
        (["lyrics"], [("decode", "segment", "vad", "encode"), ("words",)]),
        # it takes what words makes
        (["agreement_ratio"], [("decode", "segment", "vad", "encode"), ("words",), ("check",)]),
        # it reads tags, which read lyrics
        (["caption"], [("decode", "segment", "vad", "encode"), ("words",), ("tag", "caption")]),
        # the rules judge loudness, silence and agreement
        (["verdict"], [("decode", "segment", "vad", "loudness", "silence", "encode"), ("words",), ("check",)]),
    ],
)
def test_columns_bring_what_they_come_from_and_nothing_else(asked, parts):
    work = answers.wanted(pipeline(), asked)
    assert work.columns == tuple(asked)
    assert work.parts == tuple(parts)


def test_by_default_every_op_works_and_every_column_but_bytes_is_answered():
    made = pipeline()
    work = answers.wanted(made, None)
    assert [name for part in work.parts for name in part] == [step.name for step in made.steps]
    assert {column.name for column in made.columns} - {*work.columns} == {"raw"}
    assert {"duration_s", "sample_rate_hz", "channels", "verdict", "rule", "rules", "reason"} <= {*work.columns}


def test_what_changes_the_audio_is_never_left_out():
    (part,) = answers.wanted(pipeline(Denoise()), ["silence_ratio"]).parts
    assert part == ("decode", "segment", "denoise", "silence")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["lyrcs"], "columns=lyrcs: unknown column; did you mean lyrics?"),
        (["raw"], "columns=raw: unknown column"),
        ([""], "columns=: unknown column"),
    ],
)
def test_an_unknown_column_is_refused(asked, message):
    with pytest.raises(Refused) as refused:
        answers.wanted(pipeline(), asked)
    assert refused.value.status == 400
    assert refused.value.reason.startswith(message)


def test_an_op_that_reads_what_segment_wrote_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Cuts(Phrase):
        writes = (Column("tags", pa.list_(pa.string()), "", "words"),)

    with pytest.raises(ConfigError, match="caption reads tags"):
        answers.of_one_clip(Decode() >> Vad() >> Cuts() >> Describe(), 60)


def span(seconds: float = 2.0, *, last: bool = True) -> Span:
    samples = np.zeros((2, round(seconds * 8000)), np.float32)
    source = Source(source_id="0" * 16, uri="upload", path=b"")
    audio = Audio(samples, 8000)
    return Span(source=source, rate_hz=8000, channels=2, num_samples=samples.shape[1], last=last, audio=audio)


def test_the_recording_is_one_clip_or_none():
    whole = span()
    answers.Entire(max_s=2).apply(whole)
    assert [(clip.start_s, clip.end_s) for clip in whole.clips] == [(0, 2)]
    with pytest.raises(RowError, match=r"too long: expected at most 2 s \(serve.max_s\)"):
        answers.Entire(max_s=2).apply(span(2.0, last=False))
    with pytest.raises(RowError, match=r"too long: decode\.span_mb holds 2 s of 2 channels at 8000 Hz"):
        answers.Entire(max_s=60).apply(span(2.0, last=False))


def measured(**measures) -> Span:
    made = span()
    clip = made.cut(0, made.num_samples)
    clip.stored = Stored(b"", "flac", 8000, 2, made.num_samples)
    clip.measures |= measures
    return made


def test_an_answer_has_the_types_of_its_columns():
    made = measured(silence_ratio=0.1, lyrics=None, tags=["a"])
    found = answers.answer(pipeline(), ["silence_ratio", "lyrics", "tags", "sample_rate_hz", "duration_s"], made)
    single = float(np.float32(0.1))
    assert found == {
        "silence_ratio": single,
        "lyrics": None,
        "tags": ["a"],
        "sample_rate_hz": 8000,
        "duration_s": 2.0,
    }


def test_the_rule_that_judges_first_in_a_run_is_named_first():
    made = measured(agreement_ratio=0.1, loudness_lufs=-40.0, silence_ratio=0.5)
    assert answers.answer(pipeline(), answers.VERDICT, made) == {
        "verdict": "rejected",
        "rule": "loud",
        "rules": ["loud", "quiet", "agree"],
        "reason": "loudness_lufs is -40, below min -30",
    }
    made = measured(agreement_ratio=0.9, loudness_lufs=-20.0, silence_ratio=0.0)
    assert answers.answer(pipeline(), answers.VERDICT, made) == {
        "verdict": "kept",
        "rule": None,
        "rules": [],
        "reason": None,
    }


def test_the_schema_names_every_column_with_type_unit_and_meaning():
    properties = answers.schema(pipeline())["properties"]
    assert properties.keys() == answers.offered(pipeline()).keys()
    assert properties["tags"]["type"] == ["array", "null"]
    assert properties["tags"]["items"] == {"type": "string"}
    assert properties["voiced"]["items"]["properties"]["start_s"] == {"type": ["number", "null"]}
    assert properties["silence_ratio"]["description"].endswith("(ratio)")
