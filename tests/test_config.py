from __future__ import annotations

import sys
from pathlib import Path

import pytest

from audiocur.config import job
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, UserError
from audiocur.library import Library
from audiocur.placement import Via

BASE = ("source.path=music", "output.path=out")


def made(*words, **options):
    return job([*BASE, *words], **options)


def op(made, name):
    return next(step.op for step in made.pipeline.steps if step.name == name)


def test_a_recipe_is_built_from_its_parts():
    recipe = made()
    names = [step.name for step in recipe.pipeline.steps]
    assert names[:3] == ["decode", "vad", "segment"]
    assert names[-4:] == ["encode", "asr", "tag", "caption"]
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
        ("segment=phrases", r"segment=phrases: expected one of beat, phrase, voiced, whole, window"),
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
        ("placement.align.gpus=1", r"placement.align: expected an op of the pipeline"),
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
        ("pipeline=", r"pipeline=: expected a list of ops"),
        ("pipeline=[]", r"pipeline=\[\]: expected a list of ops"),
        ("keep.bandwith=", r"keep.bandwith=: nothing to take away; did you mean bandwidth\?"),
        ("keep.=x", r"keep.=x: expected keep.<name>.<parameter>=<value>"),
        ("keep..min=5", r"keep..min=5: expected keep.<name>.<parameter>=<value>"),
        ("keep=", r"keep=: expected keep.<name>.<parameter>=<value>"),
        ("placement.decode=", r"placement.decode=: nothing to take away$"),
        ("keep.loudness.min=nan", r"keep.loudness.min=nan: expected a finite number"),
        ("keep.loudness.max=inf", r"keep.loudness.max=inf: expected a finite number"),
        ("decode.span_s=inf", r"decode.span_s=inf: expected a finite number"),
        ("split.test=-inf", r"split.test=-inf: expected a finite number"),
        ("keep.loudness.allow=", r"keep.loudness.allow=: expected at least one value, or null"),
        ("keep.loudness.allow=[]", r"keep.loudness.allow=\[\]: expected at least one value"),
        ("measure=loudness", r"measure=loudness: not a choice; expected one of asr=, caption=, engine=, .*, tag="),
        ("transform=decode", r"transform=decode: not a choice"),
        ("measure=ludness", r"measure=ludness: not a choice"),
        ("recipe=~nosuchuser/x.yaml", r"recipe=~nosuchuser/x.yaml: expected a user of this machine after ~"),
    ],
)
def test_every_mistake_is_one_line_that_names_key_value_and_expectation(word, message):
    with pytest.raises(UserError, match=message) as caught:
        made(word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source.path=", "output.path=out"], r"source.path=: expected a folder of recordings"),
        (["source.path=in", "output.path="], r"output.path=: expected runs/NAME, a new directory"),
        (["source.path=~nosuchuser/x", "output.path=out"], r"source.path=~nosuchuser/x: expected a user of this"),
        (["source.path=in", "output.path=no://bucket/key"], r"output.path=no://bucket/key: expected a protocol"),
        (["source.path=in", "output.path=o\udcff"], r"output.path=o\udcff: expected a name in UTF-8"),
        (["engine=ray", "engine=local"], r"engine=local: given before as engine=ray; expected it once"),
        (["recipe=debug", "recipe=debug"], r"recipe=debug: given before as recipe=debug"),
        (["vad.threshold=0.4", "vad.threshold=0.6"], r"vad.threshold=0.6: given before as vad.threshold=0.4"),
        (["keep.dc=", "keep.dc.max=1"], r"keep.dc.max=1: contradicts keep.dc=; expected one of them"),
        (["keep.dc.max=1", "keep.dc="], r"keep.dc.max=1: contradicts keep.dc=; expected one of them"),
        (
            ["recipe=debug", "tag=measures"],
            r"tag=measures: tag is not in the pipeline; expected pipeline=\[\*,tag\] beside it",
        ),
        (["asr=pocketsphinx", "asr.when.column=key", "asr.when.min=0"], r"asr.when: key is no number; expected allow="),
        (["placement.caption.via=serve"], r"placement.caption.via=serve: expected an op with a model"),
        (
            ["asr=pocketsphinx", "placement.asr.gpus=1"],
            r"placement.asr.gpus=1: expected via=actor or via=serve beside it",
        ),
    ],
)
def test_mistakes_in_paths_and_in_several_words(words, message):
    with pytest.raises(UserError, match=message):
        job(words)


def test_a_plan_without_a_path_checks_the_rest_of_the_source():
    with pytest.raises(ConfigError, match=r"source.limt=3: unknown key; did you mean limit\?"):
        job(["source.limt=3"], to_run=False)


def test_a_comma_in_quotes_parts_nothing():
    words = made("keep.x.column=meta_x", """keep.x.allow=["Rock, Pop", 'R&B, "Soul"', Rock 'n' Roll, '70s]""")
    assert words.pipeline.rules["x"].allow == ["Rock, Pop", 'R&B, "Soul"', "Rock 'n' Roll", "'70s"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("keeps: {loudness: {min: -30}}", r"recipe=mine: keeps: unknown key; did you mean keep\?"),
        ("vda: {threshold: 0.6}", r"recipe=mine: vda: unknown key; did you mean vad\?"),
        ("window: {length_s: 5}", r"recipe=mine: window: unknown key"),
        ("folder: {limit: 3}", r"recipe=mine: folder: unknown key"),
        ("measure: {loudness: {}}", r"recipe=mine: measure: unknown key"),
        ("keep: {loudness: -30}", r"keep.loudness=-30: expected keys and values"),
        ("keep: {loudness: {column: loudness_lufs, min: .nan}}", r"keep.loudness.min=.nan: expected a finite number"),
        ("keep: {key: {column: key, allow: []}}", r"keep.key.allow=\[\]: expected at least one value"),
        ("output: {path: ''}", r"output.path=: expected runs/NAME"),
    ],
)
def test_a_mistake_in_a_recipe_is_said(tmp_path, lines, message):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/mine.yaml").write_text(
        "defaults:\n  - /source: folder\n  - /segment: phrase\n  - _self_\n"
        f"pipeline: [decode, vad, segment, loudness]\n{lines}\n"
    )
    with pytest.raises(ConfigError, match=message):
        job(["recipe=mine", "source.path=in"], [tmp_path])


def test_a_recipe_may_set_what_its_pipeline_leaves_out(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "defaults:\n  - /source: folder\n  - /segment: window\n  - /models: embedded\n  - _self_\n"
        "pipeline: [decode, segment]\nvad: {threshold: 0.6}\noutput: {path: ~/runs}\n"
    )
    recipe = job([f"recipe={tmp_path}/mine.yaml", "source.path=in"])
    assert [step.name for step in recipe.pipeline.steps] == ["decode", "segment"]
    assert str(recipe.output) == str(Path.home() / "runs")


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


WINDOW = "_target_: audiocur.ops.segment.window.Window\nlength_s: {}\n"


def test_an_own_part_takes_the_place_of_the_shipped_one(tmp_path):
    for name, length_s in (("first", 7), ("second", 8)):
        (tmp_path / name / "segment").mkdir(parents=True)
        (tmp_path / name / "segment/window.yaml").write_text(WINDOW.format(length_s))
    (tmp_path / "first/config.yaml").write_text("of: something else\n")
    folders = [tmp_path / "first", tmp_path / "second"]
    assert op(made("segment=window", config_dirs=folders), "segment").length_s == 7
    assert op(made("segment=window", config_dirs=folders[1:]), "segment").length_s == 8
    assert op(made("recipe=debug", config_dirs=folders), "segment").length_s == 10, "the recipe's own value stands"
    assert op(made("segment=window"), "segment").length_s not in (7, 8)


@pytest.mark.parametrize("odd", ["my conf (1)", "it's, [a] {b}: c\\", "a=b", "söng"])
def test_folders_recipes_and_parts_may_have_any_name(tmp_path, odd):
    folder = tmp_path / odd
    (folder / "segment").mkdir(parents=True)
    (folder / "recipes").mkdir()
    (folder / f"segment/{odd}.yaml").write_text(WINDOW.format(9))
    (folder / f"recipes/{odd}.yaml").write_text(
        "defaults:\n  - /source: demo\n  - /segment: window\n  - _self_\npipeline: [decode, segment]\n"
    )
    for recipe in (odd, f"{folder}/recipes/{odd}.yaml"):
        built = job([f"recipe={recipe}", "output.path=out", f"segment={odd}"], [folder])
        assert op(built, "segment").length_s == 9


@pytest.mark.parametrize("text", ["just a text\n", "5\n", "- a\n- list\n"])
def test_a_part_that_holds_no_keys_is_said(tmp_path, text):
    (tmp_path / "segment").mkdir()
    (tmp_path / "segment/mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"segment/mine\.yaml: expected keys and values"):
        made("segment=mine", config_dirs=[tmp_path])


def test_a_part_that_is_no_yaml_is_one_line(tmp_path):
    (tmp_path / "segment").mkdir()
    for broken in (b"a: [\n b: {", b"\xff\xfe\xff", b"day: 2024-13-45"):
        (tmp_path / "segment/mine.yaml").write_bytes(broken)
        with pytest.raises(ConfigError, match=r"segment/mine\.yaml: not valid YAML") as caught:
            made("segment=mine", config_dirs=[tmp_path])
        assert "\n" not in str(caught.value)


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


def test_a_star_is_the_recipes_own_pipeline():
    own = names(job(["source=demo", "output.path=x"]))
    longer = job(["source=demo", "output.path=x", "pipeline=[*,asr_check]", "asr_check=pocketsphinx"])
    assert names(longer) == [*own, "asr_check"]


def names(job):
    return [step.name for step in job.pipeline.steps]


def test_another_choice_than_the_models_make_takes_nothing_from_theirs():
    words = ["models=large", "asr=pocketsphinx", "tag=measures", "source=demo", "output.path=x"]
    ops = {step.name: step.op for step in job(words).pipeline.steps}
    assert type(ops["asr"]).__name__ == "Pocketsphinx"
    with pytest.raises(ConfigError, match=r"asr\.model=base: unknown key"):
        job([*words, "asr.model=base"])
