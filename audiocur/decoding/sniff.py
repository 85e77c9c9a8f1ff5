"""What a recording is, told from its first bytes: extensions lie, and only known containers ever reach a parser."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from audiocur.decoding.extent import MAX_CHUNKS, WHOLE, Extent, is_never_closed, measure, present_ratio
from audiocur.decoding.frames import (
    find_mpeg,
    is_ac3,
    is_latm,
    is_transport_stream,
    last_flac_frame,
    xing_samples,
)
from audiocur.errors import RowError

_HEAD_BYTES = 65_536
_MP3 = 0x55  # in a WAV


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the first bytes say, before any library is asked.

    Attributes:
        container: "wav", "flac", "mp3", "mp4" ...
        demuxer: libav's name for it.
        pcm: libsndfile reads it, and seeks in it to the sample.
        rate_hz, channels: null where only a library can tell.
        promised_samples: the length that the header promises exactly, null where it promises none.
        extent: how far the container says that it goes.
        codec: what the container calls the codec, null where only a library can tell.
    """

    container: str
    demuxer: str
    pcm: bool = False
    rate_hz: int | None = None
    channels: int | None = None
    promised_samples: int | None = None
    extent: Extent = WHOLE
    codec: str | None = None


def identify(fd: int, size: int) -> Facts:
    """Tell what the open file holds; RowError where it is nothing we know."""
    if size == 0:
        raise RowError("empty file")
    start = _after_id3(fd)
    head = os.pread(fd, _HEAD_BYTES, start)
    if start and (not head or (head[:3] == b"TAG" and size - start <= 128)):
        cut = start > size
        raise RowError("damaged or truncated: its ID3 tag never ends" if cut else "holds an ID3 tag and no audio")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return _wav(fd, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(fd, size)
    if head[:4] == b"fLaC":
        return _flac(fd, size, start, head)
    for offset, magic, container, demuxer in _MAGIC:
        if head.startswith(magic, offset):
            return _of_magic(fd, size, head, container, demuxer)
    for recognises, container, demuxer in _SYNCHRONOUS:
        if recognises(head):
            return Facts(container=container, demuxer=demuxer)
    return _mpeg(head) or _nothing(fd)


#: offset, bytes, container, libav's demuxer
_MAGIC = (
    (0, b"OggS", "ogg", "ogg"),
    (0, b"\x1a\x45\xdf\xa3", "matroska", "matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "asf"),
    (0, b".snd", "au", "au"),
    (0, b"caff", "caf", "caf"),
    (0, b"riff\x2e\x91\xcf\x11", "w64", "w64"),
    (0, b"wvpk", "wavpack", "wv"),
    (0, b"TTA1", "tta", "tta"),
    (0, b"MAC ", "ape", "ape"),
    (0, b"MPCK", "musepack", "mpc8"),
    (0, b"MP+", "musepack", "mpc"),
    (0, b"DSD ", "dsf", "dsf"),
    (0, b"#!AMR", "amr", "amr"),
    (0, b"FLV\x01", "flv", "flv"),
    (0, b"\x00\x00\x01\xba", "mpeg", "mpeg"),
    (8, b"AVI ", "avi", "avi"),
    *((4, box, "mp4", "mov") for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
)

#: Streams without a header, told by their frames.
_SYNCHRONOUS = (
    (is_transport_stream, "mpegts", "mpegts"),
    (is_ac3, "ac3", "ac3"),
    (is_latm, "latm", "loas"),
)


def _of_magic(fd: int, size: int, head: bytes, container: str, demuxer: str) -> Facts:
    codec = re.search(rb"\x86([\x81-\xa0])(A_[\w/.-]+)", head) if container == "matroska" else None
    return Facts(
        container=container,
        demuxer=demuxer,
        pcm=container in ("au", "caf", "w64"),
        extent=measure(container, fd, size),
        codec=codec[2][: codec[1][0] & 0x7F].decode() if codec else None,
    )


def _nothing(fd: int) -> Facts:
    text = os.pread(fd, 16, 0).decode("ascii", "backslashreplace")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    raise RowError(f"not audio: no decoder recognises it (starts with '{shown}')")


def _after_id3(fd: int) -> int:
    """Where the file goes on after its ID3v2 tags, which may stand before any MPEG stream and before FLAC."""
    start = 0
    for _ in range(MAX_CHUNKS):
        head = os.pread(fd, 10, start)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) >= 0x80:
            break
        body = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += 10 + body + (10 if head[5] & 0x10 else 0)
    return start


def _chunks(fd: int, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Identifier, offset of the body and declared length of each chunk of a RIFF or IFF file."""
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > size:
            break
        name, length = struct.unpack(f"{order}4sI", os.pread(fd, 8, at))
        yield name, at + 8, length
        at += 8 + length + length % 2


def _wav(fd: int, size: int) -> Facts:
    order = ">" if os.pread(fd, 4, 0) == b"RIFX" else "<"
    rate_hz = channels = None
    code = block_bytes = 0
    long_length = 0  # RF64 keeps the length of its data in a chunk of its own
    for name, at, length in _chunks(fd, size, order):
        if name == b"ds64" and len(body := os.pread(fd, 16, at)) == 16:
            long_length = struct.unpack("<QQ", body)[1]
        elif name == b"fmt " and len(body := os.pread(fd, 26, at)) >= 16:
            code, channels, rate_hz, _, block_bytes, _ = struct.unpack(f"{order}HHIIHH", body[:16])
            if code == 0xFFFE and length >= 40 and len(body) == 26:  # extensible: the code comes later
                code = struct.unpack(f"{order}H", body[24:])[0]
            if code not in (1, 3, 6, 7):  # blocks of compressed samples: frames do not follow from bytes
                block_bytes = 0
        elif name == b"data":
            length = long_length if length == 0xFFFF_FFFF and long_length else length
            return _wav_data(fd, size, at, length, Facts(
                # libsndfile would read MP3 in a WAV too, but with a library that writes on stderr of any damage.
                container="wav", demuxer="wav", pcm=code != _MP3, rate_hz=rate_hz, channels=channels,
                promised_samples=length // block_bytes if block_bytes else None,
                extent=WHOLE if block_bytes else Extent(present_ratio(at, length, size)),
                codec=f"WAV format 0x{code:04X}",
            ))  # fmt: skip
    raise RowError("holds no audio samples: a WAV header without data")


def _wav_data(fd: int, size: int, at: int, length: int, facts: Facts) -> Facts:
    # Recorders that could not go back leave no length, or one that no file has: then data runs to the end.
    never_closed = length == 0 and at < size and not _is_chunk(fd, size, at)
    if never_closed or (is_never_closed(length) and at + length > size):
        return replace(facts, pcm=facts.pcm and not never_closed, promised_samples=None, extent=WHOLE)
    return facts


def _is_chunk(fd: int, size: int, at: int) -> bool:
    head = os.pread(fd, 8, at)
    return len(head) == 8 and head[:4].isalnum() and at + 8 + int.from_bytes(head[4:], "little") <= size


def _aiff(fd: int, size: int) -> Facts:
    for name, at, _ in _chunks(fd, size, ">"):
        if name == b"COMM" and len(body := os.pread(fd, 18, at)) == 18:
            channels, frames, _, exponent, mantissa = struct.unpack(">HIHHQ", body)
            # The rate is an 80-bit float; anything outside this range of exponents is no rate of sound.
            rate_hz = mantissa >> (16_446 - exponent) if 16_383 <= exponent < 16_446 else 0
            return Facts(
                container="aiff", demuxer="aiff", pcm=True, rate_hz=rate_hz, channels=channels, promised_samples=frames
            )
    raise RowError("holds no audio samples: an AIFF header without a description of its sound")


def _flac(fd: int, size: int, start: int, head: bytes) -> Facts:
    if len(head) < 42:
        raise RowError("holds no audio samples: a FLAC header and nothing else")
    packed = int.from_bytes(head[18:26], "big")
    total = packed & (1 << 36) - 1
    # libsndfile believes the header and stops there, libav reads what is there: the quicker one only where both agree.
    tail_bytes = min(size - start, _HEAD_BYTES + int.from_bytes(head[15:18], "big"))
    last = last_flac_frame(os.pread(fd, tail_bytes, size - tail_bytes), int.from_bytes(head[8:10], "big"))
    rate_hz, channels = packed >> 44, (packed >> 41 & 7) + 1
    return Facts(
        container="flac",
        demuxer="flac",
        pcm=last is not None
        and 0 < total == last.end_sample
        and (rate_hz, channels) == (last.rate_hz or rate_hz, last.channels),
        rate_hz=rate_hz,
        channels=channels,
        promised_samples=total or None,
    )


def _mpeg(head: bytes) -> Facts | None:
    if (found := find_mpeg(head)) is None:
        return None
    at, frame = found
    if frame.layer == 4:  # its header may give half the rate and one channel of two, where HE-AAC replicates them
        return Facts(container="adts", demuxer="aac")
    promised = xing_samples(head[at : at + frame.num_bytes], frame) if frame.layer == 3 else None
    return Facts(
        container="mp3", demuxer="mp3", rate_hz=frame.rate_hz, channels=frame.channels, promised_samples=promised
    )
