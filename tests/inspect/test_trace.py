"""The history of one clip, whatever became of it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from audiocur.cli import main
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError, RowError
from audiocur.inspect.trace import trace
from audiocur.job import Job
from audiocur.op import ClipOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.redo import Redo
from audiocur.rules import KeepRule
from audiocur.run import run
from audiocur.storage import open_store
from audiocur.store.ledger import read_ledger

RATE_HZ = 8000


@dataclass(frozen=True, kw_only=True)
class Picky(ClipOp):
    """Cannot take clips that start at 8 s."""

    name = "picky"

    def measure(self, clip):
        if clip.start_s == 8:
            raise RowError("not this one")
        return {}


PIPELINE = Decode(span_s=40) >> Window(length_s=4, min_s=1) >> Loudness() >> Picky() >> Encode()
RULES = {"loud": KeepRule(column="loudness_lufs", min=-36)}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """A recording of 90 s, whose spans are in two parts, with 4 s that are too soft; and two short ones."""
    folder = tmp_path_factory.mktemp("home") / "library"
    folder.mkdir()
    samples = np.random.default_rng(0).normal(0, 0.1, 90 * RATE_HZ).clip(-1, 1)
    samples[: 4 * RATE_HZ] *= 0.01
    soundfile.write(folder / "long.wav", samples, RATE_HZ)
    soundfile.write(folder / "short.wav", samples[-9 * RATE_HZ :], RATE_HZ)
    soundfile.write(folder / "shorter.wav", samples[-5 * RATE_HZ :], RATE_HZ)
    return folder


def job(library, output, **settings) -> Job:
    return Job.of(PIPELINE, library, output, keep=RULES, engine=LocalEngine(), **settings)


@pytest.fixture(scope="module")
def made(library) -> Path:
    output = library.parent / "run"
    run(job(library, output))
    return output


@pytest.fixture
def output(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def clip(output, uri, start_s):
    """The row of a clip."""
    (row,) = (
        row
        for row in read_ledger(output).to_pylist()
        if row["clip_id"] and (row["uri"], row["start_s"]) == (uri, start_s)
    )
    return row


def traced(output, clip_id):
    return trace(open_store(output), clip_id)


def test_a_kept_clip_is_traced_to_its_bytes_and_its_recording(library, made):
    row = clip(made, "long.wav", 48)
    found = traced(made, row["clip_id"])
    assert found.clip == row
    assert found.span["span_id"] == row["span_id"] == f"{row['source_id']}-1"
    assert (found.span["start_s"], found.span["end_s"]) == (40, 80)
    stored = pq.read_table(made / found.part.shard.name, partitioning=None).to_pylist()[found.row]
    assert stored["clip_id"] == row["clip_id"]
    assert found.measures == {"gain_db": 0.0, **{k: v for k, v in row.items() if "loudness" in k or "peak" in k}}
    assert found.recipe["loudness"]["oversampling"] == Loudness().oversampling
    assert found.recipe["fingerprint"] == job(library, made).recipe()["fingerprint"]
    assert found.versions["numpy"] == np.__version__
    assert "T" in found.began


def test_the_content_is_that_of_the_whole_recording_though_another_part_has_it(library, made):
    clips = [clip(made, "long.wav", start_s)["clip_id"] for start_s in (4, 48, 84)]
    found = [traced(made, clip_id) for clip_id in clips]
    assert len({each.part.name for each in found}) > 1
    content = hashlib.sha256((library / "long.wav").read_bytes()).hexdigest()
    assert [each.content_sha256 for each in found] == [content] * 3


def test_a_rejected_clip_is_in_no_shard(made):
    row = clip(made, "long.wav", 0)
    found = traced(made, row["clip_id"])
    assert (found.clip["verdict"], found.clip["rule"], found.row) == ("rejected", "loud", None)
    assert found.part.shard is not None


def test_a_failed_clip_has_its_reason(made):
    found = traced(made, clip(made, "short.wav", 8)["clip_id"])
    assert (found.clip["verdict"], found.clip["op"], found.clip["reason"]) == ("failed", "picky", "not this one")
    assert found.row is None


def test_a_beginning_is_enough_if_no_other_clip_has_it(made):
    ids = sorted(row["clip_id"] for row in read_ledger(made).to_pylist() if row["clip_id"])
    for clip_id in ids:
        length = 1 + max(len(shared(clip_id, other)) for other in ids if other != clip_id)
        assert traced(made, clip_id[:length]).clip["clip_id"] == clip_id
        with pytest.raises(ConfigError, match=rf"^{clip_id[: length - 1]}: expected the id of one clip, or more of it"):
            traced(made, clip_id[: length - 1])


def shared(one, other):
    end = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return one[:end]


def test_of_many_some_are_named(made):
    with pytest.raises(ConfigError) as mistake:
        traced(made, "")
    assert str(mistake.value).count(",") == 5


@pytest.mark.parametrize("clip_id", ["0123456789abcdef01234567", "%", ".*"])
def test_what_was_never_cut_is_not_found(made, clip_id):
    with pytest.raises(OutputError, match="was ever cut there"):
        traced(made, clip_id)


def test_what_is_no_run_is_one_clear_line(library, tmp_path):
    with pytest.raises(OutputError, match="expected a run of audiocur with a ledger"):
        traced(tmp_path, "abc")
    with pytest.raises(OutputError, match=r"cannot be read \(.*Not a directory"):
        traced(library / "long.wav", "abc")


def test_damage_on_the_way_is_one_clear_line(output):
    row = clip(output, "long.wav", 48)
    part = traced(output, row["clip_id"]).part
    for name in (part.shard.name, part.name):
        path = output / name
        good = path.read_bytes()
        meta = pq.read_metadata(path)
        ids = meta.row_group(meta.num_row_groups - 1).column(0)
        middle, end = (ids.dictionary_page_offset + ids.data_page_offset) // 2, ids.data_page_offset
        path.write_bytes(good[:middle] + bytes(end - middle) + good[end:])
        with pytest.raises(OutputError, match=f"audiocur verify {output} "):
            traced(output, row["clip_id"])
        path.write_bytes(good[: len(good) // 2])
        with pytest.raises(OutputError, match=f"as far as its ledger holds: audiocur verify {output} tells"):
            traced(output, row["clip_id"])
        path.write_bytes(good)


def test_it_is_told_by_the_epoch_that_made_it(library, output):
    """A redo carries the rows of its neighbours over into the part of a later epoch."""
    carried, again = clip(output, "shorter.wav", 0), clip(output, "short.wav", 8)
    before = traced(output, carried["clip_id"])
    assert traced(output, again["clip_id"]).part == before.part
    run(job(library, output, redo=Redo.FAILED))
    after = traced(output, carried["clip_id"])
    assert (after.part.epoch, after.part.made, after.began, after.clip) == (2, 1, before.began, before.clip)
    new = traced(output, again["clip_id"])
    assert (new.part.epoch, new.part.made, new.clip) == (2, 2, again)


def told(printed):
    """What stands on each line of the table, and before it."""
    for line in printed.splitlines():
        name, bar, text = line.partition("│")
        if bar:
            yield name.strip(), text.strip()


def test_the_command_prints_it(made, capsys):
    row = clip(made, "long.wav", 48)
    assert main(["trace", str(made), row["clip_id"][:10]]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found = traced(made, row["clip_id"])
    lines = dict(told(printed.out))
    assert (lines["clip"], lines["verdict"], lines["recording"]) == (row["clip_id"], "kept", "long.wav")
    assert lines["stretch"] == "48.000 to 52.000 s, samples 384,000 to 416,000 at 8,000 Hz, 1 channels"
    assert lines["span"] == f"{row['span_id']}, 40.0 to 80.0 s"
    assert lines["stored"] == f"{found.part.shard.name}, row {found.row}"
    assert lines["ledger"] == found.part.name
    assert lines["content"] == f"sha256 {found.content_sha256}"
    assert lines["made"] == f"{found.began}, epoch 1, recipe {found.recipe['fingerprint']}"
    assert "span_s=40" in lines["decode"]
    assert float(lines["loudness_lufs"]) == pytest.approx(row["loudness_lufs"], abs=1e-3)
    assert main(["trace", str(made), clip(made, "long.wav", 0)["clip_id"]]) == 0
    lines = dict(told(capsys.readouterr().out))
    assert (lines["verdict"], "stored" in lines) == ("rejected by loud", False)
    assert main(["trace", str(made), "x"]) == 2
    assert capsys.readouterr().err == f"audiocur: {made}: no clip x was ever cut there\n"
