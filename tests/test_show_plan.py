"""The plan as text: what runs where, in which order, and where rules apply."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from rich.console import Console

from audiocur.config import job
from audiocur.drawing import Gate, drawn_stages
from audiocur.job import Job
from audiocur.show_plan import show_plan

#: A rule over a column of a model's, one over a column that nothing writes, and models on hardware of their own.
SPREAD = [
    "recipe=music_gen",
    "models=base",
    "placement.tag.via=actor",
    "placement.tag.actors=[1,4]",
    "placement.tag.gpus=0.5",
    "placement.caption.via=actor",
    "keep.sung.column=asr_confidence",
    "keep.sung.min=0.5",
    "keep.tagged.column=tags",
    "keep.tagged.allow=[fast]",
    "keep.of_nobody.column=aesthetics_pq",
    "tag.when.column=voiced_ratio",
    "tag.when.min=0.1",
]


@pytest.fixture(scope="module")
def spread() -> Job:
    return job(SPREAD, to_run=False)


def planned(made, width) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, color_system=None)
    show_plan(console, made)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def gates(stage) -> dict[str, list[str]]:
    """Names of rules, by the step that follows their gate."""
    rows = [*stage.rows, None]
    return {
        getattr(after, "name", ""): [name for name, _ in gate.rules]
        for gate, after in pairwise(rows)
        if isinstance(gate, Gate)
    }


def test_rules_stand_where_they_first_apply(spread):
    cpu, asr, tag, caption = drawn_stages(spread)
    first = [*job(["recipe=music_gen"], to_run=False).pipeline.rules]
    assert gates(cpu) == {"encode": first}
    assert gates(asr) == {}
    assert gates(tag) == {"tag": ["sung"]}
    assert gates(caption) == {"": ["tagged"]}
    assert cpu.title == f"Stage 1: tasks of 1 CPU, {spread.engine.workers} at once"
    assert tag.title == "Stage 3: 1–4 actors of 1 CPU and 0.5 GPU"


def test_a_rule_over_what_the_last_op_writes_applies_at_the_end():
    (stage,) = drawn_stages(job(["recipe=debug", "pipeline=[decode,segment,loudness]"], to_run=False))
    assert gates(stage) == {"": ["loudness"]}
    assert stage.passes_on == "every span and every clip, with all columns, into the ledger"


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_it_fits_and_leaves_nothing_out(spread, width):
    lines = planned(spread, width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).replace("│", " ").split())
    for step in spread.pipeline.steps:
        assert step.name in text
        for column in step.op.writes:
            assert column.name in text
    for line in (
        "◆ keep.sung: asr_confidence from 0.5",
        "◆ keep.loudness: loudness_lufs from -40 to -5",
        "keep.of_nobody: inactive: nothing in the pipeline writes aesthetics_pq",
        "▼ clips as they are stored, and their columns",
        "▼ kept clips into shards; every span and every clip",
        "voiced_ratio from 0.1",
    ):
        assert line in text, line


def test_ops_stand_in_their_order_with_gates_between(spread):
    text = "\n".join(planned(spread, 120))
    marks = [
        "▼ recordings",
        "Stage 1",
        "│ decode ",
        "│ key ",
        "◆ keep.music",
        "│ encode ",
        "▼ clips",
        "Stage 2",
        "│ asr ",
    ]
    marks += ["Stage 3", "◆ keep.sung", "│ tag ", "Stage 4", "│ caption ", "◆ keep.tagged", "▼ kept clips"]
    assert [text.index(mark) for mark in marks] == sorted(text.index(mark) for mark in marks)
