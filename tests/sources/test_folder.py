from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audiocur.errors import ConfigError, SourceError
from audiocur.records import source_id
from audiocur.sources import Folder, Manifest, open_source
from audiocur.sources.selection import in_shard


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def uris(source: Folder) -> list[str]:
    return [each.uri for each in source.list().sources]


def problems(folder: Path) -> dict[str, str | None]:
    return {each.uri: each.problem for each in Folder(path=str(folder)).list().sources}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder outside pytest's own, listed by a user whom permissions bind."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    before = os.geteuid()
    if before == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    yield folder
    os.seteuid(before)
    for each in folder.rglob("*"):
        each.chmod(0o755)
    shutil.rmtree(folder)


def test_lists_every_recording_below(tmp_path: Path) -> None:
    fill(tmp_path, "b.wav", "a/z.FLAC", "a/y/x.Mp3", "film.mkv", "cover.jpg", "notes.TXT", "Makefile")
    listing = Folder(path=str(tmp_path)).list()
    assert [each.uri for each in listing.sources] == ["a/y/x.Mp3", "a/z.FLAC", "b.wav", "film.mkv"]
    assert listing.ignored == {".jpg": 1, ".txt": 1, "no suffix": 1}


def test_a_source_knows_its_file(tmp_path: Path) -> None:
    fill(tmp_path, "album/song.wav")
    os.utime(tmp_path / "album/song.wav", ns=(1, 1_600_000_000_123_456_000))
    (source,) = Folder(path=str(tmp_path)).list().sources
    assert source.path == os.fsencode(tmp_path / "album/song.wav")
    assert source.source_id == source_id(b"album/song.wav")
    assert (source.size, source.mtime_ns, source.problem) == (14, 1_600_000_000_123_456_000, None)


def test_ids_move_with_the_library(tmp_path: Path) -> None:
    fill(tmp_path / "here", "a.wav", "b/c.wav")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (Folder(path=str(tmp_path / name)).list().sources for name in ("here", "there"))
    assert [each.source_id for each in here] == [each.source_id for each in there]


def test_names_in_any_script_with_newlines_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    names = [
        "春の雨.wav".encode(),
        "Ой, мороз.mp3".encode(),
        b"two\nlines.wav",
        b"caf\xe9.wav",
        b" .wav",
        b"a?*[x].wav",
    ]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"")  # noqa: PTH118 - bytes
    sources = Folder(path=str(tmp_path)).list().sources
    assert [each.source_id for each in sources] == [source_id(name) for name in sorted(names)]
    assert {each.uri for each in sources} >= {"春の雨.wav", "two\nlines.wav", "caf\\xe9.wav"}
    assert all(Path(os.fsdecode(each.path)).exists() for each in sources)
    for each in sources:
        each.uri.encode("utf-8")


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "._a.wav", ".Trash/b.wav", ".DS_Store")
    listing = Folder(path=str(tmp_path)).list()
    assert [each.uri for each in listing.sources] == ["a.wav"]
    assert listing.ignored == {"hidden": 3}


def test_sidecars_are_not_counted_as_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "a.json", "b.flac", "b.flac.json", "truth.json")
    assert Folder(path=str(tmp_path)).list().ignored == {".json": 1}


def test_linked_sidecars_are_not_counted_as_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "b.wav", "tags/a.json")
    (tmp_path / "a.json").symlink_to("tags/a.json")
    (tmp_path / "b.wav.json").symlink_to("nowhere")
    assert Folder(path=str(tmp_path)).list().ignored == {".json": 1}  # the one in tags


def test_links_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "a.wav", "inner/b.wav")
    library = fill(tmp_path / "library", "c.wav")
    (library / "linked").symlink_to(tmp_path / "elsewhere")
    (library / "d.wav").symlink_to(library / "c.wav")
    assert problems(library) == {"c.wav": None, "d.wav": None, "linked/a.wav": None, "linked/inner/b.wav": None}


def test_a_folder_is_listed_once_and_under_its_own_name(tmp_path: Path) -> None:
    fill(tmp_path, "z/a.wav")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    listing = Folder(path=str(tmp_path)).list()
    assert [each.uri for each in listing.sources] == ["z/a.wav"]
    assert listing.ignored == {"link to a listed folder": 1}


def test_circles_of_links_end_and_are_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "sub/b.wav", "sub/c/d.wav")
    (tmp_path / "itself.wav").symlink_to(tmp_path / "itself.wav")
    (tmp_path / "ping.wav").symlink_to("pong.wav")
    (tmp_path / "pong.wav").symlink_to("ping.wav")
    (tmp_path / "here").symlink_to(".")
    (tmp_path / "sub/c/up").symlink_to(tmp_path / "sub")
    found = problems(tmp_path)
    assert {uri for uri, problem in found.items() if problem is None} == {"a.wav", "sub/b.wav", "sub/c/d.wav"}
    loops = {uri for uri, problem in found.items() if problem == "symbolic link loop"}
    assert loops == {"itself.wav", "ping.wav", "pong.wav", "here/", "sub/c/up/"}


def test_links_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav")
    for name in ("gone.flac", "album", "readme.txt"):
        (tmp_path / name).symlink_to("/no/such/place")
    listing = Folder(path=str(tmp_path)).list()
    assert {each.uri: each.problem for each in listing.sources} == {
        "a.wav": None,
        "gone.flac": "broken symbolic link",
        "album": "broken symbolic link",
    }
    assert listing.ignored == {".txt": 1}


def test_what_is_no_regular_file_is_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    assert problems(tmp_path) == {"a.wav": None, "pipe.wav": "not a regular file"}


def test_a_folder_that_cannot_be_read_is_told(unprivileged: Path) -> None:
    fill(unprivileged, "a.wav", "locked/b.wav")
    (unprivileged / "locked").chmod(0)
    assert problems(unprivileged) == {"a.wav": None, "locked/": "the folder cannot be read: permission denied"}
    asked = Folder(path=str(unprivileged), include=["*.wav"])
    assert uris(asked) == ["a.wav", "locked/"]
    assert uris(replace(asked, exclude=["locked"])) == ["a.wav"]
    unprivileged.chmod(0)
    with pytest.raises(SourceError, match=r"^source\.path=.*: permission denied$"):
        asked.list()


def test_a_file_that_cannot_be_read_is_told_when_its_tags_are(unprivileged: Path) -> None:
    fill(unprivileged, "a.wav")
    (unprivileged / "a.wav").chmod(0)
    folder = Folder(path=str(unprivileged))
    (source,) = folder.list().sources
    assert folder.read_tags(source).problem == "permission denied"


def test_a_sidecar_that_cannot_be_read_is_told(unprivileged: Path) -> None:
    fill(unprivileged, "a.wav", "a.json")
    (unprivileged / "a.json").chmod(0)
    folder = Folder(path=str(unprivileged))
    (source,) = folder.list().sources
    assert folder.read_tags(source).problem == "sidecar cannot be read: a.json: permission denied"


def test_include_and_exclude(tmp_path: Path) -> None:
    fill(tmp_path, "Rock/a.wav", "Rock/b.mp3", "Rock/cover.jpg", "Jazz/c.wav", "Jazz/Live/d.wav")
    path = str(tmp_path)
    assert uris(Folder(path=path, include=["Rock"])) == ["Rock/a.wav", "Rock/b.mp3"]
    assert uris(Folder(path=path, include=["*.wav"], exclude=["Live"])) == ["Jazz/c.wav", "Rock/a.wav"]
    listing = Folder(path=path, exclude=["Rock/**", "Live"]).list()
    assert [each.uri for each in listing.sources] == ["Jazz/c.wav"]
    assert listing.ignored["excluded"] == 3


def test_suffixes(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "b.XYZ")
    assert uris(Folder(path=str(tmp_path), suffixes=["xyz"])) == ["b.XYZ"]


def test_a_single_file_of_whatever_name(tmp_path: Path) -> None:
    fill(tmp_path, "take one.bin", "other.wav")
    (source,) = Folder(path=str(tmp_path / "take one.bin")).list().sources
    assert (source.uri, source.path) == ("take one.bin", os.fsencode(tmp_path / "take one.bin"))


def test_home_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "Music", "a.wav")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/Music", "Music", "./Music/"):
        (source,) = Folder(path=path).list().sources
        assert source.path == os.fsencode(tmp_path / "Music/a.wav")


def test_limit_and_shard_add_up(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}.wav" for number in range(60)))
    folder = Folder(path=str(tmp_path), limit=20, seed=1)
    taken = uris(folder)
    assert len(taken) == 20
    assert taken == uris(folder)
    assert taken == sorted(taken)
    shards = [uris(replace(folder, shard=f"{index}/3")) for index in range(3)]
    assert sorted(uri for shard in shards for uri in shard) == taken
    assert uris(replace(folder, seed=2)) != taken


def test_an_empty_shard_is_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav")
    (holder,) = [index for index in range(2) if in_shard(source_id(b"a.wav"), index, 2)]
    assert uris(Folder(path=str(tmp_path), shard=f"{holder}/2")) == ["a.wav"]
    with pytest.raises(SourceError) as caught:
        Folder(path=str(tmp_path), shard=f"{1 - holder}/2").list()
    none = f"source.shard={1 - holder}/2: holds none of the 1 recordings of source.path={tmp_path}"
    assert str(caught.value) == none


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number}.txt" for number in range(12)))
    for path, message in {
        str(tmp_path / "nowhere"): f"source.path={tmp_path / 'nowhere'}: no such folder",
        str(tmp_path): f"source.path={tmp_path}: holds no recordings (12 ignored: .txt 12)",
        "none://a/b": "source.path=none://a/b: expected a protocol that fsspec knows, as s3:// or https://",
        "file://a/b": "source.path=file://a/b: expected a folder, as in file:///music",
        "": "source.path='': expected a folder",
    }.items():
        with pytest.raises(SourceError) as caught:
            Folder(path=path).list()
        assert str(caught.value) == message


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no recordings$"):
        Folder(path=str(tmp_path)).list()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 0}, "limit=0: expected a number of recordings, 1 or more"),
        ({"shard": "4/4"}, "shard=4/4: expected i/N with i from 0 to N-1, as in 0/4"),
        ({"include": ["[b-a]"]}, "include=[b-a]: expected glob patterns, as in [Live/**, *.mp3]"),
        ({"exclude": [""]}, "exclude=: expected glob patterns, as in [Live/**, *.mp3]"),
        ({"suffixes": []}, "suffixes=[]: expected at least one suffix, as in [wav, flac]"),
    ],
)
def test_parameters_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Folder(path="x", **settings)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_bare_path_opens_the_right_source(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").mkdir()
    assert isinstance(open_source(tmp_path), Folder)
    assert isinstance(open_source(tmp_path / "odd.csv"), Folder)
    assert isinstance(open_source("songs.JSONL"), Manifest)
    assert isinstance(open_source("song.wav"), Folder)
