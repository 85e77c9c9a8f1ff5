"""Reading forward through a compressed recording with libav, counting samples and never trusting a time stamp.

A sample's position is the number of samples decoded before it. To begin in the middle, the reader goes through the
packets from the first one, and decodes them all, but for codecs that remember nothing for long: MP3 (two frames and a
bit reservoir) and Vorbis (one block) give the same samples to the bit when decoding begins a second early, and their
packets tell how many samples they hold. Opus and AAC never forget: their filters and noise generators run on from the
first packet, so they are always decoded from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from audiocur.audio import Samples
from audiocur.decoding.frames import mpeg_frame
from audiocur.errors import RowError

_PREROLL_S = 1.0
_MAX_GAP_S = 0.05  # a lost Ogg page or FLAC frame is longer
_CONTAINERS_WITH_VIDEO = ("asf", "avi", "flv", "matroska", "mov")
_TAGS = (b"ID3", b"TAG", b"APE")


class UncountableError(Exception):
    """A packet held another number of samples than it said: what was skipped cannot be counted either."""


class StreamReader:
    """Reads samples forward from a file descriptor, of which libav keeps a duplicate.

    Attributes:
        rate_hz, channels: of the first sound track.
        codec: libav's name of its codec.
        duration_s: the length the container gives, null where it gives none.
        length_is_promised: the container lists every packet, so a length that is not reached means that data is missing.
    """

    def __init__(self, fd: int, demuxer: str, rate_hz: int | None, channels: int | None, *, skip: bool = True) -> None:
        self._container, self._stream = _open(fd, demuxer)
        context = self._stream.codec_context
        self.rate_hz, self.channels, self.codec = rate_hz or context.rate, channels or context.channels, context.name
        self.length_is_promised = demuxer == "mov" and bool(self._stream.frames)
        self.duration_s = _duration_s(self._container, self._stream, demuxer)
        self._packets: Iterator[Packet[AudioStream]] = self._container.demux(self._stream)
        self._count = _packet_counter(self.codec, demuxer)
        self._skip = skip
        self._stamps_are_exact = demuxer in ("ogg", "flac")
        self._next_stamp: int | None = None
        self._position = 0  # of the first sample that the next packet will give
        self._begun = False
        self._skipped = False
        self._damaged_at: int | None = None
        self._block: tuple[int, Samples] | None = None  # decoded and not all read yet, with its position

    @property
    def earliest(self) -> int:
        """The first sample that can still be read."""
        return self._block[0] if self._block else self._position

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def read(self, start_sample: int, num_samples: int) -> tuple[Samples, bool]:
        """Samples [start_sample, start_sample + num_samples) as far as there are any, and whether none follow them."""
        out = np.empty((self.channels, num_samples), np.float32)
        filled = 0
        while filled < num_samples:
            if self._block is None:
                self._block = self._next_block(start_sample)
            if self._block is None:
                return out[:, :filled].copy(), True
            first, samples = self._block
            offset = start_sample + filled - first
            take = min(samples.shape[1] - offset, num_samples - filled)
            if take > 0:
                out[:, filled : filled + take] = samples[:, offset : offset + take]
                filled += take
            rest = samples[:, offset + max(take, 0) :]
            self._block = (first + offset + take, rest) if rest.size else None
        if self._block is None:
            self._block = self._next_block(start_sample + num_samples)
        return out, self._block is None

    def count(self) -> int | None:
        """The length of the rest in samples, from its packets alone; null where they do not tell."""
        total = self._position
        for packet in self._packets:
            frame = mpeg_frame(bytes(packet)[:7]) if self.codec == "aac" else None
            length = frame.num_samples if frame else self._count(packet)
            if length is None:
                return None
            total += length
        return total

    def _next_block(self, wanted: int) -> tuple[int, Samples] | None:
        """The next samples and their position; packets well before the wanted sample need not be decoded."""
        for packet in self._demux():
            length = self._count(packet)
            if length == 0:
                continue
            if self._may_skip(packet, length, wanted):
                self._position += length or 0
                self._skipped = True
                continue
            samples = self._decode(packet, length)
            if samples is not None:
                first = self._position
                self._position += samples.shape[1]
                return first, samples
        return None

    def _may_skip(self, packet: Packet[AudioStream], length: int | None, wanted: int) -> bool:
        # The first second is always decoded: encoder delay is trimmed there, by amounts no packet tells.
        preroll = int(_PREROLL_S * self.rate_hz)
        if not self._skip or length is None or self._position < preroll:
            return False
        if self._position + length > wanted - preroll:
            return False
        if packet.has_sidedata("skip_samples"):
            raise UncountableError
        return True

    def _demux(self) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self._packets:
                if self._stamps_are_exact and packet.size:
                    self._check_stamp(packet)
                yield packet
        except av.error.InvalidDataError:
            raise RowError(f"damaged at {self._position / self.rate_hz:.1f} s: its container cannot be read on") from None

    def _check_stamp(self, packet: Packet[AudioStream]) -> None:
        """Libav drops broken pages and frames without a word; the time stamps show the splice."""
        if packet.pts is None or packet.duration is None or packet.time_base is None:
            return
        if self._next_stamp is not None:
            gap_s = float((packet.pts - self._next_stamp) * packet.time_base)
            if gap_s < -_MAX_GAP_S or packet.has_sidedata("new_extradata"):
                raise RowError(f"another stream begins at {self._position / self.rate_hz:.1f} s (chained): split the file")
            if gap_s > _MAX_GAP_S:
                raise RowError(f"damaged: {gap_s:.2f} s are missing at {self._position / self.rate_hz:.1f} s")
        self._next_stamp = packet.pts + packet.duration

    def _decode(self, packet: Packet[AudioStream], length: int | None) -> Samples | None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            # Junk before the first frame and a cut last one are common and harmless; between frames, sound is lost.
            if self._begun and self._damaged_at is None:
                self._damaged_at = self._position
            return None
        blocks = [self._as_float(frame) for frame in frames]
        samples = np.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0] if blocks else None
        if self._skipped:  # the decoder's memory is of another place: what it makes of this packet is wrong
            self._skipped = False
            if length is None:
                raise UncountableError
            self._position += length
            return None
        if samples is None:
            return None
        if self._damaged_at is not None:
            raise RowError(f"damaged at {self._damaged_at / self.rate_hz:.1f} s: the {self.codec} decoder refuses the data")
        trimmed = length is None or not self._begun or packet.has_sidedata("skip_samples")
        if self._skip and not trimmed and samples.shape[1] != length:
            raise UncountableError
        self._begun = True
        return samples

    def _as_float(self, frame: AudioFrame) -> Samples:
        if frame.sample_rate != self.rate_hz:
            self._refuse_change(f"sampling rate changes from {self.rate_hz} to {frame.sample_rate} Hz")
        raw = frame.to_ndarray()
        if not frame.format.is_planar:
            raw = raw.reshape(frame.samples, -1).T
        if len(raw) != self.channels:
            self._refuse_change(f"number of channels changes from {self.channels} to {len(raw)}")
        if raw.dtype == np.uint8:
            return (raw.astype(np.float32) - 128) / 128
        if raw.dtype.kind == "i":
            return raw.astype(np.float32) / np.float32(2 ** (8 * raw.itemsize - 1))
        return raw.astype(np.float32, copy=False)

    def _refuse_change(self, what: str) -> None:
        raise RowError(f"its {what} at {self._position / self.rate_hz:.1f} s")


def _open(fd: int, demuxer: str) -> tuple[Any, AudioStream]:
    try:
        # The fd protocol takes any file name and cannot be made to open anything else.
        container = av.open("fd:", format=demuxer, options={"fd": str(fd)})
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno and 0 < error.errno < 1000:
            raise
        raise RowError(f"damaged or truncated: its {demuxer} header cannot be read") from None
    if not container.streams.audio:
        container.close()
        video = demuxer in _CONTAINERS_WITH_VIDEO
        raise RowError("no sound track in this video" if video else "holds no audio samples")
    stream = container.streams.audio[0]
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all
    if stream.codec_context is None:
        container.close()
        raise RowError("no decoder for the codec of its sound track")
    stream.codec_context.thread_count = 1
    return container, stream


def _duration_s(container: Any, stream: AudioStream, demuxer: str) -> float | None:
    if demuxer in ("mp3", "aac"):  # guessed from the bit rate
        return None
    if stream.duration is not None and stream.time_base is not None:
        delay = int.from_bytes((stream.codec_context.extradata or b"")[10:12], "little") if demuxer == "ogg" else 0
        opus_delay = delay if stream.codec_context.name == "opus" else 0
        return float(stream.duration * stream.time_base) - opus_delay / 48_000
    return None if container.duration is None else container.duration / av.time_base


def _packet_counter(codec: str, demuxer: str) -> Callable[[Packet[AudioStream]], int | None]:
    """How to tell the number of samples in a packet without decoding it, for codecs with a short memory."""
    if codec in ("mp3", "mp3float"):
        return _mp3_samples
    if codec == "vorbis" and demuxer == "ogg":
        return lambda packet: packet.duration or None
    return lambda packet: None


def _mp3_samples(packet: Packet[AudioStream]) -> int | None:
    head = bytes(memoryview(packet)[:7])
    if head[:3] in _TAGS:
        return 0
    frame = mpeg_frame(head)
    return frame.num_samples if frame and frame.layer == 3 else None
