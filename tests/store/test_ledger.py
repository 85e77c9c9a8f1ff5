"""Which parts hold and which do not; the index is a mere copy; what a sweep takes away."""

from __future__ import annotations

import gzip
import json
import random

import pyarrow.parquet as pq
import pytest

from audiocur.errors import OutputError
from audiocur.schema import clips_schema, ledger_schema
from audiocur.stage import run_stage
from audiocur.storage import open_store
from audiocur.store.commit import Committer, write_part
from audiocur.store.ledger import INDEX, Ledger, epoch_file, read_ledger
from audiocur.store.parts import Part

WORTH_AN_INDEX = 100


@pytest.fixture
def run(tmp_path):
    return open_store(tmp_path / "run")


@pytest.fixture
def begin(run, ops):
    """Begins the next epoch; what it returns commits under it."""
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw()

    def begun() -> Committer:
        epoch = Ledger.read(run).begin_epoch({"owner": {}})
        return Committer(run, epoch, ledger_schema(pipeline.columns), clips_schema(pipeline.columns))

    return begun


@pytest.fixture
def worked(ops, make_spans):
    """So many spans, taken through a pipeline: two kept clips each."""

    def work(count):
        spans = make_spans(count)
        for stage in (ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw()).plan():
            run_stage(stage, spans)
        return spans

    return work


@pytest.fixture
def failed(make_spans):
    def fail(count):
        spans = make_spans(count)
        for span in spans:
            span.fail("decode", "not audio")
        return spans

    return fail


@pytest.fixture
def copied(tmp_path):
    """Adds copies of a part, which hold as it does; only who asks for spans finds them twice."""

    def copy(part, count):
        path = tmp_path / "run" / part
        for number in range(count):
            (path.parent / f"{path.name[:11]}-{number:03}.parquet").write_bytes(path.read_bytes())

    return copy


@pytest.fixture
def many(begin, failed, copied) -> str:
    """A run with as many parts as are worth an index; the name of the last."""
    part = begin().commit(failed(1)).part
    copied(part, WORTH_AN_INDEX - 1)
    return part


def names(ledger):
    return [part.name for part in ledger.parts]


def same(one, other):
    return (one.epoch, one.parts, one.void, one.known) == (other.epoch, other.parts, other.void, other.known)


def test_every_part_that_does_not_hold_says_why(run, tmp_path, begin, worked):
    committer = begin()
    truncated, halved, missing, replaced, sound = ([span] for span in worked(5))
    parts = {key: committer.commit(spans).part for key, spans in enumerate((truncated, halved, missing, replaced))}
    ledger = Ledger.read(run)
    shards = {part.name: part.shard for part in ledger.parts}
    committer = begin()
    late = Committer(run, 1, committer.ledger, committer.clips).commit(sound).part
    for name in (parts[0], shards[parts[1]].name):
        path = tmp_path / "run" / name
        path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "run" / shards[parts[2]].name).unlink()
    table = pq.read_table(tmp_path / "run" / parts[3])
    new = write_part(run, 2, table, None, replaces=[parts[3]], made=1)
    ledger = Ledger.read(run)
    assert names(ledger) == [new.name]
    assert ledger.void == {
        parts[0]: "cannot be read",
        parts[1]: f"its shard {shards[parts[1]].name} has 100 bytes of {shards[parts[1]].size_bytes:,}",
        parts[2]: f"its shard {shards[parts[2]].name} is missing",
        parts[3]: "is replaced",
        late: "was committed by a run that another one had taken over",
    }


def test_who_begins_an_epoch_last_is_refused(run, begin):
    begin()
    first, second = Ledger.read(run), Ledger.read(run)
    assert first.begin_epoch({"owner": {}}) == 2
    with pytest.raises(OutputError, match="another run began there at this moment"):
        second.begin_epoch({"owner": {}})


def test_a_worker_that_outlives_its_driver_counts_for_nothing(run, begin, worked):
    before = begin()
    seen = before.commit(worked(1)).part
    after = begin()
    before.commit(worked(2)[1:])
    mine = after.commit(worked(2)[1:]).part
    ledger = Ledger.read(run)
    assert names(ledger) == [seen, mine]
    assert [span.source_id for span in ledger.spans()] == [f"{0:016x}", f"{1:016x}"]


def test_a_replaced_part_goes_and_the_shard_it_shared_stays(run, tmp_path, begin, worked):
    old = begin().commit(worked(1)).part
    (shard,) = (part.shard for part in Ledger.read(run).parts)
    begin()
    new = write_part(run, 2, pq.read_table(tmp_path / "run" / old), shard, replaces=[old], made=1)
    ledger = Ledger.read(run)
    assert (names(ledger), ledger.void) == ([new.name], {old: "is replaced"})
    assert ledger.sweep() == 1
    assert not (tmp_path / "run" / old).exists()
    assert (tmp_path / "run" / shard.name).exists()
    assert names(Ledger.read(run)) == [new.name]


def test_a_span_in_two_parts_is_refused(run, tmp_path, begin, worked):
    part = begin().commit(worked(1)).part
    (tmp_path / "run/ledger/part-000001-copy.parquet").write_bytes((tmp_path / "run" / part).read_bytes())
    with pytest.raises(OutputError, match=rf"span {0:016x}-0 stands in both {part} and ledger/part-000001-copy"):
        list(Ledger.read(run).spans())


def test_a_sweep_takes_what_is_left_over_and_nothing_else(run, tmp_path, begin, worked):
    before = begin()
    kept = before.commit(worked(1)).part
    after = begin()
    before.commit(worked(2)[1:])
    after.commit(worked(3)[2:])
    ledger = Ledger.read(run)
    stray = [*ledger.void, *(part.shard.name for part in ledger.known.values() if part.name in ledger.void)]
    for name in ("clips/train/part-orphan.parquet", "clips/test/.part-x.parquet.12345678", "ledger/.epoch.json.123"):
        run.write(name, b"x")
        stray.append(name)
    for name in ("clips/train/notes.txt", "recipe.yaml", "log.txt"):
        run.write(name, b"x")
    before_sweep = run.files()
    ledger = Ledger.read(run)
    assert sorted(ledger.left_over()) == sorted(stray)
    assert ledger.sweep() == len(stray) == 5
    assert before_sweep.keys() - run.files().keys() == set(stray)
    assert kept in names(Ledger.read(run))
    assert Ledger.read(run).left_over() == []


def test_an_epoch_that_is_over_keeps_its_facts_and_no_list(run, begin, worked):
    begin().commit(worked(1))
    for epoch in (2, 3):
        Ledger.read(run).begin_epoch({"owner": {"pid": epoch}, "environment": {"numpy": "2"}})
    ledger = Ledger.read(run)
    ledger.sweep()
    said = [json.loads(run.read(epoch_file(epoch))) for epoch in (1, 2, 3)]
    assert [each.get("parts") for each in said] == [None, None, names(ledger)]
    assert said[1] == {"epoch": 2, "owner": {"pid": 2}, "environment": {"numpy": "2"}}
    assert Ledger.read(run).parts == ledger.parts


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"epoch": 1}', b"\xff\xfe"])
def test_an_epoch_that_cannot_be_read_is_one_clear_line(run, begin, worked, content):
    begin().commit(worked(1))
    run.write(epoch_file(1), content)
    with pytest.raises(OutputError, match=r"epoch-000001.json is damaged; without it nobody can tell which"):
        Ledger.read(run)


def test_a_part_in_which_a_bit_is_flipped_is_void(run, tmp_path, begin, worked):
    """Wherever it is, and it never keeps the rest from being read."""
    sound, damaged = (begin().commit([span]).part for span in worked(2))
    path = tmp_path / "run" / damaged
    good = path.read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        ledger = Ledger.read(run)
        assert names(ledger) == [sound]
        assert ledger.void == {damaged: "cannot be read"}


def test_an_index_is_written_once_it_is_worth_it(run, begin, failed, copied):
    committer = begin()
    copied(committer.commit(failed(1)).part, WORTH_AN_INDEX - 2)
    Ledger.read(run).save_index()
    assert INDEX not in run.files()
    committer.commit(failed(2)[1:])
    without = Ledger.read(run)
    assert without.unindexed == WORTH_AN_INDEX
    without.save_index()
    assert INDEX in run.files()
    assert same(Ledger.read(run), without)
    assert Ledger.read(run).unindexed == 0


def test_what_the_index_has_is_not_opened(run, tmp_path, many):
    without = Ledger.read(run)
    without.save_index()
    for part in without.parts:
        (tmp_path / "run" / part.name).write_bytes(bytes(part.size_bytes))
    assert same(Ledger.read(run), without)
    run.remove([INDEX])
    assert Ledger.read(run).parts == ()


def test_what_the_index_lacks_or_has_in_another_size_is_read(run, begin, many, worked, failed):
    Ledger.read(run).save_index()
    committer = begin()
    assert Committer(run, 1, committer.ledger, committer.clips).commit(worked(1)).part == many
    new = committer.commit(failed(2)[1:]).part
    with_index = Ledger.read(run)
    assert [span.failed for span in with_index.known[many].spans] == [False]
    assert new in names(with_index)
    assert with_index.unindexed == 2
    run.remove([INDEX])
    assert same(with_index, Ledger.read(run))


def test_a_part_that_the_index_has_and_the_ledger_no_longer_is_gone(run, many):
    ledger = Ledger.read(run)
    ledger.save_index()
    run.remove(names(ledger)[:3])
    assert names(Ledger.read(run)) == names(ledger)[3:]


def test_a_damaged_index_is_left_aside(run, many):
    without = Ledger.read(run)
    without.save_index()
    good = run.read(INDEX)
    bad = [b"", b"nonsense", good[:-1], good[: len(good) // 2], gzip.compress(b"nonsense\t{}\n")]
    bad += [gzip.compress(gzip.decompress(good).replace(b'"epoch"', b'"Epoch"'))]
    rng = random.Random(0)
    for _ in range(30):
        flipped = bytearray(good)
        flipped[rng.randrange(10, len(good))] ^= 1 << rng.randrange(8)
        bad.append(bytes(flipped))
    for content in bad:
        run.write(INDEX, content)
        ledger = Ledger.read(run)
        assert same(ledger, without)
        assert ledger.unindexed == WORTH_AN_INDEX


def test_an_index_is_made_anew_when_it_lacks_much(run, begin, many, copied, failed):
    Ledger.read(run).save_index()
    old = run.read(INDEX)
    committer = begin()
    copied(committer.commit(failed(1)).part, WORTH_AN_INDEX - 2)
    Ledger.read(run).save_index()
    assert run.read(INDEX) == old
    committer.commit(failed(2)[1:])
    Ledger.read(run).save_index()
    assert Ledger.read(run).unindexed == 0


def test_what_was_read_before_is_not_opened_again(run, tmp_path, begin, worked):
    committer = begin()
    first, second, third = (committer.commit([span]).part for span in worked(4)[:3])
    before = Ledger.read(run)
    path = tmp_path / "run" / first
    path.write_bytes(bytes(path.stat().st_size))
    run.remove([second])
    truncated = tmp_path / "run" / third
    truncated.write_bytes(truncated.read_bytes()[:-1])
    new = committer.commit(worked(4)[3:]).part
    after = Ledger.read(run, before)
    assert names(after) == sorted([first, new])
    assert after.void == {third: "cannot be read"}
    assert after.known.keys() == {first, new}


def test_a_directory_without_a_ledger_is_no_run(run):
    assert Ledger.read(run).parts == ()
    with pytest.raises(OutputError, match="expected a run of audiocur with a ledger"):
        read_ledger(run)


def test_a_part_in_short_says_what_its_rows_do(run, begin, worked):
    begin().commit(worked(2))
    (part,) = Ledger.read(run).parts
    assert Part.of(part.name, part.size_bytes, part.facts()) == part
