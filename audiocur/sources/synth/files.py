"""Writing recordings and their tags, the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import mutagen
import mutagen.id3
import mutagen.ogg
import numpy as np
import soundfile

from audiocur.audio import Samples

#: Formats that soundfile writes: container, subtype; and those PyAV does: container, codec, bits a second.
_SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}
_PYAV = {"opus": ("ogg", "libopus", 128_000), "m4a": ("mp4", "aac", 192_000)}

_ID3 = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "genre": "TCON"}
_MP4 = {"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb", "genre": "\xa9gen", "license": "cprt"}


def write_audio(path: Path, samples: Samples, rate_hz: int, *, subtype: str | None = None) -> None:
    """Encode samples (channels, samples) in the format that the suffix names.

    Args:
        path: a new file.
        samples: float32, within full scale.
        rate_hz: sampling rate.
        subtype: soundfile's name of another sample format, "PCM_24".
    """
    suffix = path.suffix.lstrip(".")
    if suffix in _PYAV:
        path.write_bytes(_encoded(samples, rate_hz, *_PYAV[suffix]))
        return
    container, usual = _SOUNDFILE[suffix]
    soundfile.write(path, samples.T, rate_hz, format=container, subtype=subtype or usual)
    if suffix == "ogg":
        _renumber(path)


def write_tags(path: Path, tags: Mapping[str, str]) -> None:
    """Write title, artist, album, genre and license, those that are given, where the format has them."""
    media: Any = mutagen.File(path)
    if media.tags is None:
        media.add_tags()
    for name, text in tags.items():
        if path.suffix in (".mp3", ".wav"):
            frame = getattr(mutagen.id3, _ID3.get(name, "TXXX"))
            media.tags.add(frame(encoding=3, text=[text], **({} if name in _ID3 else {"desc": name.upper()})))
        else:
            media.tags[_MP4[name] if path.suffix == ".m4a" else name] = [text]
    media.save()


def _encoded(samples: Samples, rate_hz: int, container: str, codec: str, bit_rate: int) -> bytes:
    layout = "mono" if samples.shape[0] == 1 else "stereo"
    # Without bitexact the container would hold a random serial number or the time of day.
    with io.BytesIO() as file:
        with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as output:
            stream: Any = output.add_stream(codec, rate=rate_hz, layout=layout, options={"flags": "+bitexact"})
            stream.bit_rate = bit_rate
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            frame.sample_rate = rate_hz
            frame.pts = 0
            context = stream.codec_context
            framer = av.AudioResampler(context.format, layout, rate_hz, frame_size=context.frame_size)
            for each in (*framer.resample(frame), *framer.resample(None), None):
                output.mux(stream.encode(each))
        return file.getvalue()


def _renumber(path: Path) -> None:
    """Give the Ogg stream the serial number 1 in place of libsndfile's random one."""
    read_page: Any = mutagen.ogg.OggPage
    with io.BytesIO(path.read_bytes()) as file, io.BytesIO() as renumbered:
        while file.tell() < len(file.getbuffer()):
            page = read_page(file)
            page.serial = 1
            renumbered.write(page.write())
        path.write_bytes(renumbered.getvalue())
