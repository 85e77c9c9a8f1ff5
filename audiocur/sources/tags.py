"""Title, artist, album, genre and licence of a recording: from the file's own tags and from a sidecar."""
# Names of files are bytes here, and pathlib has no notion of those.
# ruff: noqa: PTH114, PTH119, PTH122

from __future__ import annotations

import errno
import json
import math
import os
import re
import struct
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import mutagen
from mutagen.id3 import ID3Tags
from mutagen.wave import WAVE

from audiocur.errors import RowError
from audiocur.records import TAGS, Source
from audiocur.sources.files import open_regular, remote_trouble, shown, trouble
from audiocur.sources.media import open_media
from audiocur.storage import is_url
from audiocur.storage.faults import patiently
from audiocur.storage.objects import RemoteFile, ask, open_whole, read_head
from audiocur.storage.protocols import is_web

#: Names a tag goes by in Vorbis comments, APEv2, MP4 and ASF, the most telling first.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "\xa9nam"),
    "artist": ("artist", "\xa9art", "author"),
    "album": ("album", "\xa9alb", "wm/albumtitle"),
    "genre": ("genre", "\xa9gen", "wm/genre"),
    "license": ("license", "----:com.apple.itunes:license", "copyright", "cprt"),
}
_INFO = {b"INAM": "title", b"IART": "artist", b"IPRD": "album", b"IGNR": "genre", b"ICOP": "license"}

#: What mutagen lets through on damaged headers besides its own error, found by feeding it damaged files.
_UNREADABLE = (mutagen.MutagenError, struct.error, IndexError, KeyError, ValueError, RecursionError)


#: A tag is copied into every clip's row: what a file says beyond so many characters is left off.
MAX_CHARACTERS = 1000

_MAX_SIDECAR_BYTES = 1_000_000
_MAX_CHUNKS = 10_000  # more than any file has: zeros are chunks of no length


def read_tags(source: Source, sidecars: Container[bytes] | None = None) -> Source:
    """The source with its tags: those of the file, overridden by a sidecar, overridden by what the source has already.

    The sidecar of ``song.flac`` is ``song.json`` or ``song.flac.json``, the latter first: a JSON object, of which the
    five tags count; JSON that is no object belongs to some other program and is passed over. A sidecar that is no JSON,
    is longer than 1 MB or cannot be opened, or a file that cannot be opened, becomes the `problem`; tags that cannot be
    read are null.

    Args:
        source: the recording; for one at an address on the web, no sidecar is looked for.
        sidecars: paths or URLs of those there are, null where nobody has looked.
    """
    given = {tag: value for tag in TAGS if (value := getattr(source, tag)) is not None}
    if source.problem is not None or len(given) == len(TAGS):
        return source
    if is_url(source.path) and is_web(os.fsdecode(source.path)):
        sidecars = ()
    try:
        return replace(source, **(_of_file(source) | _of_sidecar(source.path, sidecars) | given))
    except RowError as error:
        return replace(source, problem=str(error))


def as_text(value: Any) -> str | None:
    r"""A tag's value as one line of valid text, null where it says nothing.

    Lists are joined by commas, and text ends after `MAX_CHARACTERS`.

    >>> as_text(["Rock", " Pop\n"]), as_text(1999), as_text("\x00"), as_text(float("nan"))
    ('Rock, Pop', '1999', None, None)
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, list | tuple):
        text = ", ".join(filter(None, map(as_text, value)))
    else:
        plain = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | bool) else str(value)
        valid = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", plain).encode("utf-8", "backslashreplace").decode()
        text = " ".join(valid.split())
    return text[:MAX_CHARACTERS].rstrip() or None


def json_fault(error: ValueError | RecursionError) -> str:
    """What is wrong with JSON, in a few words.

    >>> try:
    ...     json.loads('{"title": }')
    ... except ValueError as error:
    ...     json_fault(error)
    'Expecting value at column 11'
    """
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg.removesuffix(' at').rstrip(': ')} at {line}column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    # Python refuses to read an integer of thousands of digits.
    return "nested too deeply" if isinstance(error, RecursionError) else "a number too large"


def _of_sidecar(path: bytes, there: Container[bytes] | None) -> dict[str, str]:
    tags: dict[str, str] = {}
    for sidecar in (os.path.splitext(path)[0] + b".json", path + b".json"):
        content = _content(sidecar, listed=there is not None) if there is None or sidecar in there else None
        if content is not None:
            tags |= _of_json(content, shown(os.path.basename(sidecar)))
    return tags


def _content(sidecar: bytes, *, listed: bool) -> bytes | None:
    name = shown(os.path.basename(sidecar))
    try:
        content = _head(sidecar)
    except IsADirectoryError:
        return None
    except OSError as error:
        absent = isinstance(error, FileNotFoundError) and not os.path.islink(sidecar)
        # Object stores refuse those who may not list what is not there.
        refused = is_url(sidecar) and not listed and isinstance(error, PermissionError)
        # The recording's own name may be nearly as long as names can be.
        if absent or refused or error.errno == errno.ENAMETOOLONG:
            return None
        words = remote_trouble(error).removeprefix("cannot be read: ") if is_url(sidecar) else trouble(error, sidecar)
        raise RowError(f"sidecar cannot be read: {name}: {words}") from error
    if len(content) > _MAX_SIDECAR_BYTES:
        raise RowError(f"sidecar cannot be read: {name}: larger than 1 MB")
    return content


def _head(sidecar: bytes) -> bytes:
    if is_url(sidecar):
        return patiently(partial(read_head, os.fsdecode(sidecar), _MAX_SIDECAR_BYTES + 1))
    with open_regular(sidecar) as file:
        return file.read(_MAX_SIDECAR_BYTES + 1)


def _of_json(content: bytes, name: str) -> dict[str, str]:
    if not content.strip():
        raise RowError(f"sidecar is not valid JSON: {name}: empty")
    try:
        said = json.loads(content)
        return _said(said.get(tag) for tag in TAGS) if isinstance(said, dict) else {}
    except (ValueError, RecursionError) as error:
        raise RowError(f"sidecar is not valid JSON: {name}: {json_fault(error)}") from error


def _of_file(source: Source) -> dict[str, str]:
    try:
        with _opened(source) as file:
            tags = _of_media(file)
            if isinstance(file, RemoteFile) and file.error is not None:
                raise file.error  # mutagen took it for the end of the file
            return tags
    except OSError as error:
        raise RowError(remote_trouble(error) if is_url(source.path) else trouble(error, source.path)) from error
    except ValueError:  # a NUL in the name
        return {}


def _opened(source: Source) -> AbstractContextManager[Any]:
    if not is_url(source.path):
        return open_regular(source.path)
    url = os.fsdecode(source.path)
    size = source.size
    if size is None:
        size = patiently(partial(ask, url)).size
    return open_whole(url) if size is None else RemoteFile(url, size)


def _of_media(file: Any) -> dict[str, str]:
    try:
        media = open_media(file)
        if media is None or media.tags is None:
            return _of_riff(file) if isinstance(media, WAVE) else {}
    except _UNREADABLE:
        return {}
    if isinstance(media.tags, ID3Tags):
        return _of_id3(media.tags)
    values = {str(key).lower(): value for key, value in media.tags.items()}
    return _said(next(filter(None, (_texts(values.get(name)) for name in _NAMES[tag])), None) for tag in TAGS)


def _of_id3(tags: Any) -> dict[str, str]:
    def texts(key: str) -> list[str]:
        return [str(text) for frame in tags.getall(key) for text in frame.text]

    urls = [frame.url for frame in tags.getall("WCOP")]
    own = [str(text) for frame in tags.getall("TXXX") if frame.desc.lower() == "license" for text in frame.text]
    genres = [genre for frame in tags.getall("TCON") for genre in frame.genres]
    return _said((texts("TIT2"), texts("TPE1"), texts("TALB"), genres, urls or own or texts("TCOP")))


def _of_riff(file: BinaryIO) -> dict[str, str]:
    """The INFO chunks of a WAV file, which mutagen passes over."""
    tags: dict[str, str] = {}
    file.seek(12)
    for name, size in _chunks(file):
        if name == b"LIST" and file.read(4) == b"INFO":
            end = file.tell() + size - 4
            for field, length in _chunks(file, end):
                text = as_text(_decoded(file.read(min(length, 4096))))
                if field in _INFO and text:
                    tags[_INFO[field]] = text
    return tags


def _chunks(file: BinaryIO, end: int | None = None) -> Iterator[tuple[bytes, int]]:
    for _ in range(_MAX_CHUNKS):
        head = file.read(8) if end is None or file.tell() < end else b""
        if len(head) < 8:
            break
        name, size = struct.unpack("<4sI", head)
        after = file.tell() + size + size % 2
        yield name, size
        file.seek(after)


def _texts(value: Any) -> list[str]:
    """The texts of a tag, whichever way its format wraps them."""
    wrapped = value if isinstance(value, list) else [value]
    return [text for each in wrapped if each is not None for text in _unwrapped(each).split("\0") if as_text(text)]


def _unwrapped(value: Any) -> str:
    return _decoded(value) if isinstance(value, bytes) else str(value)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _said(values: Iterable[Any]) -> dict[str, str]:
    return {tag: text for tag, value in zip(TAGS, values, strict=True) if (text := as_text(value))}
