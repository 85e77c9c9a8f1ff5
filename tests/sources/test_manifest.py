from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import soundfile

from audiocur.errors import SourceError
from audiocur.records import Source, source_id
from audiocur.sources import Manifest
from audiocur.sources.tags import MAX_CHARACTERS

Writer = Callable[[Path, list[Mapping[str, Any]]], Path]

ROWS: list[Mapping[str, Any]] = [
    {"path": "a.wav", "artist": "Ada", "mood": "calm", "plays": 7, "score": 0.5, "live": True},
    {"path": "sub/b.wav", "artist": None, "mood": None, "plays": None, "score": 2.0, "live": False},
    {"path": "gone.wav", "artist": "", "mood": 'x, "y"', "plays": -1, "score": None, "live": None},
]


def write_csv(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path.with_suffix(".csv"))
    return path.with_suffix(".csv")


def write_tsv(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    options = pyarrow.csv.WriteOptions(delimiter="\t")
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path.with_suffix(".tsv"), options)
    return path.with_suffix(".tsv")


def write_jsonl(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    path.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path.with_suffix(".jsonl")


def write_parquet(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **settings: Any) -> tuple[list[Source], dict[str, pa.DataType]]:
    manifest = Manifest(path=str(path), **settings)
    return manifest.list().sources, {field.name: field.type for field in manifest.meta_fields()}


def refused(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        Manifest(path=str(path)).list()
    message = str(caught.value)
    assert message.startswith(f"source.path={path}: ")
    assert "\n" not in message
    return message.removeprefix(f"source.path={path}: ")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.wav", "sub/b.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), 8000)
        with soundfile.SoundFile(tmp_path / name, "r+") as file:
            file.artist = "of the file"
    return tmp_path


@pytest.mark.parametrize("write", [write_csv, write_tsv, write_jsonl, write_parquet])
def test_every_format_gives_the_same(library: Path, write: Writer) -> None:
    path = write(library / "songs", ROWS)
    sources, types = read(path)
    assert [each.uri for each in sources] == ["a.wav", "sub/b.wav", "gone.wav"]
    assert [each.source_id for each in sources] == [source_id(each.uri.encode()) for each in sources]
    assert [each.path for each in sources] == [os.fsencode(library / each.uri) for each in sources]
    assert [each.problem for each in sources] == [None, None, "no such file"]
    assert sources[0].size == (library / "a.wav").stat().st_size
    assert [each.meta for each in sources] == [
        {"mood": "calm", "plays": 7, "score": 0.5, "live": True},
        {"mood": None, "plays": None, "score": 2.0, "live": False},
        {"mood": 'x, "y"', "plays": -1, "score": None, "live": None},
    ]
    assert types == {"mood": pa.string(), "plays": pa.int64(), "score": pa.float64(), "live": pa.bool_()}
    tagged = [Manifest(path=str(path)).read_tags(each).artist for each in sources[:2]]
    assert tagged == ["Ada", "of the file"]
    assert sources[2].artist is None


def test_uris_as_they_stand(library: Path) -> None:
    absolute, escaped = str(library / "a.wav"), (library / "sub/b.wav").as_uri().replace("b.wav", "%62.wav")
    path = text(library / "m.csv", f"URI\n{absolute}\n{escaped}\n./a.wav\n")
    sources, _ = read(path)
    assert [each.uri for each in sources] == [absolute, escaped, "./a.wav"]
    assert [each.problem for each in sources] == [None, None, None]
    assert sources[0].source_id == source_id(absolute.encode())
    assert len({each.source_id for each in sources}) == 3


def test_names_that_are_no_text(library: Path) -> None:
    name = b"caf\xe9\n2.wav"
    Path(os.fsdecode(os.path.join(os.fsencode(library), name))).write_bytes(b"x")  # noqa: PTH118 - bytes
    written = [
        text(library / "m.csv", b'title,path\nx,"' + name + b'"\n'),
        text(library / "m.jsonl", json.dumps({"path": os.fsdecode(name)})),
        library / "m.parquet",
    ]
    pyarrow.parquet.write_table(pa.table({"path": pa.array([name], pa.binary())}), written[2])
    for path in written:
        (source,), _ = read(path)
        assert (source.source_id, source.uri, source.problem) == (source_id(name), "caf\\xe9\n2.wav", None)


def test_tags_are_text_whatever_they_look_like(library: Path) -> None:
    path = text(library / "m.csv", "path,Title,genre,year\na.wav,1999,007,1999\n")
    (source,), types = read(path)
    assert (source.title, source.genre) == ("1999", "007")
    assert types == {"year": pa.int64()}
    rows = [{"path": "a.wav", "genre": ["Rock", "Pop"], "title": "2019-05-03", "year": "2019-05-03"}]
    for path in (write_jsonl(library / "n", rows), write_parquet(library / "n", rows)):
        (source,), types = read(path)
        assert (source.genre, source.title, source.meta) == ("Rock, Pop", "2019-05-03", {"year": "2019-05-03"})


def test_a_late_change_of_type_is_seen(library: Path) -> None:
    lines = [f"{number}.wav,{number}" for number in range(200_000)] + ["last.wav,n. a."]
    path = text(library / "m.csv", "\n".join(["path,plays", *lines]))
    sources, types = read(path, limit=3)
    assert types == {"plays": pa.string()}
    assert len(sources) == 3


def test_columns_of_many_kinds_in_jsonl(library: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"path": "a.wav", "mixed": 1, "deep": {"b": [1, "é"]}, "huge": 2**70, "never": None, "odd": "\ud800"},
        {"path": "sub/b.wav", "mixed": "one", "deep": [], "huge": 1, "late": 2.5},
    ]
    sources, types = read(write_jsonl(library / "m", rows))
    assert sources[0].meta == {
        "mixed": "1", "deep": '{"b": [1, "é"]}', "huge": str(2**70), "never": None, "odd": "\\ud800", "late": None,
    }  # fmt: skip
    assert sources[1].meta == {"mixed": "one", "deep": "[]", "huge": "1", "never": None, "odd": None, "late": 2.5}
    assert types == dict.fromkeys(("mixed", "deep", "huge", "never", "odd"), pa.string()) | {"late": pa.float64()}


def test_columns_of_many_kinds_in_parquet(library: Path) -> None:
    when = datetime.datetime(2024, 5, 3, 12, 30, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "path": pa.array(["a.wav"], pa.large_string()),
            "mood": pa.array(["calm"]).dictionary_encode(),
            "when": pa.array([when], pa.timestamp("ns", "UTC")),
            "day": pa.array([when.date()]),
            "parts": pa.array([[{"n": 1}]]),
            "none": pa.nulls(1),
        }
    )
    pyarrow.parquet.write_table(table, library / "year=2024.parquet")
    (source,), types = read(library / "year=2024.parquet")
    assert source.meta == {"mood": "calm", "when": when, "day": when.date(), "parts": '[{"n": 1}]', "none": None}
    assert types["when"] == pa.timestamp("us", "UTC")
    pa.Table.from_pylist([source.meta], pa.schema(list(types.items())))


def test_names_of_columns_are_made_valid(library: Path) -> None:
    path = text(library / "m.csv", " Path ,Beats/min.,настроение,__index\na.wav,120,x,1\n")
    _, types = read(path)
    assert list(types) == ["Beats_min", "настроение", "index"]


def test_a_mark_of_byte_order_and_other_line_ends(library: Path) -> None:
    sources, types = read(text(library / "m.csv", b"\xef\xbb\xbfpath,x\r\na.wav,1\r\n"))
    assert [each.uri for each in sources] == ["a.wav"]
    assert types == {"x": pa.int64()}


def test_include_limit_and_shard(library: Path) -> None:
    path = text(library / "m.csv", "path,n\n" + "".join(f"{number:03}.wav,{number}\n" for number in range(50)))
    manifest = Manifest(path=str(path), include=["00?.wav"], exclude=["003*"])
    listing = manifest.list()
    assert [each.meta["n"] for each in listing.sources] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert listing.ignored == {"excluded": 41}
    shards = [read(path, limit=20, shard=f"{index}/2")[0] for index in range(2)]
    assert sum(map(len, shards)) == 20


def test_meta_does_not_depend_on_the_sample(library: Path) -> None:
    path = text(library / "m.csv", "path,n\na.wav,1\nb.wav,x\n")
    assert read(path)[1] == read(path, limit=1)[1] == {"n": pa.string()}


def test_mistakes_that_the_user_can_mend(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv") == "no such file"
    assert refused(text(tmp_path / "m.xlsx", "x")) == (
        "expected a file that ends in .csv, .tsv, .jsonl, .ndjson, .parquet"
    )
    assert refused(text(tmp_path / "m.csv", "file,title\na.wav,x\n")) == (
        "expected a column path or uri, found file, title"
    )
    assert refused(text(tmp_path / "m.csv", "path,title\na.wav,x\nb.wav,y\na.wav,z\n")) == (
        "rows 1 and 3 name the same recording, a.wav"
    )
    assert refused(text(tmp_path / "m.csv", "path,x\na.wav,1\nnone://b/k?x=1,2\n")) == (
        "row 2 names none://b/k?x=1: expected a protocol that fsspec knows, as s3:// or https://"
    )
    assert refused(text(tmp_path / "m.csv", "path,x\na.wav,1\nfile://b/k,2\n")) == (
        "row 2 names file://b/k: expected file:///path"
    )
    assert refused(text(tmp_path / "m.csv", "path,x\na.wav,1\n,2\n")) == (
        "row 2 names no recording: expected a path, found b''"
    )
    assert refused(text(tmp_path / "m.csv", "path,x\n")) == "holds no recordings"
    assert (
        refused(text(tmp_path / "m.csv", "path,Artist,artist\na,b,c\n")) == "has two columns named artist; expected one"
    )
    assert refused(text(tmp_path / "m.csv", "path,a b,A_B\na,b,c\n")) == (
        "columns 'a b' and 'A_B': expected different names of letters, digits and underscores"
    )
    assert refused(text(tmp_path / "m.csv", "path,!\na,b\n")) == (
        "column '!': expected different names of letters, digits and underscores"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.csv", b"", "Empty CSV file"),
        ("m.csv", b"path,x\na,1\nb,2,3\n", "Expected 2 columns, got 3"),
        ("m.csv", b"path,x\na,caf\xe9\n", "column 'x', row 1: not UTF-8"),
        ("m.csv", b"path,title\na,cafe\nb,\nc,caf\xe9\n", "column 'title', row 3: not UTF-8"),
        ("m.csv", b"path,caf\xe9\na,b\n", "the header is not UTF-8"),
        ("m.csv", "path,x\na,1\n".encode("utf-16"), "the header is not UTF-8"),
        ("m.csv", b'"' + b"x" * 200_000, "the header: field larger than field limit"),
        ("m.jsonl", b'{"path": "a"}\n{"path": "b", "x": "caf\xe9"}\n', "line 2: not UTF-8"),
        ("m.jsonl", b'{"path": "a", "x": ' + b"[" * 100_000 + b"\n", "line 1: nested too deeply"),
        ("m.jsonl", b'{"path": "a"}\n{"path": \n', "line 2: Expecting value at column 9"),
        ("m.jsonl", b'{"path": "a"}\n["b"]\n', "line 2: expected a JSON object"),
        ("m.jsonl", b'{"path": "a"}\n{"path": "\\ud800"}\n', "row 2: the path '\\ud800' is not valid text"),
        ("m.parquet", b"not parquet", "Parquet"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    message = refused(text(tmp_path / name, content))
    assert message.startswith(f"not a {Path(name).suffix} file that can be read: ")
    assert said in message


def test_audio_in_the_table_itself_is_refused(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.wav"], "audio": pa.array([{"bytes": b"RIFF", "path": "a.wav"}])})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    assert "column 'audio' holds bytes" in refused(tmp_path / "m.parquet")


def test_rows_too_deep_to_make_text_of_are_refused(tmp_path: Path) -> None:
    # Deeper than a tag can be made text of, yet not too deep for JSON to be read, somewhere on the way.
    said = set()
    for depth in range(300, 1000, 20):
        path = text(tmp_path / "m.jsonl", '{"title": ' + "[" * depth + "1" + "]" * depth + "}")
        said.add(refused(path).removeprefix("not a .jsonl file that can be read: "))
    assert said <= {"expected a column path or uri, found title", "nested too deeply", "line 1: nested too deeply"}
    assert "nested too deeply" in said


def test_paths_that_are_no_text_are_refused(tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [{"Path": ["a.wav"]}]
    for path in (write_jsonl(tmp_path / "m", rows), write_parquet(tmp_path / "m", rows)):
        assert refused(path) == "column Path holds lists; expected text"
    rows = [{"path": {"local": "a.wav"}}]
    for path in (write_jsonl(tmp_path / "m", rows), write_parquet(tmp_path / "m", rows)):
        assert refused(path) == "column path holds objects; expected text"
    for path in (write_jsonl(tmp_path / "m", [{"path": 5}]), write_parquet(tmp_path / "m", [{"path": 5}])):
        assert refused(path) == "row 1 names no recording: expected a path, found 5"


def test_a_manifest_that_is_no_regular_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.csv")
    assert refused(tmp_path / "m.csv") == "not a regular file"
    (tmp_path / "m.jsonl").mkdir()
    assert refused(tmp_path / "m.jsonl") == "a folder, not a file"


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_other_delimiters_are_recognised(library: Path, suffix: str, delimiter: str) -> None:
    lines = ["n,Path,title", "1,a.wav,A", "2,sub/b.wav,"]
    path = text(library / f"m.{suffix}", "\n".join(line.replace(",", delimiter) for line in lines))
    sources, types = read(path)
    assert [(each.uri, each.title, each.meta["n"]) for each in sources] == [("a.wav", "A", 1), ("sub/b.wav", None, 2)]
    assert types == {"n": pa.int64()}


def test_a_header_as_wide_as_headers_can_be(library: Path) -> None:
    names = ",".join(f"column_{number:09}" for number in range(8000))
    sources, types = read(text(library / "m.csv", f"path,{names}\na.wav{',1' * 8000}\n"))
    assert (len(sources), len(types)) == (1, 8000)


def test_line_ends_of_old(library: Path) -> None:
    sources, _ = read(text(library / "m.csv", "path,title\ra.wav,A\rsub/b.wav,B\r"))
    assert [(each.uri, each.title) for each in sources] == [("a.wav", "A"), ("sub/b.wav", "B")]


def test_columns_without_a_name_are_left_out(library: Path) -> None:
    # as `pandas.DataFrame.to_csv` writes its index, and a spreadsheet columns it once had
    sources, types = read(text(library / "m.csv", ",path,plays,, \n0,a.wav,7,,\n1,sub/b.wav,8,,\n"))
    assert [each.meta for each in sources] == [{"plays": 7}, {"plays": 8}]
    assert types == {"plays": pa.int64()}


def test_tags_have_a_length_they_do_not_exceed_in_a_table_either(library: Path) -> None:
    rows = [{"path": "a.wav", "title": "t" * 5000, "note": "n" * 5000}]
    for write in (write_csv, write_jsonl, write_parquet):
        (source,), _ = read(write(library / "m", rows))
        assert (source.title, source.meta["note"]) == ("t" * MAX_CHARACTERS, "n" * 5000)


def test_a_folder_or_a_name_that_cannot_be_is_a_row(library: Path) -> None:
    sources, _ = read(write_jsonl(library / "m", [{"path": "sub"}, {"path": "a\0.wav"}, {"path": "x" * 300}]))
    assert [each.problem for each in sources] == [
        "a folder, not a file",
        "not a name a file can have",
        "file name too long",
    ]
