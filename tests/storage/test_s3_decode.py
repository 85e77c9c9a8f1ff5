"""Decoding a recording at a URL: the same samples, fetched once a worker, and the same words for what goes wrong."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from audiocur.decoding import decode, fetched, read_header, recording
from audiocur.errors import RowError
from audiocur.estimate import estimate
from audiocur.job import Job
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.records import Source, Span
from audiocur.sources import Folder
from audiocur.sources.synth.files import write_audio

RATE_HZ = 48_000
KINDS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """As in a worker that has just begun."""
    yield
    recording._unpark()
    for kept in fetched._kept:
        kept.temporary.close()
    fetched._kept.clear()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    time = np.arange(12 * RATE_HZ) / RATE_HZ
    for number, kind in enumerate(KINDS):
        tone = 0.3 * np.sin(2 * np.pi * (220 + 10 * number) * time)
        write_audio(folder / f"{number}.{kind}", np.stack([tone, 0.5 * tone]).astype(np.float32), RATE_HZ)
    return folder


def spans_of(source: Source) -> list[Span]:
    spans = [Span(source=source, index=index) for index in range(4)]
    for span in spans:
        Decode(span_s=4.0).apply(span)
    return spans


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_spans_are_the_same_and_fetched_once(bucket, library, number) -> None:
    name = f"{number}.{KINDS[number]}"
    here, there = (
        Folder(path=place, include=[name]).list().sources[0]
        for place in (str(library), bucket.put_folder(library, "m"))
    )
    expected = spans_of(here)
    with bucket.store.counted() as requests:
        found = spans_of(there)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.num_samples, mine.last, mine.start_sample) == (
            theirs.num_samples, theirs.last, theirs.start_sample,
        )  # fmt: skip
        assert mine.content_sha256 == theirs.content_sha256
        assert (mine.audio is None) == (theirs.audio is None)
        assert mine.audio is None or np.array_equal(mine.audio.samples, theirs.audio.samples)
    assert len([request for request in requests if request.startswith("GET")]) == 1
    assert len(requests) <= 2 + len(found)  # and whether it has changed, for each span


def test_the_reader_is_left_where_it_stands(bucket, library) -> None:
    (source,) = Folder(path=bucket.put_folder(library, "m"), include=["2.mp3"]).list().sources
    for index in range(2):
        Decode(span_s=4.0).apply(Span(source=source, index=index))
    ((key, reader),) = recording._parked.items()
    span = Span(source=source, index=2)
    # Another place in the same file, read in between, is none of its business.
    with recording.open_file(source.path) as file:
        assert len(file.read()) == source.size
    assert recording._parked == {key: reader}
    Decode(span_s=4.0).apply(span)
    assert np.array_equal(
        span.audio.samples, decode(source.path, span.start_sample, 4 * RATE_HZ, keep_truncated=True)[0]
    )
    read_header(bucket.put("other.wav", (library / "0.wav").read_bytes()))
    assert not recording._parked


def test_a_large_object_comes_in_large_pieces(bucket) -> None:
    data = np.random.default_rng(0).integers(0, 255, 40 << 20, np.uint8).tobytes()
    url = bucket.put("large.bin", data)
    with bucket.store.counted() as requests, recording.open_file(url) as file:
        assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(data).digest()
    assert len([request for request in requests if request.startswith("GET")]) <= 5


def test_header_and_samples_by_url(bucket, library) -> None:
    url = bucket.put_folder(library, "a b")
    for number, kind in enumerate(KINDS):
        here, there = library / f"{number}.{kind}", f"{url}/{number}.{kind}"
        assert read_header(there) == read_header(str(here))
        expected, _ = decode(str(here), 1000, 5000)
        assert np.array_equal(decode(there, 1000, 5000)[0], expected)


def test_nothing_is_left_behind(bucket, library, tmp_path) -> None:
    url = bucket.put("0.wav", (library / "0.wav").read_bytes())
    code = (
        "import os, signal; from audiocur.decoding import read_header\n"
        f"read_header({url!r}); print(os.listdir({str(tmp_path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout) == (-9, "[]\n"), done.stderr
    assert list(tmp_path.iterdir()) == []


def first_span(source: Source) -> None:
    Decode(span_s=4.0).apply(Span(source=source))


def test_an_object_that_changed_is_refused(bucket, library) -> None:
    data = (library / "0.wav").read_bytes()
    folder = Folder(path=bucket.put_folder(library, "m"), include=["0.wav"])
    (source,) = folder.list().sources
    first_span(source)
    for other in (data[:-1] + b"x", data + b"x"):  # of the same size, and of another
        bucket.put("m/0.wav", other)
        with pytest.raises(RowError, match=r"^changed while the run was going on$"):
            first_span(source)
        with pytest.raises(RowError, match=r"^changed while the run was going on$"):
            Decode(span_s=4.0).apply(Span(source=source, index=1))
    (source,) = folder.list().sources
    first_span(source)
    bucket.put("m/0.wav", data)
    # The same version as before: what was fetched meanwhile must not stand in for it.
    (source,) = folder.list().sources
    first_span(source)


def test_what_will_never_be_had_is_told_in_the_same_words(bucket, library) -> None:
    url = bucket.put_folder(library, "m")
    (source,) = Folder(path=url, include=["0.wav"]).list().sources
    for status, words in ((403, "permission denied"), (404, "no such file"), (401, "permission denied")):
        with bucket.store.refusing("HEAD .*wav", status), pytest.raises(RowError, match=f"^{words}$"):
            first_span(source)
    with bucket.store.refusing("GET .*wav", 403), pytest.raises(RowError, match=r"^permission denied$"):
        first_span(source)
    bucket.remove("m/0.wav")
    with pytest.raises(RowError, match=r"^no such file$"):
        first_span(source)
    with pytest.raises(RowError, match=r"^a folder, not a file$"):
        read_header(url)
    with pytest.raises(RowError, match=r"^no such file$"):
        read_header("s3://no-such-bucket-here/a.wav")


def test_what_may_pass_is_an_os_error(bucket, library) -> None:
    (source,) = Folder(path=bucket.put_folder(library, "m"), include=["0.wav"]).list().sources
    with bucket.store.refusing("GET .*wav", 500), pytest.raises(OSError, match="Internal Server Error"):
        first_span(source)
    first_span(source)


def test_a_network_that_is_down_is_an_os_error(bucket, library, unreachable) -> None:
    with pytest.raises(OSError, match="Could not connect to the endpoint URL"):
        read_header(f"{bucket.url}/a.wav")


def test_a_full_disk_is_an_os_error(bucket, library) -> None:
    url = bucket.put("0.wav", (library / "0.wav").read_bytes())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"temporary folder .*: File too large"):
            read_header(url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_header(url).rate_hz == RATE_HZ


def test_the_folder_for_temporary_files_is_no_fault_of_a_recording(bucket, library, tmp_path, monkeypatch) -> None:
    url = bucket.put("0.wav", (library / "0.wav").read_bytes())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(OSError, match=rf"temporary folder {tmp_path}/none: No such file"):
        read_header(url)


def test_the_estimate_tries_recordings_at_urls(bucket, library) -> None:
    pipeline = Decode() >> Window(length_s=4, min_s=1) >> Encode()
    job = Job.of(pipeline, bucket.put_folder(library, "m"), f"{bucket.url}/run")
    told = estimate(job, job.source.list().sources)
    assert (told.sources, told.sampled, told.unusable) == (6, 6, 0)
    assert told.seconds == pytest.approx(72, rel=0.05)
    assert told.kept == pytest.approx(18, rel=0.05)
