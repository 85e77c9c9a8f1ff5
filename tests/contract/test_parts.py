"""Every YAML in conf/ holds to the contract: it builds, repeats its class's defaults, its op writes what it says."""

from __future__ import annotations

import pickle
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from audiocur.audio import Audio
from audiocur.build import build, target
from audiocur.engine.base import Engine
from audiocur.errors import RowError
from audiocur.library import RESERVED, Library
from audiocur.op import ClipOp, Encoder, ModelOp, Op, SpanOp
from audiocur.records import Source, Span
from audiocur.schema import BASE_COLUMNS, ledger_schema
from audiocur.sources.base import SourceSet

PARTS = {
    f"{group}/{name}": path
    for group, parts in Library().parts.items()
    for name, path in parts.items()
    if group != "models"
}


def loaded(path: Path):
    node = yaml.safe_load(path.read_text())
    node.pop("when", None)  # of the step, not of the op
    return target(node.pop("_target_"), object, str(path)), node


OPS = {name: path for name, path in PARTS.items() if issubclass(loaded(path)[0], Op)}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_lies_where_its_class_does(name):
    cls, _ = loaded(PARTS[name])
    group, stem = name.split("/")
    folder = {"source": "sources", "engine": "engine"}.get(group, f"ops.{group}")
    assert cls.__module__ == f"audiocur.{folder}.{stem}"
    assert issubclass(cls, Op | SourceSet | Engine)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_repeats_its_classs_defaults(name):
    cls, node = loaded(PARTS[name])
    assert is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    declared = {field.name for field in fields(cls)}
    assert set(node) == declared, "a YAML shows every parameter"
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    given = dict.fromkeys(required, "somewhere")
    assert {key: node[key] for key in required} == dict.fromkeys(required, "???")
    assert build(cls, name, node | given, {}) == cls(**given)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_says_in_its_first_line_what_it_does(name):
    first = PARTS[name].read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")


@pytest.mark.parametrize("name", PARTS)
def test_a_part_pickles(name):
    cls, node = loaded(PARTS[name])
    part = build(cls, name, {key: "somewhere" if value == "???" else value for key, value in node.items()}, {})
    assert pickle.loads(pickle.dumps(part)) == part


@pytest.mark.parametrize("name", OPS)
def test_an_op_declares_itself(name):
    cls, _ = loaded(OPS[name])
    group, stem = name.split("/")
    assert cls.name == (stem if group in ("measure", "transform") else group)
    assert cls.name not in RESERVED
    assert cls.__doc__
    assert cls.__doc__.strip()
    for column in cls.writes:
        assert column.name not in BASE_COLUMNS
        assert column.meaning
        assert isinstance(column.type, pa.DataType)
    assert issubclass(cls, SpanOp | ClipOp | ModelOp)


#: An op that stands in for another, in two halves.
INSTEAD = {"whisper_decode": "asr"}


def test_no_two_parts_of_different_names_write_the_same_column():
    written: dict[str, str] = {}
    for path in OPS.values():
        cls, _ = loaded(path)
        name = INSTEAD.get(cls.name, cls.name)
        for column in cls.writes:
            assert written.setdefault(column.name, name) == name


def span_of(samples: np.ndarray, rate_hz: int) -> Span:
    return Span(
        source=Source(source_id="0" * 16, uri="x.wav", path=b""),
        rate_hz=rate_hz,
        channels=len(samples),
        num_samples=samples.shape[1],
        audio=Audio(samples.astype(np.float32), rate_hz) if samples.size else None,
    )


RNG = np.random.default_rng(0)
HARD = {
    "one sample": (np.ones((1, 1)) * 0.1, 44_100),
    "silence": (np.zeros((2, 44_100 * 6)), 44_100),
    "8 kHz": (RNG.normal(0, 0.1, (1, 8000 * 6)), 8000),
    "384 kHz": (RNG.normal(0, 0.1, (2, 384_000)), 384_000),
    "8 channels": (RNG.normal(0, 0.1, (8, 48_000 * 4)), 48_000),
    "full scale": (np.sign(RNG.normal(0, 1, (2, 44_100 * 5))), 44_100),
    "shorter than a window": (RNG.normal(0, 0.1, (2, 1000)), 44_100),
}


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, path in OPS.items()
        if not name.startswith(("transform/decode", "segment/", "tag/", "caption/"))
        and not issubclass(loaded(path)[0], ModelOp)
    ],
)
def test_an_op_survives_hard_audio_and_writes_what_it_declares(name, hard):
    cls, _ = loaded(OPS[name])
    op, span = cls(), span_of(*HARD[hard])
    if isinstance(op, SpanOp):
        op.apply(span)
    clip = span.cut(0, span.num_samples)
    measures = op.measure(span, clip) if isinstance(op, SpanOp) else op.measure(clip)
    assert measures.keys() == {column.name for column in cls.writes}
    for column in cls.writes:
        (value,) = pa.array([measures[column.name]], column.type).to_pylist()
        assert not isinstance(value, float) or np.isfinite(value)


@pytest.mark.parametrize("name", [name for name in OPS if name.startswith("segment/")])
@pytest.mark.parametrize("hard", ["one sample", "silence", "8 kHz", "8 channels"])
def test_a_segmenter_cuts_within_its_span(name, hard):
    cls, _ = loaded(OPS[name])
    span = span_of(*HARD[hard])
    span.annotations["voiced"] = []
    cls().apply(span)
    assert all(0 <= clip.start_sample < clip.end_sample <= span.num_samples for clip in span.clips)
    assert 0 <= span.uncut_s <= span.duration_s


def test_the_schema_of_all_ops_together_is_one_schema():
    columns = {column.name: column for path in OPS.values() for column in loaded(path)[0].writes}
    schema = ledger_schema(columns.values())
    told = [column for column in columns.values() if column.type != pa.binary()]
    assert len(schema.names) == len(set(schema.names)) == len(BASE_COLUMNS) - 1 + len(told)
    for field in schema:
        assert field.metadata[b"meaning"]


def test_encoders_refuse_nothing_that_decode_lets_through():
    (encode,) = [loaded(path)[0] for path in OPS.values() if issubclass(loaded(path)[0], Encoder)]
    for samples, rate_hz in HARD.values():
        clip = span_of(samples, rate_hz).cut(0, samples.shape[1])
        try:
            encode().measure(clip)
        except RowError as error:
            pytest.fail(f"{rate_hz} Hz, {len(samples)} channels: {error}")
        assert clip.audio.num_samples == samples.shape[1]
