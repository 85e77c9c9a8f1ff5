"""Two runs side by side: every clip of either is in one row, under what became of it here and there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from audiocur.engine.local import LocalEngine
from audiocur.inspect.opened import open_run
from audiocur.job import Job
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.rules import KeepRule
from audiocur.run import run
from audiocur.sources.manifest import Manifest
from audiocur.store.ledger import read_ledger
from tests.inspect.judged import Fussy, Heard, write_library

RULES = {"level": KeepRule(column="level_db", min=-24), "changes": KeepRule(column="sign_changes", min=530)}
CUT = Decode(span_s=8) >> Window(length_s=0.5) >> Heard() >> Fussy() >> Encode()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Manifest(path=str(write_library(tmp_path_factory.mktemp("compare") / "library")))


@pytest.fixture(scope="module")
def made(library, tmp_path_factory):
    def made(rules=RULES, pipeline=CUT, source=library):
        output = tmp_path_factory.mktemp("compare") / "run"
        run(Job.of(pipeline, source, output, keep=rules, engine=LocalEngine()))
        return open_run(output)

    return made


@pytest.fixture(scope="module")
def here(made):
    return made()


def fates(opened):
    rows = [row for row in read_ledger(opened.store).to_pylist() if row["clip_id"]]
    return {
        row["clip_id"]: f"rejected by {row['rule']}" if row["rule"] else f"failed: {row['reason']} ({row['op']})"
        if row["op"] else row["verdict"]
        for row in rows
    }  # fmt: skip


def counted(here, there):
    one, other = fates(here), fates(there)
    return Counter((one.get(key, "not cut"), other.get(key, "not cut")) for key in one.keys() | other.keys())


def told(frame):
    return {(row["here"], row["there"]): row["clips"] for row in frame}


def test_other_rules(here, made):
    there = made({"level": KeepRule(column="level_db", min=-28, max=-12)})
    found = here.compare(there)
    assert told(found) == counted(here, there)
    assert ("kept", "rejected by level") in told(found)
    assert ("rejected by changes", "kept") in told(found)
    assert ("failed: not to be borne (fussy)",) * 2 in told(found)
    assert sum(found.column("audio")) == pytest.approx(sum(found.column("clips")) * 0.5 / 3600)
    assert "keep.level.min: -28 there, -24 here" in found.note
    assert "keep.changes.min: absent there, 530 here" in found.note
    assert "Both are over the same 4 recordings." in found.note


def test_what_one_alone_keeps_stands_before_what_neither_does(here, made):
    found = here.compare(made({"level": KeepRule(column="level_db", min=-28, max=-12)}))
    keeping = [(row["here"], row["there"]).count("kept") for row in found]
    assert keeping == sorted(keeping, reverse=True)


def test_other_bounds_of_cutting(here, made):
    there = made(pipeline=Decode(span_s=8) >> Window(length_s=1.0) >> Heard() >> Fussy() >> Encode())
    found = here.compare(there)
    assert told(found) == counted(here, there)
    assert {pair for pair in told(found) if "not cut" not in pair} == set()
    assert "segment.length_s: 1.0 there, 0.5 here" in found.note
    assert "Kept in both: 0 clips" in found.note


def test_the_same_run_agrees_with_itself(here):
    found = here.compare(here.store)
    assert all(row["here"] == row["there"] for row in found)
    assert "Kept only here: 0 clips, 0.0 s. Kept only there: 0 clips, 0.0 s." in found.note
    assert "Their recipes decide alike." in found.note


def test_other_recordings(here, made, library):
    there = made(source=replace(library, exclude=["1.wav"]))
    found = here.compare(there)
    assert told(found) == counted(here, there)
    assert "Recordings: 4 here, 3 there, 3 of them in both." in found.note
