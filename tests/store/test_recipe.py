from __future__ import annotations

import json

import pytest
import yaml

from audiocur.errors import OutputError
from audiocur.store.recipe import claim, differences, fingerprint

RECIPE = {"fingerprint": "a", "audiocur": "0.1", "vad": {"threshold": 0.5}, "engine": {"cpus": 1}}


def test_where_it_runs_is_not_in_the_fingerprint():
    assert fingerprint(RECIPE) == fingerprint(RECIPE | {"engine": {"cpus": 2}, "output": {"path": "x"}})
    assert fingerprint(RECIPE) != fingerprint(RECIPE | {"vad": {"threshold": 0.6}})


def test_differences_name_key_and_both_values():
    assert differences(RECIPE, RECIPE | {"vad": {"threshold": 0.6}, "engine": {}}) == [
        "vad.threshold: 0.5 there, 0.6 here"
    ]
    assert differences(RECIPE, RECIPE | {"split": {"seed": 1}}) == ["split.seed: absent there, 1 here"]


def test_a_new_directory_is_claimed_and_claimed_again(tmp_path):
    run = tmp_path / "deep/run"
    assert claim(run, RECIPE) is False
    assert yaml.safe_load((run / "recipe.yaml").read_text()) == RECIPE
    assert "numpy" in json.loads((run / "environment.json").read_text())
    assert claim(run, RECIPE) is True


def test_another_recipe_is_refused_with_what_differs(tmp_path):
    claim(tmp_path / "run", RECIPE)
    with pytest.raises(OutputError, match=r"another recipe's run \(vad.threshold: 0.5 there, 0.7 here\)"):
        claim(tmp_path / "run", RECIPE | {"fingerprint": "b", "vad": {"threshold": 0.7}})


def test_a_directory_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match="expected a new or empty directory"):
        claim(tmp_path, RECIPE)


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="expected a new or empty directory"):
        claim(tmp_path / "file", RECIPE)
    with pytest.raises(OutputError, match="cannot be written"):
        claim(tmp_path / "file" / "below", RECIPE)


def test_the_order_of_rules_counts():
    rules = {"a": {"column": "x"}, "b": {"column": "y"}}
    assert fingerprint({"keep": rules}) != fingerprint({"keep": dict(reversed(rules.items()))})


def test_a_recipe_of_something_else_is_refused(tmp_path):
    for content in ("", "a: b", "- 1"):
        (tmp_path / "recipe.yaml").write_text(content)
        with pytest.raises(OutputError, match="none of audiocur's"):
            claim(tmp_path, RECIPE)
