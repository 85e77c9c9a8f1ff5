"""A whole run from a bucket into a bucket gives what it gives from a folder into a folder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pyarrow.dataset
import pytest

from audiocur.engine.local import LocalEngine
from audiocur.errors import OutputError
from audiocur.job import Job
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline
from audiocur.rules import KeepRule
from audiocur.run import Summary, run
from audiocur.sources.synth.files import write_audio
from audiocur.storage import open_store
from audiocur.store.ledger import read_ledger

PIPELINE = Decode(span_s=10) >> Window(length_s=8, min_s=1) >> Loudness() >> Encode()
RATE_HZ = 44_100
#: What tells one copy of a file from another.
OF_A_COPY = ("mtime_ns", "etag")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of 9 to 24 s, one too quiet to keep, one truncated and one no audio; some tagged by sidecars."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "Ada").mkdir()
    rng = np.random.default_rng(0)
    for number, name in enumerate(("Ada/1.wav", "Ada/2.flac", "3.ogg", "quiet.flac", "cut.wav")):
        length = (number + 3) * 3 * RATE_HZ
        noise = rng.normal(0, 0.001 if name == "quiet.flac" else 0.1, (2, length)).clip(-1, 1)
        write_audio(folder / name, noise.astype(np.float32), RATE_HZ)
    for name in ("Ada/1.json", "Ada/2.json", "3.ogg.json"):
        (folder / name).write_text(json.dumps({"artist": name.partition("/")[0], "title": name}))
    os.truncate(folder / "cut.wav", 2_000_000)
    (folder / "notes.mp3").write_text("not audio")
    (folder / "cover.jpg").write_bytes(b"")
    return folder


def ran(source: str, output: str, pipeline: Pipeline = PIPELINE, **settings: Any) -> Summary:
    keep = {"loud": KeepRule(column="loudness_lufs", min=-30)}
    return run(Job.of(pipeline, source, output, keep=keep, engine=LocalEngine(), **settings))


def ledger(output: str) -> list[dict[str, Any]]:
    rows = read_ledger(open_store(output)).to_pylist()
    for row in rows:
        for name in OF_A_COPY:
            del row[name]
    return sorted(rows, key=lambda row: (row["span_id"], row["clip_id"] or ""))


def clips(output: str) -> list[dict[str, Any]]:
    system, path = fsspec.core.url_to_fs(f"{output}/clips")
    table = pyarrow.dataset.dataset(path, filesystem=system, format="parquet", partitioning=None).to_table()
    return sorted(table.to_pylist(), key=lambda row: row["clip_id"])


def test_from_a_bucket_into_a_bucket(bucket, library, tmp_path) -> None:
    source, output = bucket.put_folder(library, "My Music"), f"{bucket.url}/runs/mine"
    here, there = ran(str(library), str(tmp_path / "run")), ran(source, output)
    assert there.funnel.lines == here.funnel.lines
    assert (there.sources, there.spans, there.seconds, there.ignored) == (
        here.sources, here.spans, here.seconds, here.ignored,
    )  # fmt: skip
    expected = ledger(str(tmp_path / "run"))
    assert ledger(output) == expected
    assert {row["verdict"] for row in expected} == {"done", "failed", "kept", "rejected"}
    assert clips(output) == clips(str(tmp_path / "run"))
    etags = {row["uri"]: row["etag"] for row in read_ledger(open_store(output)).to_pylist()}
    assert etags == {uri: hashlib.md5((library / uri).read_bytes()).hexdigest() for uri in etags}

    again = ran(source, output)
    assert (again.resumed, again.spans, again.changed) == (True, 0, 0)
    assert again.funnel.lines == there.funnel.lines
    with pytest.raises(OutputError, match=r"holds another recipe's run \(decode\.span_s: 10\.? ?.*there"):
        ran(source, output, Decode(span_s=20) >> Window(length_s=8, min_s=1) >> Loudness() >> Encode())


def test_what_is_new_or_changed_there(bucket, library) -> None:
    source, output = bucket.put_folder(library, "m"), f"{bucket.url}/run"
    first = ran(source, output)
    flac = (library / "Ada/2.flac").read_bytes()
    bucket.put("m/new.flac", flac)
    bucket.put("m/Ada/2.flac", flac[:-1] + b"x")
    second = ran(source, output)
    assert (second.sources, second.changed) == (first.sources + 1, 1)
    new = [row["span_id"] for row in ledger(output) if row["clip_id"] is None and row["uri"] == "new.flac"]
    assert second.spans == len(new) > 0


def test_shards_are_read_by_others(bucket, library) -> None:
    output = f"{bucket.url}/run"
    summary = ran(bucket.put_folder(library, "m"), output)
    loaded = datasets.load_dataset(
        "parquet",
        data_files={"all": f"{output}/clips/*/*.parquet"},
        split="all",
        streaming=True,
        storage_options={"endpoint_url": bucket.store.url},
    )
    rows = list(loaded.decode(False))
    assert sorted(row["clip_id"] for row in rows) == [row["clip_id"] for row in clips(output)]
    assert len(rows) == summary.funnel.kept.count > 0
    assert all(row["audio"]["bytes"].startswith(b"fLaC") for row in rows)


def test_an_object_that_goes_away_in_mid_run_costs_itself(bucket, library) -> None:
    source, output = bucket.put_folder(library, "m"), f"{bucket.url}/run"
    with bucket.store.refusing("HEAD .*2.flac$", 404):  # listed, tagged, and gone when it is opened
        ran(source, output)
    failed = {row["uri"]: row["reason"] for row in ledger(output) if row["verdict"] == "failed"}
    assert failed.keys() == {"Ada/2.flac", "cut.wav", "notes.mp3"}
    assert failed["Ada/2.flac"] == "no such file"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_on_ray(bucket, library, tmp_path) -> None:
    """The same through the command and its workers, which find endpoint and credentials where the driver does."""
    source, output = bucket.put_folder(library, "m"), f"{bucket.url}/runs/by command"
    for place, target in ((str(library), str(tmp_path / "run")), (source, output)):
        command = [
            sys.executable,
            "-m",
            "audiocur",
            "recipe=music_gen",
            f"source.path={place}",
            f"output.path={target}",
        ]
        done = subprocess.run(
            [*command, "segment=window", "decode.span_s=10", "keep.music="],
            capture_output=True,
            text=True,
            timeout=280,
            env=os.environ,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert ledger(output) == ledger(str(tmp_path / "run"))
    assert clips(output) == clips(str(tmp_path / "run"))
