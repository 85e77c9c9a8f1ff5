"""Reading forward through a compressed recording with libav, counting samples and never trusting a time stamp.

A sample's position is the number of samples decoded before it. To begin in the middle, the reader goes through the
packets from the first one, and decodes them all, but for codecs that remember nothing for long: MP3 (two frames and a
bit reservoir) and Vorbis (one block) give the same samples to the bit when decoding begins a second early, and their
packets tell how many samples they hold. Opus and AAC never forget: their filters and noise generators run on from the
first packet, so they are always decoded from there.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from audiocur.audio import Samples
from audiocur.decoding.counting import is_tag, packet_counter
from audiocur.decoding.durations import duration_s, matroska_track_s
from audiocur.decoding.sniff import Facts
from audiocur.errors import RowError

_PREROLL_S = 1.0
#: Containers whose time stamps count samples, and by how much libav's may be off: where an Ogg page begins with another
#: size of Vorbis block than the one before ended with, it is off by a part of a block; a lost page is longer.
_MAX_GAP_S = {"ogg": 0.1, "flac": 0.0}
#: Containers whose time stamps are of milliseconds, and of the mean bit rate in ASF.
_MAX_COARSE_GAP_S = {"matroska": 0.1, "asf": 0.1}
#: Containers whose headers count the samples.
_EXACT = ("wv", "tta", "ape", "mpc8", "dsf")
_CONTAINERS_WITH_VIDEO = ("asf", "avi", "flv", "matroska", "mov", "mpeg", "mpegts")
#: Errors of the machine, not of the recording: they may pass. Parsers of libav give all others for damage, even EPERM,
#: which is what a bare -1 looks like, EAGAIN in transport streams and ENOMEM for any number of things that cannot be.
_OF_THE_SYSTEM = frozenset((errno.EMFILE, errno.ENFILE, errno.EINTR))


class UncountableError(Exception):
    """A packet held another number of samples than it said: what was skipped cannot be counted either."""


class StreamReader:
    """Reads samples forward from a file descriptor, of which libav keeps a duplicate.

    Attributes:
        rate_hz, channels: of the first sound track, as its first frame has them: headers of HE-AAC may give half.
        codec: libav's name of its codec, whichever decoder it has for it.
        num_samples: the length the container gives, to about a packet; null where it gives none.
        promised_samples: the length the container declares for this track or lists packet by packet, so that an end
            before it means that data is missing; null where there is no such thing.
        spent: nothing can be read from it any more.
    """

    def __init__(self, fd: int, facts: Facts, *, skip: bool = True) -> None:
        self._container, self._stream = _open(fd, facts)
        self._demuxer = demuxer = facts.demuxer
        context = self._stream.codec_context
        self.rate_hz, self.channels, self.codec = context.rate, context.channels, context.codec.canonical_name
        self._skip = skip
        self._packets = self._demux()
        tick = self._stream.time_base
        self._tick_s = None if tick is None else float(tick)  # asked for anew, it costs as much as a tenth of decoding
        stamps_count_samples = tick == Fraction(1, self.rate_hz or 1)
        # Each frame of FLAC says where it belongs, so that what follows damage keeps its place.
        self._placed = demuxer == "flac" and stamps_count_samples
        self._count = _duration if self._placed else packet_counter(self.codec, context.extradata)
        self._coarse = demuxer in _MAX_COARSE_GAP_S
        self._max_gap_s = _MAX_COARSE_GAP_S.get(demuxer, _MAX_GAP_S.get(demuxer) if stamps_count_samples else None)
        self._next_stamp = 0 if facts.pcm else None  # frames that end where the header says begin at 0
        self._position = 0  # of the first sample that the next frame will give
        self._begun = False
        self._skipped = False
        self._wanted = 0
        self._damaged_at: int | None = None
        self._decoded: list[AudioFrame] = []
        self._frame = self._next_frame()  # not all read yet, with the position of its first sample
        if self._frame is None:
            raise RowError("holds no audio samples")
        length_s = duration_s(self._container, self._stream, demuxer)
        self.num_samples = None if length_s is None else round(length_s * self.rate_hz)
        promised = demuxer in _EXACT or (demuxer == "mov" and self._stream.frames)
        self.promised_samples = self.num_samples if promised else None
        if demuxer == "matroska":
            promised_s = matroska_track_s(self._container, self._stream, facts.extent.duration_s)
            self.promised_samples = None if promised_s is None else round(promised_s * self.rate_hz)
        self.spent = False

    @property
    def earliest(self) -> int:
        """The first sample that can still be read."""
        return self._frame[0] if self._frame else self._position

    @property
    def nothing_after(self) -> int:
        """Of a reader that has come to its end: whoever begins behind this sample finds neither sound nor damage."""
        return self._position + int(_PREROLL_S * self.rate_hz)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def read(self, start_sample: int, num_samples: int) -> tuple[Samples, bool]:
        """Samples [start_sample, start_sample + num_samples) as far as there are any, and whether none follow them."""
        self._wanted, self.spent = start_sample, True
        out = np.empty((self.channels, num_samples), np.float32)
        filled = 0
        while filled < num_samples:
            self._frame = self._frame or self._next_frame()
            if self._frame is None:
                return out[:, :filled], True  # memory that was never written to is none
            first, frame = self._frame
            offset = start_sample + filled - first
            take = min(frame.samples - offset, num_samples - filled)
            if take > 0:
                _copy(frame, offset, out[:, filled : filled + take])
                filled += take
            if offset + take >= frame.samples:
                self._frame = None
        try:
            self._frame = self._frame or self._next_frame()
        except RowError:  # something follows, and whoever asks for it will be told
            return out, False
        self.spent = self._frame is None
        return out, self.spent

    def count(self) -> int | None:
        """About how many samples the rest holds, told from its packets alone; null where they do not tell."""
        total = self._position
        try:
            for packet in self._packets:
                length = self._stream.codec_context.frame_size if self.codec == "aac" else self._count(packet)
                if length is None and packet.size:
                    return None
                total += length or 0
        except RowError:  # whoever decodes the damage will be told
            return None
        return total

    def _next_frame(self) -> tuple[int, AudioFrame] | None:
        """The next frame and the position of its first sample; null at the end."""
        while not self._decoded:
            packet = next(self._packets, None)
            if packet is None:
                return None
            self._decoded = self._frames_of(packet)
        frame = self._decoded.pop(0)
        first = self._position
        self._position += frame.samples
        return first, frame

    def _frames_of(self, packet: Packet[AudioStream]) -> list[AudioFrame]:
        if self._demuxer == "mp3" and is_tag(packet):
            return []
        length = self._count(packet)
        if self._may_skip(packet, length):
            self._position += length or 0
            self._skipped = True
            return []
        return self._decode(packet, length)

    def _may_skip(self, packet: Packet[AudioStream], length: int | None) -> bool:
        # The first second is always decoded: encoder delay is trimmed there, by amounts no packet tells.
        preroll = int(_PREROLL_S * self.rate_hz)
        if not self._skip or length is None or self._position < preroll:
            return False
        if self._position + length > self._wanted - preroll:
            return False
        if packet.has_sidedata("skip_samples"):
            raise UncountableError
        return True

    def _demux(self) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self._container.demux(self._stream):
                if self._max_gap_s is not None and packet.size:
                    self._check_stamp(packet, self._max_gap_s)
                yield packet
        except (av.FFmpegError, IndexError) as error:  # IndexError: PyAV meets a track that was not there before
            if _is_of_the_system(error):
                raise
            raise RowError(f"damaged at {self._at(self._position)}: its container {_fault(error)}") from None

    def _check_stamp(self, packet: Packet[AudioStream], max_gap_s: float) -> None:
        """Libav drops broken pages and frames without a word; the time stamps show the splice."""
        stamp, duration, tick_s = packet.pts, packet.duration, self._tick_s
        if stamp is None or duration is None or tick_s is None:
            self._next_stamp = None if self._coarse else self._next_stamp
            return
        gap_s = 0.0 if self._next_stamp is None else (stamp - self._next_stamp) * tick_s
        if gap_s < -max_gap_s and not self._coarse:
            raise RowError(f"another stream begins at {self._at(self._position)} (chained): split the file")
        if self._coarse:
            max_gap_s = max(max_gap_s, 1.5 * duration * tick_s)
        if gap_s > max_gap_s and self._matters(self._position):
            raise RowError(f"damaged at {self._at(self._position)}: {gap_s:.2f} s are missing")
        if self._placed and self._next_stamp is not None:
            self._position += stamp - self._next_stamp
        self._next_stamp = stamp + duration

    def _decode(self, packet: Packet[AudioStream], length: int | None) -> list[AudioFrame]:
        try:
            frames = packet.decode()
            num_samples = sum([frame.samples for frame in frames])
            refused = self._placed and num_samples != (length or 0)
        except av.FFmpegError as error:
            if _is_of_the_system(error):
                raise
            frames, num_samples, refused = [], 0, True
        if refused:
            # Junk before the first frame and a cut last one are common and harmless; between frames, sound is lost.
            begun = self._begun or self._placed
            if begun and self._damaged_at is None and not self._skipped:
                self._damaged_at = self._position
            self._position += length or 0 if begun else 0
            return []
        if self._skipped:  # the decoder's memory is of another place: what it makes of this packet is wrong
            self._skipped = False
            if length is None:
                raise UncountableError
            self._position += length
            return []
        if frames:
            self._check_frames(frames)
            as_counted = length in (None, num_samples) or not self._begun or packet.has_sidedata("skip_samples")
            if self._skip and not as_counted:
                raise UncountableError
            self._begun = True
        return frames

    def _check_frames(self, frames: list[AudioFrame]) -> None:
        if not self._begun:
            self.rate_hz, self.channels = frames[0].sample_rate, frames[0].layout.nb_channels
        for frame in frames:
            if frame.sample_rate != self.rate_hz:
                self._refuse_change(f"sampling rate changes from {self.rate_hz} to {frame.sample_rate} Hz")
            if frame.layout.nb_channels != self.channels:
                self._refuse_change(f"number of channels changes from {self.channels} to {frame.layout.nb_channels}")
        if self._damaged_at is not None and self._matters(self._damaged_at):
            raise RowError(f"damaged at {self._at(self._damaged_at)}: the {self.codec} decoder refuses the data")
        self._damaged_at = None

    def _refuse_change(self, what: str) -> None:
        raise RowError(f"its {what} at {self._at(self._position)}")

    def _matters(self, position: int) -> bool:
        """Damage well before the wanted samples is another span's."""
        return position >= self._wanted - int(_PREROLL_S * self.rate_hz)

    def _at(self, position: int) -> str:
        return f"{position / (self.rate_hz or 1):.1f} s"  # a damaged header may give no rate


def _duration(packet: Packet[AudioStream]) -> int | None:
    return packet.duration


def _copy(frame: AudioFrame, offset: int, out: Samples) -> None:
    """Copy samples of a frame, from an offset on, as floats of full scale ±1."""
    end = offset + out.shape[1]
    if frame.format.name == "fltp":
        for channel, plane in zip(out, frame.planes, strict=True):
            channel[:] = np.frombuffer(memoryview(plane), np.float32, end)[offset:]
        return
    raw: NDArray[Any]
    if frame.format.name in ("s64", "s64p"):  # numpy knows these, PyAV does not
        raw = np.stack([np.frombuffer(memoryview(plane), np.int64) for plane in frame.planes])
        raw = raw[:, : frame.samples * (1 if frame.format.is_planar else len(out))]
    else:
        raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(frame.samples, -1).T
    with np.errstate(over="ignore", invalid="ignore"):  # what no float32 can hold becomes infinite, and is told
        out[:] = raw[:, offset:end]
    if raw.dtype == np.uint8:
        out -= 128
        out /= 128
    elif raw.dtype.kind == "i":
        out /= 2.0 ** (8 * raw.itemsize - 1)


def _is_of_the_system(error: av.FFmpegError | IndexError) -> bool:
    return isinstance(error, av.FFmpegError) and error.errno in _OF_THE_SYSTEM


def _fault(error: av.FFmpegError | IndexError) -> str:
    """What is wrong with a container; should memory really be short, that is told and not called damage alone."""
    lacking = isinstance(error, av.FFmpegError) and error.errno == errno.ENOMEM
    return "asks for more memory than there is" if lacking else "cannot be read on"


def _open(fd: int, facts: Facts) -> tuple[Any, AudioStream]:
    demuxer = facts.demuxer
    try:
        # The fd protocol takes any file name and cannot be made to open anything else.
        container = av.open("fd:", format=demuxer, options={"fd": str(fd)}, metadata_errors="replace")
    except av.FFmpegError as error:
        if _is_of_the_system(error):
            raise
        raise RowError("damaged or truncated: its header or index cannot be read") from None
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
        name = f": {facts.codec}" if facts.codec else ""
        raise RowError(f"no decoder for the codec of its sound track{name}")
    stream.codec_context.thread_count = 1
    return container, stream
