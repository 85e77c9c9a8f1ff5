"""Reading tags with mutagen, which believes whatever a file declares, within bounds that no whole file comes near."""

from __future__ import annotations

from typing import Any, BinaryIO

import mutagen
from mutagen.aac import AAC
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2File
from mutagen.asf import ASF
from mutagen.dsf import DSF
from mutagen.flac import FLAC
from mutagen.id3 import Frames, Frames_2_2, ID3FileType
from mutagen.monkeysaudio import MonkeysAudio
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.musepack import Musepack
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggtheora import OggTheora
from mutagen.oggvorbis import OggVorbis
from mutagen.trueaudio import TrueAudio
from mutagen.wave import WAVE
from mutagen.wavpack import WavPack

#: Zeros where chunks should be are read eight bytes at a time, and each chunk is kept: a second or two, and 100 MB.
_MAX_READS = 300_000
_MAX_BYTES = 300_000_000  # an ID3 tag may have 256 MB, mostly pictures
#: Of a frame of ID3: texts are cut off one after the other at each NUL, which takes the square of their length.
_MAX_FRAME_BYTES = 16_384


def open_media(file: BinaryIO) -> Any:
    """What mutagen makes of an open file, null where that is nothing.

    Raises:
        mutagen.MutagenError: the file is damaged, or reading its tags would take longer than those of any whole file;
            damage has many other names besides, see `tags`.
    """
    return mutagen.File(_Bounded(file), options=_KINDS)


class _Bounded:
    """A file that gives at most what it has, so that lengths beyond that cost no memory, and not for ever."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.name = getattr(file, "name", "")
        self._size = file.seek(0, 2)
        self._reads, self._bytes = _MAX_READS, _MAX_BYTES
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        there = max(0, self._size - self._file.tell())
        wanted = there if size < 0 else min(size, there)
        self._reads, self._bytes = self._reads - 1, self._bytes - wanted
        if self._reads < 0 or self._bytes < 0:
            raise mutagen.MutagenError("its tags never end")
        return self._file.read(wanted)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _short(kind: Any) -> Any:
    """A kind of frame of which only the beginning is read, both before it is inflated and after."""

    class Frame(kind):  # type: ignore[misc]
        @classmethod
        def _fromData(cls, header: Any, flags: int, data: bytes) -> Any:  # noqa: N802
            return super()._fromData(header, flags, _beginning(data))

        def _readData(self, header: Any, data: bytes) -> Any:  # noqa: N802
            return super()._readData(header, _beginning(data))

    Frame.__name__ = kind.__name__  # which is what it is called in a tag
    return Frame


def _beginning(data: bytes) -> bytes:
    if len(data) <= _MAX_FRAME_BYTES:
        return data
    cut = data[: _MAX_FRAME_BYTES - 1]
    return cut.decode("utf-8", "ignore").encode() if cut[0] == 3 else cut  # 3 stands for UTF-8


_FRAMES: dict[str, Any] = {name: _short(kind) for name, kind in Frames.items()}
# Frames of version 2.2 are of the same kinds under shorter names, and mutagen goes by what they are derived from.
_bases: dict[str, Any] = {name: kind.__base__ for name, kind in Frames_2_2.items()}
_FRAMES |= {
    name: type(name, (_FRAMES[base.__name__],), {}) for name, base in _bases.items() if base.__name__ in _FRAMES
}


def _with_short_frames(kind: Any) -> Any:
    class Media(kind):  # type: ignore[misc]
        def load(self, *args: Any, **kwargs: Any) -> None:
            super().load(*args, known_frames=_FRAMES, **kwargs)

    Media.__name__ = kind.__name__
    return Media


_KINDS = [
    *map(_with_short_frames, (MP3, TrueAudio, ID3FileType, AIFF, WAVE, DSF)),
    *(OggTheora, OggSpeex, OggVorbis, OggFLAC, OggOpus, FLAC, MP4, ASF, AAC),
    *(APEv2File, WavPack, Musepack, MonkeysAudio),
]
