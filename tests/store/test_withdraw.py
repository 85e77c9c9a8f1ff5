"""Spans taken out of the ledger: they are missing, and what lay beside them is as it was, kills in between included."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest

from audiocur.errors import OutputError
from audiocur.schema import clips_schema, ledger_schema
from audiocur.stage import run_stage
from audiocur.storage import open_store
from audiocur.store.commit import Committer
from audiocur.store.ledger import Ledger, read_ledger
from audiocur.store.withdraw import withdraw

SPAN = "{:016x}-0".format


@pytest.fixture
def run(tmp_path):
    return open_store(tmp_path / "run")


@pytest.fixture
def ledger(run, ops, make_spans):
    """Two parts under epoch 1: spans 0 to 2, of which 1 keeps no clip, and 3 to 4; epoch 2 is begun."""
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start(raises_at_s=5.0) >> ops.Raw()
    epoch = Ledger.read(run).begin_epoch({"owner": {}})
    committer = Committer(run, epoch, ledger_schema(pipeline.columns), clips_schema(pipeline.columns))
    spans = make_spans(5)
    for stage in pipeline.plan():
        run_stage(stage, spans)
    spans[1].fail("decode", "not audio")
    committer.commit(spans[:3])
    committer.commit(spans[3:])
    return begun(run)


def begun(run):
    ledger = Ledger.read(run)
    return ledger.begun(ledger.begin_epoch({"owner": {}}))


def rows(run, *without):
    found = [row for row in read_ledger(run).to_pylist() if row["span_id"] not in without]
    return sorted(found, key=lambda row: (row["span_id"], row["clip_id"] or ""))


def clips(ledger, *without):
    """Rows of the shards that count, audio included."""
    tables = [pq.read_table(ledger.store.path / part.shard.name) for part in ledger.parts if part.shard]
    found = [row for table in tables for row in table.to_pylist()]
    gone = {span_id.partition("-")[0] for span_id in without}
    return sorted((row for row in found if row["source_id"] not in gone), key=lambda row: row["clip_id"])


def settled(ledger):
    return sorted(span.span_id for span in ledger.spans())


def times(run):
    """When each shard and part was written."""
    return {name: (run.path / name).stat().st_mtime_ns for name in run.files() if name.endswith(".parquet")}


def part_of(ledger, number):
    (part,) = (part for part in ledger.parts if SPAN(number) in {span.span_id for span in part.spans})
    return part


def test_its_neighbours_keep_rows_measures_and_bytes(run, ledger):
    expected, sounds, before = rows(run, SPAN(0)), clips(ledger, SPAN(0)), times(run)
    old, other = part_of(ledger, 0), part_of(ledger, 3)
    after = withdraw(ledger, {SPAN(0)})
    assert settled(after) == [SPAN(number) for number in (1, 2, 3, 4)]
    assert rows(run) == expected
    assert clips(after) == sounds
    new = part_of(after, 2)
    assert (new.epoch, new.made, new.replaces, new.shard.rows) == (2, 1, (old.name,), 1)
    assert new.shard.name.startswith("clips/train/part-")
    assert part_of(after, 3) == other
    changed = {name for name, at in times(run).items() if before.get(name) != at}
    assert changed == {new.name, new.shard.name}
    assert after.sweep() == 2
    assert run.files().keys() & {old.name, old.shard.name} == set()
    assert times(run).keys() - before.keys() == changed


def test_the_files_have_the_schema_they_had(run, ledger):
    old = part_of(ledger, 0)
    schemas = [pq.read_schema(run.path / name) for name in (old.name, old.shard.name)]
    new = part_of(withdraw(ledger, {SPAN(0)}), 2)
    again = [pq.read_schema(run.path / name) for name in (new.name, new.shard.name)]
    for one, other in zip(schemas, again, strict=True):
        assert one.equals(other)
        assert [field.metadata for field in one] == [field.metadata for field in other]
    assert again[1].metadata == schemas[1].metadata
    assert pq.read_metadata(run.path / new.name).row_group(0).num_rows == 2


def test_a_span_without_clips_leaves_the_shard_alone(run, ledger):
    before, old = times(run), part_of(ledger, 0)
    after = withdraw(ledger, {SPAN(1)})
    new = part_of(after, 0)
    assert new.shard == old.shard
    assert settled(after) == [SPAN(number) for number in (0, 2, 3, 4)]
    after.sweep()
    assert before.keys() - times(run).keys() == {old.name}
    assert {name: at for name, at in times(run).items() if name != new.name}.items() <= before.items()


def test_when_all_kept_clips_go_there_is_no_shard(run, ledger):
    after = withdraw(ledger, {SPAN(0), SPAN(2)})
    assert part_of(after, 1).shard is None
    after.sweep()
    assert list(run.files("clips")) == [part_of(after, 3).shard.name]


def test_an_emptied_part_goes(run, ledger):
    before, old = times(run), part_of(ledger, 3)
    after = withdraw(ledger, {SPAN(3), SPAN(4)})
    assert settled(after) == [SPAN(number) for number in (0, 1, 2)]
    assert before.keys() - times(run).keys() == {old.name}
    after.sweep()
    assert before.keys() - times(run).keys() == {old.name, old.shard.name}
    assert times(run).items() <= before.items()


def test_made_stays_what_it_was_however_often_it_is_carried_over(run, ledger):
    withdraw(ledger, {SPAN(0)}).sweep()
    after = withdraw(begun(run), {SPAN(1)})
    assert (part_of(after, 2).epoch, part_of(after, 2).made) == (3, 1)


def test_what_is_not_there_takes_nothing_away(run, ledger):
    before = times(run)
    after = withdraw(ledger, {SPAN(9)})
    assert after.parts == ledger.parts
    assert times(run) == before


def test_a_withdrawn_span_can_be_committed_again(run, ledger, ops, make_spans):
    expected, sounds = rows(run), clips(ledger)
    after = withdraw(ledger, {SPAN(0)})
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start(raises_at_s=5.0) >> ops.Raw()
    spans = make_spans(1)
    for stage in pipeline.plan():
        run_stage(stage, spans)
    Committer(run, 2, ledger_schema(pipeline.columns), clips_schema(pipeline.columns)).commit(spans)
    whole = Ledger.read(run, after)
    assert (rows(run), clips(whole)) == (expected, sounds)
    whole.sweep()
    assert (rows(run), clips(Ledger.read(run))) == (expected, sounds)


def test_a_kill_in_between_leaves_each_span_settled_once_or_missing(run, ledger, tmp_path):
    """The states that a withdrawal goes through, file by file: whoever begins then finds a sound run."""
    gone = {SPAN(0), SPAN(3), SPAN(4)}
    expected, sounds = rows(run), clips(ledger)
    shutil.copytree(run.path, tmp_path / "before")
    emptied = part_of(ledger, 3)
    new = part_of(withdraw(ledger, gone), 2)
    steps = [[], [new.shard.name], [new.shard.name, new.name]]
    for step, written in enumerate([*steps, steps[-1]]):
        state = tmp_path / f"state {step}"
        shutil.copytree(tmp_path / "before", state)
        for name in written:
            shutil.copyfile(run.path / name, state / name)
        if step == 3:
            (state / emptied.name).unlink()
        missing = [set(), set(), {SPAN(0)}, gone][step]
        store = open_store(state)
        for _ in range(2):
            found = begun(store)
            assert settled(found) == [SPAN(n) for n in range(5) if SPAN(n) not in missing]
            assert rows(store) == [row for row in expected if row["span_id"] not in missing]
            assert clips(found) == [row for row in sounds if f"{row['source_id']}-0" not in missing]
            found.sweep()
        left = {name for part in Ledger.read(store).parts for name in (part.name, part.shard.name)}
        assert {name for name in store.files() if name.endswith(".parquet")} == left


def test_what_is_damaged_is_not_copied(run, ledger):
    part = part_of(ledger, 0)
    for name in (part.shard.name, part.name):
        path = run.path / name
        good = path.read_bytes()
        # Within the first page of either file.
        path.write_bytes(good[:60] + bytes([good[60] ^ 1]) + good[61:])
        before = times(run)
        with pytest.raises(OutputError, match=f"{name} is damaged: expected `audiocur verify {run} --repair` first"):
            withdraw(ledger, {SPAN(0)})
        assert times(run) == before
        path.write_bytes(good)
    assert SPAN(0) not in settled(withdraw(ledger, {SPAN(0)}))
