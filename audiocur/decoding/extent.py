"""How far a container says that it goes: what tells a recording that was cut off from one that is whole."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

#: More than any file has: zeros where chunks should be are chunks of no length.
MAX_CHUNKS = 100_000

_HEAD_BYTES = 65_536
_MAX_OGG_PAGE = 65_307  # 27 bytes, 255 lengths and 255 segments of 255 bytes

#: What writers that could not go back leave for a 32-bit length: sox and mplayer 0x7FFFF000, arecord 0x80000000,
#: others the largest signed or unsigned number; some less a header, some rounded to whole frames.
_NEVER_CLOSED = (range(0x7FFF_F000, 0x8000_0100), range(0xFFFF_F000, 0x1_0000_0000))
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_ASF_PROPERTIES = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"


class Extent(NamedTuple):
    """What a container declares of its own end.

    Attributes:
        present_ratio: of the bytes that it declares, the share that is there.
        duration_s: the length it declares for the longest of its tracks, null where it declares none.
        closed: the mark of its end is there, where it has one.
    """

    present_ratio: float = 1.0
    duration_s: float | None = None
    closed: bool = True


WHOLE = Extent()


def is_never_closed(length: int) -> bool:
    """Whether a 32-bit length other than 0 stands for "to the end of the file"."""
    return any(length in lengths for lengths in _NEVER_CLOSED)


def present_ratio(at: int, length: int, size: int) -> float:
    """Of a body of so many bytes from an offset on, the share that lies within the file."""
    return min(1.0, max(0, size - at) / length) if length > 0 else 1.0


def measure(container: str, fd: int, size: int) -> Extent:
    """What the open file declares of its end; a container that declares nothing is taken to be whole.

    ADTS, AC-3, LATM, MPEG programme and transport streams and MP3 without a Xing header declare nothing: cut off
    between two frames, they cannot be told from recordings that end there.
    """
    if container == "ogg":
        return Extent(closed=_ogg_is_closed(fd, size))
    head = os.pread(fd, _HEAD_BYTES, 0)
    if container == "matroska":
        return _matroska(head, size)
    body = {"au": _au, "caf": _caf, "w64": _w64, "asf": _asf, "avi": _avi, "mp4": _mp4}.get(container)
    at, length = body(fd, head, size) if body else (0, 0)
    return Extent(present_ratio(at, length, size))


# Each of these gives where the bytes begin of which the length is declared, and that length, 0 where it is not.


def _au(fd: int, head: bytes, size: int) -> tuple[int, int]:
    at, length = struct.unpack(">II", head[4:12]) if len(head) >= 12 else (0, 0)
    return at, 0 if length == 0xFFFF_FFFF else length


def _avi(fd: int, head: bytes, size: int) -> tuple[int, int]:
    length = int.from_bytes(head[4:8], "little")
    return 8, 0 if is_never_closed(length) else length


def _asf(fd: int, head: bytes, size: int) -> tuple[int, int]:
    at = head.find(_ASF_PROPERTIES)
    properties = head[at : at + 92]
    broadcast = at < 0 or len(properties) < 92 or properties[88] & 1
    return 0, 0 if broadcast else int.from_bytes(properties[40:48], "little")


def _caf(fd: int, head: bytes, size: int) -> tuple[int, int]:
    at = 8
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, 12, at) if at < size else b""
        if len(chunk) < 12:
            break
        name, length = struct.unpack(">4sq", chunk)
        if name == b"data" or length < 0:  # -1: to the end of the file
            return at + 12, length
        at += 12 + length
    return 0, 0


def _w64(fd: int, head: bytes, size: int) -> tuple[int, int]:
    at = 40
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, 24, at) if at < size else b""
        if len(chunk) < 24:
            break
        length = int.from_bytes(chunk[16:], "little")  # of the whole chunk
        if chunk[:16] == _W64_DATA:
            return at, 0 if length >= 1 << 62 else length
        at += max(24, length + -length % 8)
    return 0, 0


def _mp4(fd: int, head: bytes, size: int) -> tuple[int, int]:
    at = 0
    for _ in range(MAX_CHUNKS):
        if at >= size:
            break
        box = os.pread(fd, 16, at)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:], "big")
        if length < 8:  # 0: to the end of the file
            return 0, 0
        at += length
    return 0, at


def _ogg_is_closed(fd: int, size: int) -> bool:
    """Whether the last whole page ends a stream; so it does too where none is near the end, for want of proof."""
    tail_bytes = min(size, 2 * _MAX_OGG_PAGE)
    tail = os.pread(fd, tail_bytes, size - tail_bytes)
    for page in reversed(list(re.finditer(rb"OggS\x00", tail))):
        at = page.start()
        if len(tail) < at + 27:
            continue
        lengths = tail[at + 27 : at + 27 + tail[at + 26]]
        if len(lengths) == tail[at + 26] and at + 27 + len(lengths) + sum(lengths) <= len(tail):
            return bool(tail[at + 5] & 4)
    return True


def _matroska(head: bytes, size: int) -> Extent:
    """The declared length of the one Segment, and Duration in its Info (RFC 9559, sections 5.1 and 5.1.2)."""
    ratio, duration_s = 1.0, None
    for name, at, length in _elements(head, 0, len(head)):
        if name == 0x18538067 and length is not None:
            ratio = present_ratio(at, length, size)
        if name == 0x18538067:
            inner = _elements(head, at, len(head))
            duration_s = next(
                (_info_s(head, at, length or 0) for name, at, length in inner if name == 0x1549A966), None
            )
            break
    return Extent(ratio, duration_s)


def _info_s(head: bytes, at: int, length: int) -> float | None:
    scale_ns, ticks = 1_000_000, None
    for name, start, num_bytes in _elements(head, at, min(at + length, len(head))):
        body = head[start : start + (num_bytes or 0)]
        if name == 0x2AD7B1 and len(body) <= 8:
            scale_ns = int.from_bytes(body, "big")
        elif name == 0x4489 and len(body) in (4, 8):
            ticks = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]
    duration_s = 0.0 if ticks is None else ticks * scale_ns / 1e9
    return duration_s if 0 < duration_s < 1e9 else None


def _elements(head: bytes, at: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Identifier, offset of the body and length of the EBML elements in a stretch; null for an unknown length."""
    while at < end and head[at]:
        id_bytes = 9 - head[at].bit_length()
        size_at = at + id_bytes
        if size_at >= end or not head[size_at]:
            return
        size_bytes = 9 - head[size_at].bit_length()
        unknown = (1 << 7 * size_bytes) - 1
        length = int.from_bytes(head[size_at : size_at + size_bytes], "big") & unknown
        body = size_at + size_bytes
        yield int.from_bytes(head[at:size_at], "big"), body, None if length == unknown else length
        at = body + length
