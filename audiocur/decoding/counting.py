"""How many samples a packet holds, told without decoding it, for codecs whose decoders forget within a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audiocur.decoding.frames import mpeg_frame

#: From a packet to its number of samples; null where it cannot be told. Called for every packet in order.
Counter = Callable[[Any], int | None]


def packet_counter(codec: str, extradata: bytes | None) -> Counter:
    """The counter of a codec; one that never can tell where decoding must begin with the first packet."""
    if codec in ("mp3", "mp3float"):
        return _count_mp3
    if codec == "vorbis" and (sizes := _vorbis_block_sizes(extradata or b"")):
        return _VorbisCounter(sizes)
    return lambda packet: None


def is_tag(packet: Any) -> bool:
    """Files joined end to end hold tags between frames of MP3, which are nothing to decode."""
    return bytes(memoryview(packet)[:3]) in (b"ID3", b"TAG", b"APE")


def _count_mp3(packet: Any) -> int | None:
    frame = mpeg_frame(bytes(memoryview(packet)[:7]))
    return frame.num_samples if frame and frame.layer == 3 else None


class _VorbisCounter:
    """A block gives a quarter of its own size and of its predecessor's; the first one gives nothing."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        self._mode_mask = (1 << (len(sizes) - 1).bit_length()) - 1
        self._previous: int | None = None

    def __call__(self, packet: Any) -> int | None:
        first = memoryview(packet)[0] if packet.size else 1
        mode = first >> 1 & self._mode_mask
        if first & 1 or mode >= len(self._sizes):
            return None
        previous, self._previous = self._previous, self._sizes[mode]
        return None if previous is None else (previous + self._previous) // 4


def _vorbis_block_sizes(extradata: bytes) -> list[int] | None:
    """The block size of each mode of a Vorbis stream (Vorbis I specification, 4.2.2 and 4.2.4).

    Modes stand at the very end of the setup header: reading them from there spares all that precedes them.
    """
    if len(extradata) < 60 or extradata[0] != 2:
        return None
    at = 1
    for _ in range(2):  # the lengths of the first two of three headers
        while extradata[at] == 255:
            at += 1
        at += 1
    packed = extradata[at + 28]
    short, long = 1 << (packed & 15), 1 << (packed >> 4)
    setup = int.from_bytes(extradata, "little")
    end = setup.bit_length() - 1  # the framing bit
    sizes: list[int] = []
    found = None
    while end > 47 and len(sizes) < 64:
        end -= 41
        mode = setup >> end & (1 << 41) - 1
        if mode >> 1 & 0xFFFF_FFFF or mode >> 33 > 63:  # window and transform are always 0, mappings at most 64
            break
        sizes.insert(0, long if mode & 1 else short)
        if (setup >> (end - 6) & 63) + 1 == len(sizes):
            found = list(sizes)
    return found
