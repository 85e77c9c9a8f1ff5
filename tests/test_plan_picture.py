"""The plan as a picture: all of it is text, in its place, and looks after itself on any screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from audiocur.config import job
from audiocur.inspect.plan_picture import plan_svg
from audiocur.job import Job
from audiocur.op import ClipOp, Column
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.pipeline import Pipeline, Step
from audiocur.rules import KeepRule

RECIPES = {
    "small": ["recipe=debug"],
    "whole": ["recipe=music_gen"],
    "spread": [
        *("recipe=music_gen", "models=base", "separate=hdemucs", "align=ctc", "pipeline=[*,separate,align]"),
        *("placement.asr.via=actor", "placement.asr.gpus=1", "placement.tag.via=serve", "placement.tag.actors=[1,4]"),
        *("keep.sung.column=asr_confidence", "keep.sung.min=0.5", "tag.when.column=voiced_ratio", "tag.when.min=0.1"),
    ],
}
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True, kw_only=True)
class Odd(ClipOp):
    """An op whose names and parameters are not what a picture is used to."""

    name = "odd"
    writes = (Column("a_column_" + 80 * "x", pa.float32(), "", ""),)
    given: str = '<b>&amp; $x_1$ "quoted" \x1b ' + 300 * "y"


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    return {name: job(words, to_run=False) for name, words in RECIPES.items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_of_the_plan_is_text(jobs, recipe):
    made = jobs[recipe]
    svg = plan_svg(made)
    said = " ".join(texts(svg))
    for step in made.pipeline.steps:
        assert step.name in texts(svg)
        for name in (*step.op.reads, *(column.name for column in step.op.writes)):
            assert name in said
    for name, rule in made.pipeline.active_rules().items():
        assert f"keep.{name}: {rule.bounds}" in texts(svg)
    stages = made.stages()
    for number, stage in enumerate(stages, 1):
        assert any(text.startswith(f"Stage {number}: {stage.placement.where}") for text in texts(svg))
    assert texts(svg)[0] == "recordings"


def test_it_is_described_in_words_and_asks_for_nothing(jobs):
    svg = plan_svg(jobs["spread"])
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "A pipeline of 4 stages"
    assert "Stage 2: 1 actors of 1 CPU and 1 GPU: asr" in root.find(f"{SVG}desc").text
    assert "keep rules: sung" in root.find(f"{SVG}desc").text
    assert re.findall(r"https?://[^\"' ]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in svg


def test_an_arc_leads_from_who_writes_to_who_reads(jobs):
    curves = re.compile(r'd="M [\d.]+ ([\d.]+)\s+C [\d. ]+ ([\d.]+)\s*"')
    assert curves.findall(plan_svg(jobs["small"])) == []
    made = jobs["whole"]
    writer = {column.name: step.name for step in made.pipeline.steps for column in step.op.writes}
    flows = {(writer[name], step.name) for step in made.pipeline.steps for name in step.op.reads if name in writer}
    found = curves.findall(plan_svg(made))
    assert len(found) == len(flows) > 5
    assert all(float(begin) < float(end) for begin, end in found)  # downwards


def test_the_same_plan_is_the_same_file(jobs):
    assert plan_svg(jobs["whole"]) == plan_svg(jobs["whole"])


def test_no_name_breaks_it(tmp_path):
    steps = (Step("decode", Decode()), Step("segment", Window()), Step("o<d>d & $x$", Odd()))
    rules = {"<r>": KeepRule(column=Odd.writes[0].name, max=1.0)}
    svg = plan_svg(Job.of(Pipeline(steps, rules), tmp_path, tmp_path / "run"))
    assert "o<d>d & $x$" in texts(svg)
    assert any(text.startswith("keep.<r>: a_column_xxx") for text in texts(svg))
    assert "\x1b" not in svg


#: Leaves in the page what does not lie within the picture, and which texts lie on each other.
LOOK = """
const svg = document.querySelector("svg"), wrong = [];
const boxes = [...svg.querySelectorAll("text")].map(text => [text.textContent.trim(), text.getBoundingClientRect()]);
const frame = svg.getBoundingClientRect();
boxes.forEach(([text, box], at) => {
  if (!box.width || box.left < frame.left || box.right > frame.right - 18 || box.bottom > frame.bottom)
    wrong.push("outside: " + text);
  boxes.slice(at + 1).forEach(([other, its]) => {
    const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
    if (across > 0 && Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top) > 4)
      wrong.push(text + " lies on " + other);
  });
});
const found = document.createElement("pre");
found.textContent = boxes.length + " texts; " + wrong.join("; ");
document.body.replaceChildren(found);
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH")
@pytest.mark.parametrize("recipe", RECIPES)
def test_in_a_browser_no_text_lies_on_another(jobs, recipe, tmp_path):
    svg = plan_svg(jobs[recipe])
    (tmp_path / "plan.html").write_text(f"<!doctype html><meta charset=utf-8>{svg}<script>{LOOK}</script>")
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", (tmp_path / "plan.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    (found,) = re.findall(r"<pre>(.*)</pre>", done.stdout, re.DOTALL)
    assert found == f"{len(texts(svg))} texts; "
