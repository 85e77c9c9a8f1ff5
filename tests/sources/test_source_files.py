from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from audiocur.sources.files import examine, open_regular, trouble


def in_words(path: Path) -> str:
    """What opening says, which is what looking at it says."""
    with pytest.raises(OSError) as caught, open_regular(os.fsencode(path)):  # noqa: PT011 - the words are compared
        pass
    said = trouble(caught.value, os.fsencode(path))
    assert examine(os.fsencode(path)) == (None, said)
    return said


def test_a_regular_file_is_opened_under_its_name(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "song.wav")
    Path(os.fsdecode(path)).write_bytes(b"RIFF")
    with open_regular(path) as file:
        assert (file.read(), file.name) == (b"RIFF", path)
    found, problem = examine(path)
    assert problem is None
    assert found is not None
    assert found.st_size == 4


def test_the_same_words_however_trouble_is_met(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    assert in_words(tmp_path / "gone") == in_words(tmp_path / "file" / "gone") == "no such file"
    assert in_words(tmp_path / "broken") == "broken symbolic link"
    assert in_words(tmp_path / "loop") == "symbolic link loop"
    assert in_words(tmp_path) == "a folder, not a file"
    assert in_words(tmp_path / "pipe") == in_words(Path("/dev/zero")) == "not a regular file"


def test_a_socket_is_no_regular_file() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:  # a short path: 108 bytes
        server.bind(f"{folder}/s")
        assert in_words(Path(folder) / "s") == "not a regular file"


def test_permission_has_one_name() -> None:
    for number in (1, 13):
        assert trouble(PermissionError(number, os.strerror(number)), b"song.wav") == "permission denied"
