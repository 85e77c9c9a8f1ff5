from __future__ import annotations

import sys

import pytest

from audiocur.config import job
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, UserError
from audiocur.library import Library
from audiocur.pipeline import Via

BASE = ("source.path=music", "output.path=out")


def made(*words, **options):
    return job([*BASE, *words], **options)


def op(made, name):
    return next(step.op for step in made.pipeline.steps if step.name == name)


def test_a_recipe_is_built_from_its_parts():
    recipe = made()
    names = [step.name for step in recipe.pipeline.steps]
    assert names[:3] == ["decode", "vad", "segment"]
    assert names[-3:] == ["encode", "tag", "caption"]
    assert "loudness" in recipe.pipeline.rules


def test_parameters_choices_and_rules_are_set_as_typed():
    recipe = made(
        "recipe=music_gen",
        "vad.threshold=0.6",
        "segment=window",
        "segment.length_s=20",
        "keep.loudness.min=-30",
        "keep.bandwidth=",
        "keep.loudness.max=",
        "keep.tempo.column=tempo_bpm",
        "keep.tempo.min=1e2",
        "engine=local",
        "placement.tag.via=actor",
        "placement.tag.actors=1,3",
        "split.test=0.1",
    )
    assert op(recipe, "vad").threshold == 0.6
    assert op(recipe, "segment").length_s == 20
    assert recipe.pipeline.rules["loudness"].min == -30
    assert "bandwidth" not in recipe.pipeline.rules
    assert recipe.pipeline.rules["loudness"].max is None
    assert (recipe.pipeline.rules["tempo"].column, recipe.pipeline.rules["tempo"].min) == ("tempo_bpm", 100)
    assert isinstance(recipe.engine, LocalEngine)
    placement = recipe.pipeline.placements["tag"]
    assert (placement.via, placement.actors) == (Via.actor, [1, 3])
    assert recipe.split.test == 0.1


@pytest.mark.parametrize(
    "path",
    ["My Music (live)", "a?x=1&y=[2]", "${HOME}/x", r"back\slash", "söng, naïve", "'quoted'", "# no comment", "null"],
)
def test_paths_are_literal(path):
    recipe = job([f"source.path={path}", f"output.path={path}/out"])
    assert recipe.source.path == path
    assert str(recipe.output) == f"{path}/out"


def test_a_tilde_is_the_home_directory(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ella")
    recipe = job(["source.path=~/Music", "output.path=~/runs/mine"])
    assert recipe.source.path == "/home/ella/Music"
    assert str(recipe.output) == "/home/ella/runs/mine"


@pytest.mark.parametrize(
    "typed", ["[decode,vad,segment,loudness]", "decode,vad,segment,loudness", "[decode, vad, segment, loudness]"]
)
def test_the_pipeline_can_be_shortened(typed):
    recipe = made(f"pipeline={typed}")
    assert [step.name for step in recipe.pipeline.steps] == ["decode", "vad", "segment", "loudness"]
    assert "bandwidth" not in recipe.pipeline.active_rules()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("vad.treshold=0.6", r"vad.treshold=0.6: unknown key; did you mean threshold\?"),
        ("vda.threshold=0.6", r"vda.threshold=0.6: unknown key; did you mean vad\?"),
        ("vad.threshold=loud", r"vad.threshold=loud: expected a number"),
        ("vad.threshold=", r"vad.threshold=: expected a number"),
        ("vad.threshold=1.5", r"vad.threshold=1.5: expected a probability"),
        ("vad=0.5", r"vad=0.5: expected vad.<parameter>=<value>"),
        ("segment=phrases", r"segment=phrases: expected one of phrase, voiced, whole, window"),
        ("segment.length_s=3", r"segment.length_s=3: unknown key"),
        ("recipe=music", r"recipe=music: expected a YAML file, or one of debug, music_gen"),
        ("pipeline=[decode,vda]", r"pipeline: vda is no op; did you mean vad\?"),
        ("pipeline=[decode,segment,source]", r"pipeline: source is a reserved name"),
        ("pipeline=[vad,decode]", r"pipeline: vad at place 1: expected decode first"),
        ("pipeline=[decode,segment,loudness]", r"pipeline: segment reads voiced, but no op in the pipeline writes it"),
        ("pipeline=[decode,vad,segment,vad]", r"pipeline: vad stands in it twice"),
        ("pipeline=[decode,vad", r"pipeline=\[decode,vad: expected a list"),
        ("keep.lodness.min=-30", r"keep.lodness: no such rule; did you mean loudness\?"),
        ("keep.loudness.mim=-30", r"keep.loudness.mim=-30: unknown key; did you mean min\?"),
        ("keep.loudness.min=quiet", r"keep.loudness.min=quiet: expected a number, or nothing"),
        ("keep.loudness.min=3", r"keep.loudness.min=3: expected at most max=-5"),
        ("keep.loudness.null=maybe", r"keep.loudness.null=maybe: expected one of reject, keep"),
        (
            "keep.loudness.column=loudnes_lufs",
            r"keep.loudness.column=loudnes_lufs: no op writes it; did you mean loudness_lufs",
        ),
        ("keep.loudness=-30", r"keep.loudness=-30: expected keep.loudness.<parameter>=<value>"),
        ("placement.asr.gpus=1", r"placement.asr: expected an op of the pipeline"),
        ("placement.tag.via=cloud", r"placement.tag.via=cloud: expected one of task, actor"),
        ("placement.tag.actors=0", r"placement.tag.actors=\[0\]: expected a number of actors"),
        ("split.test=2", r"split.test=2.0: expected a fraction, 0 to 1"),
        ("limits.max_attempts=0", r"limits.max_attempts=0: expected a number of attempts"),
        ("engine=spark", r"engine=spark: expected one of local, ray"),
        ("engine.cpus=0", r"engine.cpus=0: expected a number of workers"),
        ("source=tape", r"source=tape: expected one of"),
        ("source.limit=-1", r"source.limit=-1: expected a number of recordings"),
        ("surce.limit=1", r"surce.limit=1: unknown key; did you mean source\?"),
        ("sox.rate=1", r"sox.rate=1: unknown key"),
        ("window.length_s=1", r"window.length_s=1: window is not in the pipeline"),
        ("threshold", r"threshold: expected key=value"),
        ("=5", r"=5: expected key=value"),
    ],
)
def test_every_mistake_is_one_line_that_names_key_value_and_expectation(word, message):
    with pytest.raises(UserError, match=message) as caught:
        made(word)
    assert "\n" not in str(caught.value)


def test_missing_values_are_named():
    with pytest.raises(ConfigError, match=r"source.path: missing; expected source.path="):
        job(["output.path=out"])
    with pytest.raises(ConfigError, match=r"output.path: missing; expected output.path=runs/NAME"):
        job(["source.path=in"])


def test_a_plan_needs_neither_path():
    assert job([], to_run=False).source.list().sources == []


def test_own_parts_recipes_and_ops(tmp_path, monkeypatch):
    (tmp_path / "measure").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "own_ops_of_ella.py").write_text(
        "from dataclasses import dataclass\n"
        "import pyarrow as pa\n"
        "from audiocur.op import ClipOp, Column\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Peak(ClipOp):\n"
        "    name = 'peak'\n"
        "    writes = (Column('peak', pa.float32(), '', 'largest sample'),)\n"
        "    scale: float = 1.0\n"
        "    def measure(self, clip):\n"
        "        return {'peak': self.scale * float(abs(clip.audio.samples).max())}\n"
    )
    (tmp_path / "measure/peak.yaml").write_text("_target_: own_ops_of_ella.Peak\nscale: 2.0\n")
    (tmp_path / "recipes/mine.yaml").write_text(
        "defaults:\n  - /source: folder\n  - /segment: window\n  - _self_\n"
        "pipeline: [decode, segment, peak]\npeak: {scale: 3.0}\nkeep:\n  peak: {column: peak, max: 2}\n"
    )
    monkeypatch.setattr(sys, "path", sys.path.copy())
    recipe = job([*BASE, "recipe=mine"], [tmp_path])
    assert op(recipe, "peak").scale == 3.0
    assert list(recipe.pipeline.active_rules()) == ["peak"]
    by_path = job([*BASE, f"recipe={tmp_path}/recipes/mine.yaml", "peak.scale=4"], [tmp_path])
    assert op(by_path, "peak").scale == 4.0


def test_a_recipe_builds_ops_and_nothing_else(tmp_path):
    (tmp_path / "measure").mkdir()
    for target in ("os.system", "subprocess.Popen", "pathlib.Path", "no.such.module", "audiocur.records.Clip", "", "x"):
        (tmp_path / "measure/evil.yaml").write_text(f"_target_: {target!r}\nargs: touch\n")
        with pytest.raises(
            ConfigError, match=r"evil.yaml: _target_=.*expected the dotted name of a dataclass of kind Op"
        ):
            job([*BASE, "pipeline=[decode,evil]"], [tmp_path])


def test_a_recipe_that_is_no_yaml_is_one_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("pipeline: [decode\n  keep: {")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not valid YAML") as caught:
        job([*BASE, f"recipe={tmp_path}/bad.yaml"])
    assert "\n" not in str(caught.value)


def test_a_config_dir_that_is_missing_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"--config-dir .*nowhere: no such folder"):
        job([*BASE], [tmp_path / "nowhere"])


def test_the_fingerprint_covers_what_decides_the_result():
    base = made().recipe()["fingerprint"]
    assert (
        made("engine=local", "placement.tag.via=actor", "limits.max_attempts=9", "source.limit=3").recipe()[
            "fingerprint"
        ]
        == base
    )
    for word in ("vad.threshold=0.51", "keep.loudness.min=-39", "split.seed=1", "keep.dc=", "segment=whole"):
        assert made(word).recipe()["fingerprint"] != base


def test_every_group_is_found_in_the_checkout():
    library = Library()
    assert {"music_gen", "debug"} <= set(library.recipes)
    assert {"source", "segment", "measure", "transform", "tag", "caption", "models", "engine"} <= set(library.parts)
