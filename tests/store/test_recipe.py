from __future__ import annotations

import json

import pytest
import yaml

from audiocur.errors import OutputError
from audiocur.storage import open_store
from audiocur.store.recipe import check_claim, claim, differences, fingerprint

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
    store = open_store(run)
    assert check_claim(store, RECIPE) is False
    claim(store, RECIPE)
    assert yaml.safe_load((run / "recipe.yaml").read_text()) == RECIPE
    assert "numpy" in json.loads((run / "environment.json").read_text())
    assert check_claim(store, RECIPE) is True


def test_a_lease_alone_makes_no_run(tmp_path):
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/epoch-000001.json").touch()
    (tmp_path / "lease.json").touch()
    assert check_claim(open_store(tmp_path), RECIPE) is False


def test_another_recipe_is_refused_with_what_differs(tmp_path):
    store = open_store(tmp_path / "run")
    claim(store, RECIPE)
    with pytest.raises(OutputError, match=r"another recipe's run \(vad.threshold: 0.5 there, 0.7 here\)"):
        check_claim(store, RECIPE | {"fingerprint": "b", "vad": {"threshold": 0.7}})


def test_a_directory_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match="expected a new or empty directory"):
        check_claim(open_store(tmp_path), RECIPE)


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="expected a directory"):
            check_claim(open_store(place), RECIPE)


def test_the_order_of_rules_counts():
    rules = {"a": {"column": "x"}, "b": {"column": "y"}}
    assert fingerprint({"keep": rules}) != fingerprint({"keep": dict(reversed(rules.items()))})


def test_a_recipe_of_something_else_is_refused(tmp_path):
    for content in ("", "a: b", "- 1"):
        (tmp_path / "recipe.yaml").write_text(content)
        with pytest.raises(OutputError, match="none of audiocur's"):
            check_claim(open_store(tmp_path), RECIPE)


def test_a_time_out_decides_nothing():
    decode = {"decode": {"span_s": 600.0, "timeout_s": 600.0}}
    patient = {"decode": {"span_s": 600.0, "timeout_s": 6000.0}}
    assert fingerprint(decode) == fingerprint(patient)
    assert differences(decode, patient) == []
