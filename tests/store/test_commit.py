from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audiocur.errors import RunError
from audiocur.schema import clips_schema, ledger_schema
from audiocur.stage import run_stage
from audiocur.storage import open_store
from audiocur.store.commit import Committer
from audiocur.store.ledger import Ledger, read_ledger
from audiocur.store.parts import Part


@pytest.fixture
def committer(tmp_path, ops):
    pipeline = ops.Tone() >> ops.Halves() >> ops.Start() >> ops.Raw()
    store = open_store(tmp_path)
    epoch = Ledger.read(store).begin_epoch({})
    return Committer(store, epoch, ledger_schema(pipeline.columns), clips_schema(pipeline.columns))


def valid_parts(run):
    return Ledger.read(run).parts


def sweep(run):
    return Ledger.read(run).sweep()


@pytest.fixture
def worked(ops, make_spans):
    """Spans taken through a pipeline."""

    def work(count=2, **fields):
        spans = make_spans(count, **fields)
        for stage in (ops.Tone() >> ops.Halves() >> ops.Start(raises_at_s=5.0) >> ops.Raw()).plan():
            run_stage(stage, spans)
        return spans

    return work


def test_a_commit_leaves_a_shard_and_a_ledger_part(tmp_path, committer, worked):
    committed = committer.commit(worked())
    (shard,) = (tmp_path / "clips/train").iterdir()
    assert hashlib.sha256(shard.read_bytes()).hexdigest()[:20] in shard.name
    path = tmp_path / committed.part
    part = Part.of(committed.part, path.stat().st_size, pq.read_metadata(path).metadata[b"audiocur"])
    assert (part,) == valid_parts(tmp_path)
    assert (part.shard.name, part.shard.rows) == (f"clips/train/{shard.name}", 2)
    assert (part.epoch, part.made, part.replaces) == (1, 1, ())
    assert [(t.verdict, t.why, t.count, t.duration_s) for t in part.clips] == [
        ("kept", None, 2, 10.0),
        ("failed", "ZeroDivisionError (start)", 2, 10.0),
    ]
    assert [span.failed_clips for span in part.spans] == [1, 1]
    rows = read_ledger(tmp_path).to_pylist()
    assert [(row["clip_id"] is None, row["verdict"]) for row in rows] == [(True, "done")] * 2 + [
        (False, "kept"),
        (False, "failed"),
    ] * 2
    assert (committed.clips["kept"], committed.tried["start"], committed.unexpected["start"]) == (2, 4, 2)


def test_a_shard_holds_the_audio_and_what_hubs_read(tmp_path, committer, worked):
    committer.commit(worked(1))
    (path,) = (tmp_path / "clips/train").iterdir()
    table = pq.read_table(path)
    (row,) = table.to_pylist()
    assert len(row["audio"]["bytes"]) == 5000 * 4
    assert row["audio"]["path"] == f"{row['clip_id']}.raw"
    assert (row["start_s"], row["end_s"], row["duration_s"]) == (0.0, 5.0, 5.0)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["audio"] == {"_type": "Audio"}
    assert features.keys() == set(table.column_names)
    assert table.schema.field("measured_start_s").metadata == {b"unit": b"s", b"meaning": b"start", b"source": b""}


def test_doing_it_again_writes_the_same_names(tmp_path, committer, worked):
    first, again = committer.commit(worked()), committer.commit(worked())
    assert first == again
    assert len(list((tmp_path / "clips/train").iterdir())) == 1
    assert len(valid_parts(tmp_path)) == 1


def test_spans_are_known_without_reading_clips(tmp_path, committer, worked):
    part = committer.commit(worked()).part
    assert pq.ParquetFile(tmp_path / part).read_row_group(0)["clip_id"].null_count == 2
    assert [(span.index, span.last, span.size) for span in Ledger.read(tmp_path).spans()] == [(0, True, 1000)] * 2


def test_a_span_without_clips_is_in_the_ledger(tmp_path, committer, make_spans):
    (span,) = make_spans()
    span.fail("decode", "not audio")
    committer.commit([span])
    (row,) = read_ledger(tmp_path).to_pylist()
    assert (row["verdict"], row["reason"], row["op"], row["duration_s"]) == ("failed", "not audio", "decode", 0.0)
    assert not (tmp_path / "clips").exists()


def test_a_part_of_an_older_epoch_counts_only_if_the_next_driver_saw_it(tmp_path, committer, worked):
    seen = committer.commit(worked(1))
    Ledger.read(tmp_path).begin_epoch({})
    late = committer.commit(worked(2))
    assert [part.name for part in valid_parts(tmp_path)] == [seen.part]
    assert sweep(tmp_path) == 2
    assert not (tmp_path / late.part).exists()


def test_a_part_without_its_shard_is_void(tmp_path, committer, worked):
    committer.commit(worked())
    (shard,) = (tmp_path / "clips/train").iterdir()
    shard.write_bytes(shard.read_bytes()[:-1])
    assert valid_parts(tmp_path) == ()
    assert sweep(tmp_path) == 2
    assert list(Ledger.read(tmp_path).spans()) == []


def test_a_damaged_part_is_void(tmp_path, committer, worked):
    part = tmp_path / committer.commit(worked()).part
    part.write_bytes(part.read_bytes()[:100])
    assert valid_parts(tmp_path) == ()


def test_orphans_and_unfinished_files_are_swept(tmp_path, committer, worked):
    kept = committer.commit(worked())
    orphan = tmp_path / "clips/train/part-orphan.parquet"
    unfinished = tmp_path / "clips/train/.part-x.parquet.1234"
    orphan.write_bytes(b"x")
    unfinished.write_bytes(b"x")
    assert sweep(tmp_path) == 2
    assert not orphan.exists()
    assert not unfinished.exists()
    assert [part.name for part in valid_parts(tmp_path)] == [kept.part]


def test_a_part_that_is_not_ours_is_void(tmp_path, committer):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "ledger/part-x.parquet")
    assert valid_parts(tmp_path) == ()


def test_a_directory_that_cannot_be_written_is_said(tmp_path, committer, worked):
    (tmp_path / "clips").touch()
    with pytest.raises(RunError, match="cannot be written: "):
        committer.commit(worked())
