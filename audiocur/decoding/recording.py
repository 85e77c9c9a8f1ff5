"""An open recording, whatever it is: the reader that suits its container, and where a reader was left off."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

import numpy as np
import soundfile

from audiocur.audio import Samples
from audiocur.decoding.fetched import open_fetched, open_kept
from audiocur.decoding.header import Header, Limits
from audiocur.decoding.pcm import PcmReader
from audiocur.decoding.sniff import identify
from audiocur.decoding.stream import StreamReader, UncountableError
from audiocur.errors import RowError
from audiocur.sources.files import trouble
from audiocur.storage import is_url
from audiocur.storage.faults import LASTING

_MIN_BYTES_PER_S = 50  # less than any codec needs, even for silence: lengths beyond it are lies

#: The reader used last, if its recording goes on: the next span of the same file takes it up where it stands, so that
#: a worker decodes a long recording once and not again from its start for every span. Samples do not depend on it.
_parked: dict[tuple[int, ...], StreamReader] = {}

#: Behind which sample nothing is to be had of the recording whose end was seen last: a damaged header may promise
#: thousands of spans there, and each would be looked for by going through all of the recording.
_ends: dict[tuple[int, ...], int] = {}


@contextmanager
def open_file(path: bytes | str) -> Iterator[BufferedReader]:
    """Open a local file, or fetch a URL; RowError where it can never be had, OSError where it may be another time."""
    try:
        file = _open_url(os.fsdecode(path)) if is_url(os.fsdecode(path)) else _open_local(path)
    except OSError as error:
        if error.errno in LASTING:
            raise RowError(trouble(error, os.fsencode(path))) from None
        raise
    except ValueError as error:  # a NUL in the name
        raise RowError(trouble(error, os.fsencode(path))) from None
    with file:
        yield file


def _open_local(path: bytes | str) -> BufferedReader:
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise RowError("a folder, not a file" if stat.S_ISDIR(mode) else "not a regular file")
    return os.fdopen(fd, "rb")


def _open_url(url: str) -> BufferedReader:
    file = open_kept(url)
    if file is None:
        _unpark()  # its reader would hold on to a file that nobody needs any more
        file = open_fetched(url)
    return file


def _unpark() -> None:
    for reader in tuple(_parked.values()):
        reader.close()
    _parked.clear()


class Recording:
    """An open recording; a context manager that leaves the file itself open.

    Attributes:
        header: what the recording says of itself.
    """

    header: Header

    def __init__(self, file: BufferedReader, limits: Limits) -> None:
        self._fd = file.fileno()
        status = os.fstat(self._fd)
        self._size = status.st_size
        self._key = (os.getpid(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        self._facts = identify(self._fd, self._size)
        limits.check(self._facts.rate_hz, self._facts.channels)
        self._pcm = self._open_pcm() if self._facts.pcm else None
        self._stream = None if self._pcm else _parked.pop(self._key, None) or self._open_stream()
        self.header = self._read_header()
        limits.check(self.header.rate_hz, self.header.channels)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pcm is not None:
            self._pcm.close()
        if self._stream is not None and (kind is not None or self._stream.spent):
            self._stream.close()
        elif self._stream is not None:
            _unpark()
            _parked[self._key] = self._stream

    def read(self, start_sample: int, num_samples: int) -> tuple[Samples, bool]:
        """Samples [start_sample, start_sample + num_samples) as far as there are any, and whether none follow them.

        Returns:
            float32 of shape (channels, at most num_samples), and whether the recording ends within or right after it.

        Raises:
            RowError: the data within is damaged, or changes its rate or number of channels.
        """
        if self._pcm is not None:
            try:
                return self._pcm.read(start_sample, num_samples)
            except soundfile.LibsndfileError:
                if self._facts.container != "flac":
                    behind = f"damaged behind {start_sample / self._pcm.rate_hz:.1f} s"
                    raise RowError(f"{behind}: the {self._pcm.codec} decoder refuses the data") from None
                # A damaged FLAC: libav says where, and reads the rest of it. Its samples are the same to the bit.
                self._pcm.close()
                self._pcm = None
        return self._read_stream(start_sample, num_samples)

    def count_samples(self) -> int | None:
        """About how long the recording is, from going through its packets; null where they do not tell."""
        # Two readers would share the descriptor's place in the file: this one takes over.
        reader = self._renew_stream(skip=True)
        reader.spent = True
        return reader.count()

    def _read_stream(self, start_sample: int, num_samples: int) -> tuple[Samples, bool]:
        reader = self._stream
        if reader is not None and start_sample > _ends.get(self._key, start_sample):
            return np.empty((reader.channels, 0), np.float32), True
        if reader is None or reader.earliest > start_sample:
            reader = self._renew_stream(skip=True)
        try:
            samples, ended = reader.read(start_sample, num_samples)
        except UncountableError:
            reader = self._renew_stream(skip=False)
            samples, ended = reader.read(start_sample, num_samples)
        if ended:
            _ends.clear()
            _ends[self._key] = reader.nothing_after
        return samples, ended

    def _renew_stream(self, *, skip: bool) -> StreamReader:
        if self._stream is not None:
            self._stream.close()
        self._stream = self._open_stream(skip=skip)
        return self._stream

    def _open_stream(self, *, skip: bool = True) -> StreamReader:
        os.lseek(self._fd, 0, os.SEEK_SET)
        reader = StreamReader(self._fd, self._facts, skip=skip)
        try:
            self._require_agreement(reader)
        except RowError:
            reader.close()
            raise
        return reader

    def _require_agreement(self, reader: StreamReader) -> None:
        facts = self._facts
        if facts.container != "flac":  # in others, a header may rightly give half the rate, or not be read here
            return
        if facts.rate_hz != reader.rate_hz:
            raise RowError(f"damaged: its header says {facts.rate_hz} Hz, its sound has {reader.rate_hz} Hz")
        if facts.channels != reader.channels:
            raise RowError(f"damaged: its header says {facts.channels} channels, its sound has {reader.channels}")

    def _open_pcm(self) -> PcmReader | None:
        try:
            reader = PcmReader(self._fd)
        except soundfile.LibsndfileError:  # a codec in a WAV or AIFF that libsndfile lacks
            return None
        if reader.seekable:
            return reader
        reader.close()
        return None

    def _read_header(self) -> Header:
        reader = self._pcm or self._stream
        if reader is None:
            raise RuntimeError("a recording has a reader from the start")
        found, promised = reader.num_samples, self._facts.promised_samples
        if isinstance(reader, StreamReader) and promised is None:
            promised = reader.promised_samples
        known = [n for n in (found, promised) if n is not None]
        num_samples = min(known, default=None)
        if num_samples is not None and num_samples > self._size / _MIN_BYTES_PER_S * reader.rate_hz:
            num_samples = None
        return Header(
            rate_hz=reader.rate_hz,
            channels=reader.channels,
            num_samples=num_samples,
            promised_samples=promised,
            container=self._facts.container,
            codec=reader.codec,
            present_ratio=self._facts.extent.present_ratio,
            closed=self._facts.extent.closed,
        )
