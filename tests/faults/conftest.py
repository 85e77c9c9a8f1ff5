"""Small recordings of every container and codec that this installation writes, tagged, for the fuzz test to damage."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import mutagen
import mutagen.id3
import mutagen.ogg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiocur.sources.synth.files import write_tags

TAGS = {"title": "Fuzz", "artist": "Ada", "album": "Damage", "genre": "Noise", "license": "CC0-1.0"}

#: Name of the file, and what soundfile makes it of: container, sample format, Hz, channels, seconds.
SOUNDFILE = {
    "16.wav": ("WAV", "PCM_16", 22_050, 2, 3), "24.wav": ("WAVEX", "PCM_24", 44_100, 1, 2),
    "u8.wav": ("WAV", "PCM_U8", 8_000, 1, 6), "float.wav": ("WAV", "FLOAT", 16_000, 1, 3),
    "double.wav": ("WAV", "DOUBLE", 8_000, 2, 2), "ulaw.wav": ("WAV", "ULAW", 8_000, 1, 6),
    "ima.wav": ("WAV", "IMA_ADPCM", 22_050, 2, 4), "ms.wav": ("WAV", "MS_ADPCM", 22_050, 2, 4),
    "gsm.wav": ("WAV", "GSM610", 8_000, 1, 6), "rifx.wav": ("WAV", "PCM_16", 11_025, 1, 3),
    "rf64.rf64": ("RF64", "PCM_16", 11_025, 1, 3), "16.w64": ("W64", "PCM_16", 11_025, 1, 3),
    "16.aiff": ("AIFF", "PCM_16", 22_050, 2, 2), "float.aifc": ("AIFF", "FLOAT", 16_000, 1, 2),
    "16.au": ("AU", "PCM_16", 11_025, 1, 3), "24.caf": ("CAF", "PCM_24", 11_025, 1, 3),
    "alac.caf": ("CAF", "ALAC_16", 22_050, 1, 3), "16.flac": ("FLAC", "PCM_16", 44_100, 2, 6),
    "24.flac": ("FLAC", "PCM_24", 96_000, 1, 2), "vbr.mp3": ("MP3", "MPEG_LAYER_III", 44_100, 2, 7),
    "vorbis.ogg": ("OGG", "VORBIS", 44_100, 2, 7), "sf.opus": ("OGG", "OPUS", 48_000, 2, 7),
}  # fmt: skip

#: Name of the file, and what PyAV makes it of: container, codec, Hz, channels, seconds, options of the container.
AV: dict[str, tuple[str, str, int, int, int, dict[str, str]]] = {
    "cbr.mp3": ("mp3", "libmp3lame", 44_100, 1, 7, {"write_xing": "0"}),
    "low.mp3": ("mp3", "libmp3lame", 22_050, 1, 8, {}), "layer2.mp2": ("mp2", "mp2", 44_100, 2, 6, {}),
    "libopus.opus": ("ogg", "libopus", 48_000, 2, 7, {}), "flac.oga": ("ogg", "flac", 22_050, 1, 3, {}),
    "aac.m4a": ("ipod", "aac", 44_100, 2, 7, {}),
    "faststart.m4a": ("ipod", "aac", 44_100, 1, 7, {"movflags": "faststart"}),
    "alac.m4a": ("ipod", "alac", 22_050, 1, 3, {}), "sound.mov": ("mov", "pcm_s16le", 11_025, 1, 3, {}),
    "fragmented.mp4": ("mp4", "aac", 44_100, 2, 7, {"movflags": "frag_keyframe+empty_moov"}),
    "adts.aac": ("adts", "aac", 44_100, 2, 7, {}), "latm.aac": ("latm", "aac", 44_100, 1, 5, {}),
    "v2.wma": ("asf", "wmav2", 44_100, 2, 7, {}), "v1.wma": ("asf", "wmav1", 22_050, 1, 5, {}),
    "opus.webm": ("webm", "libopus", 48_000, 2, 7, {}), "aac.mka": ("matroska", "aac", 44_100, 1, 6, {}),
    "mp3.mkv": ("matroska", "libmp3lame", 44_100, 1, 6, {}), "flac.mka": ("matroska", "flac", 22_050, 1, 3, {}),
    "mp3.avi": ("avi", "libmp3lame", 44_100, 1, 6, {}), "aac.flv": ("flv", "aac", 44_100, 1, 6, {}),
    "mp3.flv": ("flv", "libmp3lame", 44_100, 1, 5, {}), "mp3.wav": ("wav", "libmp3lame", 44_100, 1, 5, {}),
    "s64.wav": ("wav", "pcm_s64le", 8_000, 1, 2, {}), "yamaha.wav": ("wav", "adpcm_yamaha", 22_050, 1, 4, {}),
    "ac3.ac3": ("ac3", "ac3", 48_000, 2, 5, {}), "eac3.ac3": ("eac3", "eac3", 48_000, 2, 5, {}),
    "wavpack.wv": ("wv", "wavpack", 22_050, 2, 3, {}), "tta.tta": ("tta", "tta", 22_050, 1, 3, {}),
    "mp2.mpg": ("mpeg", "mp2", 48_000, 2, 5, {}), "aac.mpeg": ("mpegts", "aac", 48_000, 1, 5, {}),
    "call.amr": ("amr", "libopencore_amrnb", 8_000, 1, 8, {}),
    "call.3gp": ("3gp", "libopencore_amrnb", 8_000, 1, 6, {}),
    "film.mp4": ("mp4", "aac", 44_100, 2, 6, {}), "film.mkv": ("matroska", "libopus", 48_000, 1, 6, {}),
    "film.mpg": ("mpeg", "mp2", 44_100, 1, 5, {}),
}  # fmt: skip
_BIT_RATES = {"libopencore_amrnb": 12_200}


@pytest.fixture(scope="session")
def fuzz_seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whole recordings by file name, all of which can be decoded."""
    folder = tmp_path_factory.mktemp("seeds")
    writers: dict[str, Callable[[Path], None]] = dict.fromkeys(SOUNDFILE, _with_soundfile)
    for name, write in (writers | dict.fromkeys(AV, _with_av) | {"silence.dsf": _dsf}).items():
        write(folder / name)
        _tag(folder / name)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _tones(rate_hz: int, channels: int, seconds: int) -> NDArray[np.float32]:
    """Notes over noise, with a gap: what makes codecs switch blocks and gives the segmenter something to find."""
    t = np.arange(rate_hz * seconds) / rate_hz
    noise = np.random.default_rng(0).standard_normal((channels, len(t)))
    melody = np.sin(2 * np.pi * 220 * 2 ** (np.floor(3 * t) % 7 / 12) * t) * np.exp(-2 * (3 * t % 1))
    sound: NDArray[np.float32] = ((0.3 * melody + 0.02 * noise) * (np.abs(t - seconds / 2) > 0.2)).astype(np.float32)
    return sound


def _with_soundfile(path: Path) -> None:
    container, subtype, rate_hz, channels, seconds = SOUNDFILE[path.name]
    order = "BIG" if path.name == "rifx.wav" else "FILE"
    with soundfile.SoundFile(path, "w", rate_hz, channels, subtype, order, container) as file:
        for block in np.array_split(_tones(rate_hz, channels, seconds).T, 50):  # Vorbis overflows its stack at once
            file.write(block)
    # libsndfile writes the time of day, and numbers that it draws: the same seed shall make the same library.
    data = path.read_bytes()
    if subtype in ("FLOAT", "DOUBLE"):
        at = data.index(b"PEAK") + 12
        path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    elif container == "OGG":
        path.write_bytes(_renumbered(data))


def _renumbered(ogg: bytes) -> bytes:
    read_page: Any = mutagen.ogg.OggPage
    file, pages = io.BytesIO(ogg), []
    while file.tell() < len(ogg):
        pages.append(read_page(file))
        pages[-1].serial = 1
    return b"".join(page.write() for page in pages)


def _with_av(path: Path) -> None:
    container, codec, rate_hz, channels, seconds, options = AV[path.name]
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", format=container, options=options | {"fflags": "+bitexact"}) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout=layout, options={"flags": "+bitexact"})
        stream.bit_rate = _BIT_RATES.get(codec, 64_000)
        pictures: Any = None
        if path.stem == "film":
            pictures = output.add_stream("mpeg2video" if container == "mpeg" else "mpeg4", rate=25)
            pictures.width = pictures.height = 64
        context = stream.codec_context
        sample_format = context.codec.audio_formats[0].name
        resampler = av.AudioResampler(sample_format, layout, rate_hz, frame_size=context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(_tones(rate_hz, channels, seconds), "fltp", layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        for number, each in enumerate((*resampler.resample(frame), *resampler.resample(None), None)):
            output.mux(stream.encode(each))
            if pictures:
                image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, np.uint8)) if each else None
                output.mux(pictures.encode(image))


def _dsf(path: Path) -> None:
    """Half a second of the silence of DSD."""
    num_blocks = -(-1_411_200 // 8 // 4096)
    data = b"\x69" * (num_blocks * 4096)
    body = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2_822_400, 1, 1_411_200, 4096, 0)
    body += b"data" + struct.pack("<Q", 12 + len(data)) + data
    path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, 28 + len(body), 0) + body)


def _tag(path: Path) -> None:
    """Tags of the container's own kind, where it has one."""
    if path.name == "16.wav":
        fields = b"".join(name + struct.pack("<I", 4) + b"Fuzz" for name in (b"INAM", b"IART", b"IPRD"))
        path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4 + len(fields)) + b"INFO" + fields)
    elif path.suffix in (".aiff", ".tta", ".dsf") or path.name == "24.wav":
        media: Any = mutagen.File(path)
        media.add_tags()
        media.tags.add(mutagen.id3.TIT2(encoding=3, text=["Fuzz"]))
        media.tags.add(mutagen.id3.APIC(encoding=3, mime="image/png", type=3, desc="", data=bytes(500)))
        media.save()
    elif path.suffix in (".mp3", ".flac", ".ogg", ".opus", ".oga", ".m4a", ".wma", ".wv"):
        write_tags(path, TAGS)
