"""Frame headers of FLAC and MPEG audio, read where a library's word is not enough."""

from __future__ import annotations

import re
from dataclasses import dataclass

_V1_LAYER3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V1_LAYER2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_FLAC_RATES_HZ = dict(
    enumerate((88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000), 1)
)


@dataclass(frozen=True, slots=True)
class MpegFrame:
    """What the header of one frame of MPEG audio says.

    Attributes:
        layer: 2 or 3 of MPEG-1 and MPEG-2, or 4 for AAC in ADTS.
        num_bytes: its length, header included.
        num_samples: what it decodes to; for AAC before any band replication.
    """

    layer: int
    num_bytes: int
    num_samples: int
    rate_hz: int | None
    channels: int | None


def mpeg_frame(data: bytes) -> MpegFrame | None:
    """Read a frame header from the first bytes, null where there is none."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    if data[1] & 0xF6 == 0xF0:
        num_bytes = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        good = num_bytes > 7 and data[2] >> 2 & 15 < 13
        return MpegFrame(4, num_bytes, 1024 * ((data[6] & 3) + 1), None, None) if good else None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    bit_rate, rate, padding = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    if version == 1 or layer not in (2, 3) or bit_rate in (0, 15) or rate == 3:
        return None
    kbps = (_V2 if version != 3 else _V1_LAYER3 if layer == 3 else _V1_LAYER2)[bit_rate - 1]
    rate_hz = _RATES_HZ[version][rate]
    num_samples = 576 if layer == 3 and version != 3 else 1152
    num_bytes = num_samples // 8 * kbps * 1000 // rate_hz + padding
    return MpegFrame(layer, num_bytes, num_samples, rate_hz, 1 if data[3] >> 6 == 3 else 2)


def find_mpeg(data: bytes) -> tuple[int, MpegFrame] | None:
    """Offset and header of the first frame that others of its kind follow; fewer than three only at the very start."""
    for match in re.finditer(rb"\xff[\xe0-\xff]", data):
        first = frame = mpeg_frame(data[match.start() : match.start() + 7])
        at, chained = match.start(), 0
        while frame and first and frame.layer == first.layer and chained < 3:
            at, chained = at + frame.num_bytes, chained + 1
            frame = mpeg_frame(data[at : at + 7])
        if first and (chained == 3 or (chained and match.start() == 0 and at + 7 > len(data))):
            return match.start(), first
    return None


def is_ac3(head: bytes) -> bool:
    """Whether AC-3 or E-AC-3 begins: its sync word, and another one within the longest frame there is."""
    return head.startswith(b"\x0b\x77") and head.find(b"\x0b\x77", 7, 4_100) > 0


def is_latm(head: bytes) -> bool:
    """Whether AAC in LATM begins: three frames in a row, by the sync word and length of each."""
    at = 0
    for _ in range(3):
        if len(head) < at + 3 or head[at] != 0x56 or head[at + 1] & 0xE0 != 0xE0:
            return False
        at += 3 + ((head[at + 1] & 0x1F) << 8 | head[at + 2])
    return True


def is_transport_stream(head: bytes) -> bool:
    """Whether an MPEG transport stream begins: five packets of 188 bytes, or of 192 with a time code before each."""
    return any(head[first : first + 5 * step : step] == b"\x47" * 5 for first, step in ((0, 188), (4, 192)))


def xing_samples(data: bytes, frame: MpegFrame) -> int | None:
    """The exact length that a Xing or Info header in the first MP3 frame promises, encoder delay and padding taken off.

    Null where there is none: then nobody knows the length of an MP3 without going through all of it.
    """
    at = max(data.find(b"Xing", 0, 64), data.find(b"Info", 0, 64))
    if at < 0 or not data[at + 7] & 1:
        return None
    num_samples = int.from_bytes(data[at + 8 : at + 12], "big") * frame.num_samples
    flags = data[at + 7]
    encoder = at + 12 + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if data[encoder : encoder + 4] in (b"LAME", b"Lavf", b"Lavc", b"GOGO"):
        delay_padding = int.from_bytes(data[encoder + 21 : encoder + 24], "big")
        num_samples -= (delay_padding >> 12) + (delay_padding & 0xFFF)
    return num_samples if num_samples > 0 else None


@dataclass(frozen=True, slots=True)
class FlacFrame:
    """What the header of one frame of FLAC says; its rate may be null, for that of the file.

    Attributes:
        end_sample: where it ends in the recording.
    """

    end_sample: int
    rate_hz: int | None
    channels: int


def last_flac_frame(tail: bytes, block_samples: int) -> FlacFrame | None:
    """The last FLAC frame in the end of a file, by its own header (RFC 9639, section 9.1)."""
    for sync in reversed(list(re.finditer(rb"\xff[\xf8\xf9]", tail))):
        frame = _flac_frame(tail[sync.start() : sync.start() + 17], block_samples)
        if frame is not None:
            return frame
    return None


def _flac_frame(header: bytes, block_samples: int) -> FlacFrame | None:
    ones = 8 - (header[4] ^ 0xFF).bit_length() if len(header) == 17 else 8
    if ones in (1, 8) or header[3] & 1:
        return None
    # The number of the frame, or of its first sample, is coded as UTF-8 codes characters.
    number, at = header[4] & 0x7F >> ones, 4 + max(ones, 1)
    for byte in header[5:at]:
        number = number << 6 | byte & 0x3F
    code = header[2] >> 4
    if code in (6, 7):
        samples = int.from_bytes(header[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        samples = 192 if code == 1 else 144 << code if code < 6 else 1 << code
    unit_hz, width = {12: (1000, 1), 13: (1, 2), 14: (10, 2)}.get(header[2] & 15, (0, 0))
    rate_hz = int.from_bytes(header[at : at + width], "big") * unit_hz or _FLAC_RATES_HZ.get(header[2] & 15)
    at += width
    if code == 0 or _crc8(header[:at]) != header[at]:
        return None
    start = number if header[1] & 1 else number * block_samples
    return FlacFrame(start + samples, rate_hz, header[3] // 16 + 1 if header[3] < 0x80 else 2)


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
