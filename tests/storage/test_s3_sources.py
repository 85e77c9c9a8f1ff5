"""Recordings in a bucket are the same recordings: found, named, counted and tagged as those in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import mutagen
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from moto.s3.models import s3_backends

from audiocur.errors import SourceError
from audiocur.records import Source
from audiocur.sources import Folder, Manifest, open_source
from audiocur.sources.demo import Demo
from audiocur.sources.synth.files import write_audio

SUFFIXES = ("wav", "flac", "mp3", "ogg", "opus", "m4a")


def seen(source: Source) -> Source:
    """A source without what tells one copy of it from another."""
    return replace(source, path=b"", mtime_ns=None, etag=None)


def refused(source: Any) -> str:
    with pytest.raises(SourceError) as caught:
        source.list()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """A folder with everything that decides what is a recording."""
    names = [
        "b.wav", "a/z.FLAC", "a/y/x.Mp3", "film.mkv", "cover.jpg", "notes.TXT", "Makefile", "a/Makefile",
        ".hidden.wav", ".Trash/b.wav", ".Trash/deep/c.wav", "a/.cache/d.wav", "Live/e.wav", "Live/deep/f.wav",
        "a/z.json", "b.wav.json", "truth.json", "春/ä b+c%20#.wav", "x[1]*.wav", "a::b.ogg", "k?x=1.wav", "a.b/c",
    ]  # fmt: skip
    for name in names:
        path = tmp_path / "untidy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "untidy"


def test_a_bucket_is_listed_as_a_folder_is(bucket, untidy) -> None:
    url = bucket.put_folder(untidy, "My Music")
    bucket.put("My Music/", b"")  # as consoles of object stores make a folder
    bucket.put("My Music/a/", b"")
    bucket.put("My Music 2/other.wav", b"")
    for settings in (
        {},
        {"exclude": ["Live", "a/y"]},
        {"include": ["*.wav"], "exclude": ["deep"]},
        {"suffixes": ["wav", "txt"]},
        {"limit": 4, "seed": 2},
        {"limit": 4, "shard": "1/2"},
    ):
        here, there = (Folder(path=place, **settings).list() for place in (str(untidy), url))
        assert [seen(source) for source in there.sources] == [seen(source) for source in here.sources], settings
        assert there.ignored == here.ignored, settings


def test_an_object_knows_its_version(bucket, untidy) -> None:
    url = bucket.put_folder(untidy, "m")
    for place in (url, f"{url}/", url.replace("s3:", "S3:")):
        with bucket.store.counted() as requests:
            sources = {source.uri: source for source in Folder(path=place).list().sources}
        assert requests == [f"GET /{bucket.name}"]
    source = sources["a/y/x.Mp3"]
    assert source.path.decode().partition("://")[2] == f"{bucket.name}/m/a/y/x.Mp3"
    assert (source.size, source.mtime_ns) == (len("a/y/x.Mp3"), None)
    assert source.etag == bucket.system.info(f"{bucket.name}/m/a/y/x.Mp3")["ETag"].strip('"')
    bucket.put("m/a/y/x.Mp3", b"another")
    (changed,) = Folder(path=url, include=["*.mp3"]).list().sources
    assert (changed.source_id, changed.size) == (source.source_id, 7)
    assert changed.etag != source.etag


def test_more_objects_than_one_answer_holds(bucket) -> None:
    for number in range(1100):
        s3_backends["123456789012"]["aws"].put_object(bucket.name, f"{number:04}.wav", b"1")
    with bucket.store.counted() as requests:
        sources = Folder(path=bucket.url).list().sources
    assert [source.uri for source in sources] == [f"{number:04}.wav" for number in range(1100)]
    assert len(requests) == 2


def test_one_object(bucket) -> None:
    url = bucket.put("a/take one.bin", b"12")
    (source,) = Folder(path=url).list().sources
    assert (source.uri, os.fsdecode(source.path), source.size) == ("take one.bin", url, 2)


def test_keys_that_no_file_could_have(bucket) -> None:
    for key in ("m//a.wav", "m/b//c.wav", "m/d.wav/e.wav"):
        bucket.put(key, key.encode())
    folder = Folder(path=f"{bucket.url}/m")
    sources = folder.list().sources
    assert [source.uri for source in sources] == ["/a.wav", "b//c.wav", "d.wav/e.wav"]
    assert [folder.read_tags(source).problem for source in sources] == [None, None, None]
    bucket.put("m/d.wav", b"1")  # beside the folder of its name
    assert [source.uri for source in folder.list().sources] == ["/a.wav", "b//c.wav", "d.wav", "d.wav/e.wav"]


def test_mistakes_are_told_in_one_line(bucket) -> None:
    bucket.put("notes/a.txt", b"")
    for path, message in {
        f"{bucket.url}/none": f"{bucket.url}/none: no such folder",
        "s3://no-such-bucket-here": "s3://no-such-bucket-here: no such folder (The specified bucket does not exist)",
        f"{bucket.url}/notes": f"{bucket.url}/notes: holds no recordings (1 ignored: .txt 1)",
        "gs://b/x": "gs://b/x: nothing installed opens gs://; Please install gcsfs to access Google Storage",
        "no://b/x": "no://b/x: expected a protocol that fsspec knows, as s3:// or https://",
        "https://example.org/": "https://example.org/: expected one recording: folders cannot be listed there; "
        "name them in a manifest",
        "file://music": "file://music: expected a folder, as in file:///music",
    }.items():
        assert refused(Folder(path=path)) == f"source.path={message}"
    bucket.remove("notes/a.txt")
    assert refused(Folder(path=bucket.url)) == f"source.path={bucket.url}: holds no recordings"
    with bucket.store.refusing("GET", 403):
        assert refused(Folder(path=bucket.url)) == f"source.path={bucket.url}: permission denied (Forbidden)"
    assert refused(Demo(path=bucket.url)) == f"source.path={bucket.url}: expected a folder on this machine"


def test_an_endpoint_that_does_not_answer_is_told(bucket, unreachable) -> None:
    said = refused(Folder(path=bucket.url))
    assert said.startswith(f'source.path={bucket.url}: Could not connect to the endpoint URL: "http://127.0.0.1:9/')


def test_credentials_that_are_missing_are_told(bucket) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": bucket.store.url, "HOME": "/nowhere"}
    assert in_a_process(f"Folder(path={bucket.url!r}).list()", environment) == (
        f"source.path={bucket.url}: Unable to locate credentials"
    )


def test_the_extra_that_is_missing_is_named() -> None:
    """As where s3fs is not installed: importing it fails."""
    said = in_a_process("sys.modules['s3fs'] = None; Folder(path='s3://b/k').list()", dict(os.environ))
    assert said == "source.path=s3://b/k: nothing installed opens s3://; pip install 'audiocur[s3]'"


def in_a_process(code: str, environment: dict[str, str]) -> str:
    code = f"import sys; from audiocur.sources import Folder\ntry:\n    {code}\nexcept Exception as e:\n    print(e)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    return found.stdout.strip() or found.stderr


def test_a_local_url_is_local(tmp_path, untidy) -> None:
    (tmp_path / "a b.wav").write_bytes(b"1")
    (source,) = Folder(path=(tmp_path / "a b.wav").as_uri()).list().sources
    assert (source.uri, source.path, source.etag) == ("a b.wav", os.fsencode(tmp_path / "a b.wav"), None)
    assert Folder(path=f"file://{untidy}").list() == Folder(path=str(untidy)).list()


def test_other_file_systems_are_searched_too(untidy) -> None:
    here, there = Folder(path=str(untidy)).list(), Folder(path=f"local://{untidy}").list()
    assert [replace(source, path=b"") for source in there.sources] == [
        replace(source, path=b"", mtime_ns=there.sources[index].mtime_ns) for index, source in enumerate(here.sources)
    ]
    assert there.ignored == here.ignored
    # As exact as a number of floating point is.
    gaps = [abs(a.mtime_ns - b.mtime_ns) for a, b in zip(here.sources, there.sources, strict=True)]
    assert max(gaps) < 1_000


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A recording of each kind with tags, some with sidecars."""
    folder = tmp_path / "tagged"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 48_000)).astype(np.float32)
    for number, suffix in enumerate(SUFFIXES):
        path = folder / f"{number}.{suffix}"
        write_audio(path, noise, 48_000)
        media: Any = mutagen.File(path, easy=True)
        if media.tags is None:
            media.add_tags()
        if suffix == "wav":
            media.tags.add(mutagen.id3.TIT2(encoding=3, text=[f"Title {number}"]))
        else:
            media["title"], media["artist"] = f"Title {number}", "Ada"
        media.save()
    (folder / "0.json").write_text(json.dumps({"artist": "of the stem"}))
    (folder / "1.flac.json").write_text(json.dumps({"artist": "of the name"}))
    (folder / "2.json").write_text("{")
    (folder / "3.json").write_text("")
    (folder / "untagged.wav").write_bytes((folder / "0.wav").read_bytes()[:1000])
    (folder / "empty.flac").write_bytes(b"")
    (folder / "no audio.mp3").write_bytes(b"not audio at all")
    return folder


def test_tags_and_sidecars_are_the_same_there(bucket, tagged) -> None:
    here, there = Folder(path=str(tagged)), Folder(path=bucket.put_folder(tagged, "m"))
    expected = list(here.read_all_tags(here.list().sources))
    assert {source.artist for source in expected} == {"of the stem", "of the name", "Ada", None}
    sources = there.list().sources
    with bucket.store.counted() as requests:
        found = list(there.read_all_tags(sources))
    assert [seen(source) for source in found] == [seen(source) for source in expected]
    # No request in vain: what is not there, is empty or known already is not asked for.
    paths = [request.partition(" /")[2].partition("/")[2] for request in requests]
    assert sorted(path for path in paths if path.endswith(".json")) == [
        "m/0.json", "m/1.flac.json", "m/2.json", "m/3.json",
    ]  # fmt: skip
    assert len(requests) <= 4 * len(sources)
    assert not [request for request in requests if request.startswith("HEAD")]


def test_tags_of_many_are_read_in_order(bucket, tagged) -> None:
    data = (tagged / "1.flac").read_bytes()
    for number in range(40):
        bucket.put(f"{number:03}.flac", data)
    folder = Folder(path=bucket.url)
    sources = folder.list().sources
    found = folder.read_all_tags(iter(sources))
    assert next(found).uri == "000.flac"
    assert [source.uri for source in found] == [source.uri for source in sources[1:]]


def test_an_error_on_the_way_is_no_missing_tag(bucket, tagged) -> None:
    folder = Folder(path=bucket.put_folder(tagged, "m"))
    by_uri = {source.uri: source for source in folder.list().sources}
    flac = by_uri["1.flac"]
    with bucket.store.refusing("GET .*flac$", 500, times=4):
        assert folder.read_tags(flac).title == "Title 1"
    with bucket.store.refusing("GET .*flac$", 403):
        assert folder.read_tags(flac).problem == "permission denied"
    with bucket.store.refusing("GET .*json$", 403):
        assert folder.read_tags(flac).problem == "sidecar cannot be read: 1.flac.json: permission denied"
    bucket.remove("m/1.flac.json")
    assert folder.read_tags(flac).artist == "Ada"
    bucket.remove("m/1.flac")
    assert folder.read_tags(flac).problem == "no such file"


@pytest.fixture
def rows(tagged: Path) -> list[dict[str, Any]]:
    return [{"path": f"m/{path.name}", "n": n} for n, path in enumerate(sorted(tagged.iterdir())) if n % 2] + [
        {"path": "./m/../m/0.wav", "n": 100},
        {"path": "m/gone.wav", "n": 101},
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_manifest_in_a_bucket(bucket, tagged, rows, suffix) -> None:
    tagged.rename(tagged.with_name("m"))
    path = write(tagged.with_name(f"library.{suffix}"), rows)
    bucket.put_folder(tagged.with_name("m"), "music/m")
    url = bucket.put(f"music/library.{suffix}", path.read_bytes())
    here, there = Manifest(path=str(path)), open_source(url)
    assert isinstance(there, Manifest)
    assert there.meta_fields() == here.meta_fields()
    expected, found = here.list().sources, there.list().sources
    assert [seen(source) for source in found] == [seen(source) for source in expected]
    assert [source.problem for source in found][-2:] == [None, "no such file"]
    assert os.fsdecode(found[-2].path) == f"{bucket.url}/music/m/0.wav"
    assert [seen(source) for source in there.read_all_tags(found)] == [
        seen(source) for source in here.read_all_tags(expected)
    ]


def test_a_manifest_names_objects_and_files_alike(bucket, tagged, tmp_path) -> None:
    url = bucket.put("a b/1.flac", (tagged / "1.flac").read_bytes())
    path = write(
        tmp_path / "m.csv",
        [
            {"path": url},
            {"path": "tagged/1.flac"},
            {"path": (tagged / "4.opus").as_uri()},
            {"path": f"{bucket.url}/gone.wav"},
            {"path": f"{bucket.url}/a b"},
            {"path": "s3://no-such-bucket-here/a.wav"},
        ],
    )
    manifest = Manifest(path=str(path))
    sources = manifest.list().sources
    assert [source.problem for source in sources] == [
        None, None, None, "no such file", "a folder, not a file", "no such file",
    ]  # fmt: skip
    assert (sources[0].uri, os.fsdecode(sources[0].path)) == (url, url)
    assert (sources[0].size, sources[0].etag is None) == (sources[1].size, False)
    assert [source.title for source in manifest.read_all_tags(sources[:3])] == ["Title 1", "Title 1", "Title 4"]
    with bucket.store.refusing("HEAD", 403):
        assert manifest.list().sources[0].problem == "permission denied"


def test_whoever_may_not_list_has_no_sidecars(bucket, tagged, tmp_path) -> None:
    """Object stores answer "forbidden" for what is not there, unless one may list the bucket."""
    manifest = Manifest(
        path=str(write(tmp_path / "m.csv", [{"path": bucket.put("1.flac", (tagged / "1.flac").read_bytes())}]))
    )
    (source,) = manifest.list().sources
    with bucket.store.refusing("json$", 403):
        found = manifest.read_tags(source)
    assert (found.problem, found.artist) == (None, "Ada")


def test_mistakes_in_a_manifest_are_told_in_one_line(bucket, tmp_path) -> None:
    path = write(tmp_path / "m.csv", [{"path": "gs://b/k.wav"}])
    assert refused(Manifest(path=str(path))) == (
        f"source.path={path}: row 1 names gs://b/k.wav: nothing installed opens gs://; "
        "Please install gcsfs to access Google Storage"
    )
    url = f"{bucket.url}/m.csv"
    assert refused(Manifest(path=url)) == f"source.path={url}: no such file"
    assert refused(Manifest(path=f"{bucket.url}/m.txt")).startswith(f"source.path={bucket.url}/m.txt: expected a file")
    bucket.put("m.parquet", b"not parquet")
    assert "not a .parquet file that can be read" in refused(Manifest(path=f"{bucket.url}/m.parquet"))


@pytest.fixture
def web(tagged: Path) -> Iterator[str]:
    """A plain server: it knows no ranges, no ETag, and says how old its files are."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tagged))

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_recordings_on_the_web(web, tagged, tmp_path) -> None:
    names = ["1.flac", "2.mp3", "no%20audio.mp3", "gone.wav"]
    path = write(
        tmp_path / "m.jsonl", [{"path": f"{web}/{name}"} for name in names] + [{"path": "http://127.0.0.1:9/a.wav"}]
    )
    manifest = Manifest(path=str(path))
    sources = list(manifest.read_all_tags(manifest.list().sources))
    assert [source.title for source in sources] == ["Title 1", "Title 2", None, None, None]
    assert [source.problem for source in sources[:4]] == [None, None, None, "no such file"]
    assert (sources[4].problem or "").startswith("cannot be read: Cannot connect to host 127.0.0.1:9")
    status = (tagged / "1.flac").stat()
    assert (sources[0].size, sources[0].etag) == (status.st_size, None)
    assert sources[0].mtime_ns == int(status.st_mtime) * 1_000_000_000
    (one,) = Folder(path=f"{web}/1.flac").list().sources
    assert (one.uri, one.size) == ("1.flac", status.st_size)


def test_a_manifest_on_the_web(web, tagged) -> None:
    write(tagged / "m.csv", [{"path": "1.flac"}, {"path": f"{web}/2.mp3"}])
    sources = Manifest(path=f"{web}/m.csv?token=1").list().sources
    assert [(source.uri, os.fsdecode(source.path), source.problem) for source in sources] == [
        ("1.flac", f"{web}/1.flac", None),
        (f"{web}/2.mp3", f"{web}/2.mp3", None),
    ]
