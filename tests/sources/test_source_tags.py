from __future__ import annotations

import datetime
import json
import os
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import av
import mutagen
import mutagen.asf
import mutagen.id3
import mutagen.mp4
import mutagen.wave
import numpy as np
import pytest
import soundfile

from audiocur.records import TAGS, Source
from audiocur.sources import Folder
from audiocur.sources.synth.files import write_audio
from audiocur.sources.tags import MAX_CHARACTERS, as_text, read_tags

SILENCE = np.zeros((2, 4800), np.float32)
EXPECTED = {"title": "Grüße", "artist": "Ada, Бела", "album": "春", "genre": "Rock", "license": "CC-BY-4.0"}


def source(path: Path, **known: Any) -> Source:
    return Source(source_id="0" * 16, uri=path.name, path=os.fsencode(path), **known)


def tags_of(path: Path, **known: Any) -> dict[str, str | None]:
    found = read_tags(source(path, **known))
    assert found.problem is None
    return {tag: getattr(found, tag) for tag in TAGS}


def recording(path: Path) -> Path:
    if path.suffix == ".aiff":
        soundfile.write(path, SILENCE.T, 48_000)
    elif path.suffix == ".wma":
        with av.open(str(path), "w", format="asf") as output:
            stream: Any = output.add_stream("wmav2", rate=48_000, layout="stereo")
            stream.bit_rate = 128_000
            frame = av.AudioFrame.from_ndarray(SILENCE[:, :2048], format="fltp", layout="stereo")
            frame.sample_rate = 48_000
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    else:
        write_audio(path, SILENCE, 48_000)
    return path


def write_id3(path: Path, frames: list[mutagen.id3.Frame]) -> Path:
    media: Any = mutagen.File(path)
    if media.tags is None:
        media.add_tags()
    for frame in frames:
        media.tags.add(frame)
    media.save()
    return path


@pytest.mark.parametrize("suffix", ["mp3", "wav", "aiff"])
def test_id3(tmp_path: Path, suffix: str) -> None:
    frames = [
        mutagen.id3.TIT2(encoding=3, text=["Grüße"]),
        mutagen.id3.TPE1(encoding=3, text=["Ada", "Бела"]),
        mutagen.id3.TALB(encoding=1, text=["春"]),
        mutagen.id3.TCON(encoding=3, text=["(17)"]),
        mutagen.id3.TCOP(encoding=3, text=["CC-BY-4.0"]),
    ]
    assert tags_of(write_id3(recording(tmp_path / f"a.{suffix}"), frames)) == EXPECTED


def test_a_licence_counts_before_a_copyright_notice(tmp_path: Path) -> None:
    path = write_id3(recording(tmp_path / "a.mp3"), [mutagen.id3.TCOP(encoding=3, text=["2020 Ada"])])
    assert tags_of(path)["license"] == "2020 Ada"
    write_id3(path, [mutagen.id3.TXXX(encoding=3, desc="License", text=["CC0-1.0"])])
    assert tags_of(path)["license"] == "CC0-1.0"
    write_id3(path, [mutagen.id3.WCOP(url="https://creativecommons.org/licenses/by/4.0/")])
    assert tags_of(path)["license"] == "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
def test_vorbis_comments(tmp_path: Path, suffix: str) -> None:
    media: Any = mutagen.File(recording(tmp_path / f"a.{suffix}"))
    media["TITLE"], media["artist"], media["Album"], media["genre"] = ["Grüße"], ["Ada", "Бела"], ["春"], ["Rock"]
    media["copyright"] = ["2020 Ada"]
    media["LICENSE"] = ["CC-BY-4.0"]
    media.save()
    assert tags_of(tmp_path / f"a.{suffix}") == EXPECTED


def test_mp4(tmp_path: Path) -> None:
    media: Any = mutagen.File(recording(tmp_path / "a.m4a"))
    for key, value in {"nam": ["Grüße"], "ART": ["Ada", "Бела"], "alb": ["春"], "gen": ["Rock"]}.items():
        media[f"\xa9{key}"] = value
    media["cprt"] = ["CC-BY-4.0"]
    media.save()
    assert tags_of(tmp_path / "a.m4a") == EXPECTED
    media["----:com.apple.iTunes:LICENSE"] = [mutagen.mp4.MP4FreeForm(b"CC0-1.0")]
    media.save()
    assert tags_of(tmp_path / "a.m4a")["license"] == "CC0-1.0"


def test_asf(tmp_path: Path) -> None:
    media: Any = mutagen.File(recording(tmp_path / "a.wma"))
    media["Title"], media["Author"], media["WM/AlbumTitle"] = ["Grüße"], ["Ada", "Бела"], ["春"]
    media["WM/Genre"], media["Copyright"] = ["Rock"], ["CC-BY-4.0"]
    media.save()
    assert tags_of(tmp_path / "a.wma") == EXPECTED


def info_chunk(**fields: bytes) -> bytes:
    body = b"INFO"
    for name, text in fields.items():
        body += name.encode() + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    return b"LIST" + struct.pack("<I", len(body)) + body


def test_wav_info(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav")
    chunk = info_chunk(INAM="Grüße\0".encode(), IART="Künstler".encode("cp1252"), IPRD=b"A", IGNR=b"", ICOP=b"CC0-1.0")
    path.write_bytes(path.read_bytes() + chunk)
    assert tags_of(path) == {"title": "Grüße", "artist": "Künstler", "album": "A", "genre": None, "license": "CC0-1.0"}


def test_id3_counts_before_wav_info(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + info_chunk(INAM=b"old"))
    media: Any = mutagen.wave.WAVE(path)
    media.add_tags()
    media.tags.add(mutagen.id3.TIT2(encoding=3, text=["new"]))
    media.save()
    assert tags_of(path)["title"] == "new"


@pytest.mark.parametrize("suffix", ["flac", "mp3", "wav", "ogg", "opus", "m4a", "aiff", "wma"])
def test_no_tags(tmp_path: Path, suffix: str) -> None:
    path = recording(tmp_path / f"a.{suffix}")
    assert tags_of(path) == dict.fromkeys(TAGS)


def test_what_is_no_audio_has_no_tags(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"not audio at all")
    (tmp_path / "b.flac").write_bytes(b"")
    assert tags_of(tmp_path / "a.mp3") == tags_of(tmp_path / "b.flac") == dict.fromkeys(TAGS)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "wav", "ogg", "opus", "m4a", "aiff", "wma"])
def test_damaged_headers_cost_the_tags_at_most(tmp_path: Path, suffix: str) -> None:
    whole = recording(tmp_path / f"a.{suffix}").read_bytes()
    path, rng = tmp_path / f"b.{suffix}", random.Random(0)
    for _ in range(400):
        data = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.choice([1, 10])):
            if data:
                data[rng.randrange(min(len(data), 600))] = rng.choice([0, 255, rng.randrange(256)])
        path.write_bytes(data)
        assert read_tags(source(path)).problem is None


def test_a_length_beyond_all_memory_costs_the_tags_at_most(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav")
    data = path.read_bytes()
    path.write_bytes(data[:16] + struct.pack("<I", 0xFFFF_FFF0) + data[20:])
    code = (
        "import resource, sys; from audiocur.records import Source; from audiocur.sources.tags import read_tags\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "print(read_tags(Source(source_id='', uri='', path=sys.argv[1].encode())).problem)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def with_id3(path: Path, version: int, *frames: tuple[bytes, int, bytes]) -> Path:
    """Frames of any content, each with its name and flags."""
    sizes = synchsafe if version == 4 else lambda number: struct.pack(">I", number)
    tag = b"".join(name + sizes(len(data)) + struct.pack(">H", flags) + data for name, flags, data in frames)
    path.write_bytes(b"ID3" + bytes([version, 0, 0]) + synchsafe(len(tag)) + tag + recording(path).read_bytes())
    return path


@pytest.mark.parametrize(("version", "flags"), [(3, 0x0080), (4, 0x0009)])
def test_compressed_frames_inflate_within_bounds(tmp_path: Path, version: int, flags: int) -> None:
    inflated = b"\x03" + bytes(100_000_000)
    packed = struct.pack(">I", len(inflated)) + zlib.compress(inflated)
    path = with_id3(tmp_path / "a.mp3", version, (b"TPE1", 0, b"\x03Ada"), (b"TIT2", flags, packed))
    tracemalloc.start()
    assert tags_of(path) == dict.fromkeys(TAGS) | {"artist": "Ada"}
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 50_000_000


@pytest.mark.parametrize("encoding", [0, 1, 3])
def test_a_text_of_millions_of_nuls_is_not_read_through(tmp_path: Path, encoding: int) -> None:
    nuls = bytes([encoding]) + bytes(20_000_000)
    path = with_id3(tmp_path / "a.mp3", 4, (b"TPE1", 0, b"\x03Ada"), (b"TIT2", 0, nuls))
    assert tags_of(path) == dict.fromkeys(TAGS) | {"artist": "Ada"}


def test_frames_of_version_2_are_read(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.mp3")
    said = ((b"TT2", b"\0Caf\xe9"), (b"TP1", b"\1\xff\xfeA\0d\0a\0"), (b"TCO", b"\0(17)"))
    tag = b"".join(name + len(data).to_bytes(3, "big") + data for name, data in said)
    path.write_bytes(b"ID3\2\0\0" + synchsafe(len(tag)) + tag + path.read_bytes())
    assert tags_of(path) == dict.fromkeys(TAGS) | {"title": "Café", "artist": "Ada", "genre": "Rock"}


def test_tags_behind_more_blocks_than_any_file_has_are_not_looked_for(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.flac")
    media: Any = mutagen.File(path)
    media["title"] = "Ada"
    media.save()
    data = path.read_bytes()
    assert data[4:8] == b"\0\0\0\x22"
    for blocks, title in ((10_000, "Ada"), (400_000, None)):
        path.write_bytes(data[:42] + b"\1\0\0\0" * blocks + data[42:])
        assert tags_of(path)["title"] == title


def test_fields_behind_more_than_any_list_has_are_not_looked_for(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav")
    data = path.read_bytes()
    for fields, title in ((9_000, "Ada"), (11_000, None)):
        body = b"INFO" + b"ISFT\0\0\0\0" * fields + b"INAM\4\0\0\0Ada\0"
        path.write_bytes(data + b"LIST" + struct.pack("<I", len(body)) + body)
        assert tags_of(path)["title"] == title


def test_boxes_within_boxes_without_end_cost_the_tags_at_most(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    boxes = b"".join(struct.pack(">I", 8 * depth) + b"moov" for depth in range(20_000, 0, -1))
    path.write_bytes(b"\0\0\0\x10ftypM4A \0\0\0\0" + boxes)
    assert tags_of(path) == dict.fromkeys(TAGS)


def test_text_is_one_line_of_valid_utf_8() -> None:
    assert as_text("a\0b\x1b[1m\r\n c\x85d") == "a b [1m c d"
    assert as_text("\ud800x") == "\\ud800x"
    assert as_text({"by": "Ada"}) == '{"by": "Ada"}'
    assert as_text([None, "", "a", 2, True]) == "a, 2, true"
    assert as_text([]) is None
    assert as_text(datetime.date(2019, 5, 3)) == "2019-05-03"


def test_a_sidecar_overrides_the_file(tmp_path: Path) -> None:
    path = recording(tmp_path / "song.flac")
    media: Any = mutagen.File(path)
    media["title"], media["artist"], media["album"] = "file", "file", "file"
    media.save()
    said = {"title": "stem", "artist": "stem", "genre": ["Folk", "Live"], "bpm": 120, "license": None}
    (tmp_path / "song.json").write_text(json.dumps(said), encoding="utf-8-sig")
    (tmp_path / "song.flac.json").write_text('{"title": "whole name"}')
    expected = {"title": "whole name", "artist": "stem", "album": "file", "genre": "Folk, Live", "license": None}
    assert tags_of(path) == expected
    assert tags_of(path, artist="listing") == expected | {"artist": "listing"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"title": ', "Expecting value at column 11"),
        (b'{"title": "a",\n "artist}', "Unterminated string starting at line 2, column 2"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"title": "\xff"}', "not UTF-8"),
        (b'{"title": ' + b"9" * 5000 + b"}", "a number too large"),
        (b" \n", "empty"),
    ],
)
def test_a_sidecar_that_is_no_json_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    path = recording(tmp_path / "song.wav")
    (tmp_path / "song.json").write_bytes(content)
    assert read_tags(source(path)).problem == f"sidecar is not valid JSON: song.json: {reason}"


def test_json_as_deep_as_can_just_be_read_does_no_harm(tmp_path: Path) -> None:
    path = recording(tmp_path / "song.wav")
    for depth in range(300, 1000, 10):
        (tmp_path / "song.json").write_text('{"title": ' + "[" * depth + "1" + "]" * depth + "}")
        found = read_tags(source(path))
        assert found.title == "1" or found.problem == "sidecar is not valid JSON: song.json: nested too deeply"


@pytest.mark.parametrize("content", ['["title"]', "null", "3", '"title"'])
def test_json_that_is_no_object_is_no_sidecar(tmp_path: Path, content: str) -> None:
    path = recording(tmp_path / "song.wav")
    (tmp_path / "song.json").write_text(content)
    (tmp_path / "song.wav.json").write_text('{"title": "mine"}')
    assert tags_of(path) == dict.fromkeys(TAGS) | {"title": "mine"}


def test_a_sidecar_that_is_no_regular_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    path, sidecar = recording(tmp_path / "song.wav"), tmp_path / "song.wav.json"
    os.mkfifo(sidecar)
    assert read_tags(source(path)).problem == "sidecar cannot be read: song.wav.json: not a regular file"
    sidecar.unlink()
    sidecar.symlink_to("/dev/zero")
    assert read_tags(source(path)).problem == "sidecar cannot be read: song.wav.json: not a regular file"


def test_a_sidecar_has_a_size_it_may_not_exceed(tmp_path: Path) -> None:
    path = recording(tmp_path / "song.wav")
    said = json.dumps({"title": "a"})
    (tmp_path / "song.json").write_text(said.ljust(1_000_000))
    assert tags_of(path)["title"] == "a"
    (tmp_path / "song.json").write_text(said.ljust(1_000_001))
    assert read_tags(source(path)).problem == "sidecar cannot be read: song.json: larger than 1 MB"


def test_a_sidecar_that_is_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    path = recording(tmp_path / "two\nlines.wav")
    sidecar = tmp_path / "two\nlines.json"
    sidecar.symlink_to("nowhere")
    assert read_tags(source(path)).problem == "sidecar cannot be read: two lines.json: broken symbolic link"
    sidecar.unlink()
    sidecar.symlink_to(sidecar.name)
    assert read_tags(source(path)).problem == "sidecar cannot be read: two lines.json: symbolic link loop"


def test_numbers_that_are_none_say_nothing(tmp_path: Path) -> None:
    path = recording(tmp_path / "song.wav")
    (tmp_path / "song.json").write_text('{"title": NaN, "artist": -Infinity, "album": ["a", NaN], "genre": 1.5}')
    assert tags_of(path) == dict.fromkeys(TAGS) | {"album": "a", "genre": "1.5"}


def test_tags_have_a_length_they_do_not_exceed(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.mp3")
    frames = [
        mutagen.id3.TIT2(encoding=3, text=["é" * 5000]),
        mutagen.id3.TPE1(encoding=3, text=["x" * 998 + " " + "y" * 5000]),
    ]
    write_id3(path, frames)
    (tmp_path / "a.json").write_text(json.dumps({"album": ["ab"] * 5000, "genre": {"a": "b" * 5000}}))
    found = tags_of(path, license="listing")
    assert found["title"] == "é" * MAX_CHARACTERS
    assert found["artist"] == "x" * 998 + " y"
    assert found["album"] == "ab, " * 249 + "ab,"
    assert found["genre"] == '{"a": "' + "b" * (MAX_CHARACTERS - 7)


def test_a_folder_named_like_a_sidecar_is_none(tmp_path: Path) -> None:
    path = recording(tmp_path / "song.wav")
    (tmp_path / "song.json").mkdir()
    assert tags_of(path) == dict.fromkeys(TAGS)


def test_names_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = recording(tmp_path / ("x" * 251 + ".wav"))
    assert tags_of(path) == dict.fromkeys(TAGS)


def test_nothing_is_opened_in_vain(tmp_path: Path) -> None:
    broken = source(tmp_path / "gone.wav", problem="broken symbolic link")
    assert read_tags(broken) is broken
    known = source(tmp_path / "gone.wav", **EXPECTED)
    assert read_tags(known) is known


def test_a_file_that_became_something_else_since_it_was_listed(tmp_path: Path) -> None:
    path = recording(tmp_path / "song.wav")
    (listed,) = Folder(path=str(tmp_path)).list().sources
    path.unlink()
    assert read_tags(listed).problem == "no such file"
    os.mkfifo(path)
    assert read_tags(listed).problem == "not a regular file"
    path.unlink()
    path.mkdir()
    assert read_tags(listed).problem == "a folder, not a file"
    path.rmdir()
    path.symlink_to("nowhere")
    assert read_tags(listed).problem == "broken symbolic link"
    path.unlink()
    path.symlink_to(path.name)
    assert read_tags(listed).problem == "symbolic link loop"


def test_tags_through_a_folder(tmp_path: Path) -> None:
    write_id3(recording(tmp_path / "a.mp3"), [mutagen.id3.TPE1(encoding=3, text=["Ada"])])
    folder = Folder(path=str(tmp_path))
    (found,) = folder.list().sources
    assert found.artist is None
    assert folder.read_tags(found).group == "Ada"
