"""Recordings to cut and to damage, in every container that declares how long it is."""

import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from audiocur.ops.transform.decode import Decode
from audiocur.records import Source, Span

RATE_HZ = 48_000
SECONDS = 6

SOUNDFILE = {
    "wav": ("WAV", "PCM_16"), "wav adpcm": ("WAV", "IMA_ADPCM"), "wav ms adpcm": ("WAV", "MS_ADPCM"),
    "wav gsm": ("WAV", "GSM610"), "w64": ("W64", "PCM_16"), "au": ("AU", "PCM_16"), "caf": ("CAF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"), "vorbis": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"),
}  # fmt: skip
AV = {
    "wav mp3": ("wav", "libmp3lame"), "mkv aac": ("matroska", "aac"), "mkv flac": ("matroska", "flac"),
    "webm opus": ("webm", "libopus"), "wma": ("asf", "wmav2"), "avi": ("avi", "libmp3lame"), "flv": ("flv", "aac"),
    "mp4 fragmented": ("mp4", "aac"), "tta": ("tta", "tta"), "wavpack": ("wv", "wavpack"), "ac3": ("ac3", "ac3"),
    "latm": ("latm", "aac"), "mpeg": ("mpeg", "mp2"), "mpegts": ("mpegts", "aac"),
    "wav s64": ("wav", "pcm_s64le"), "mkv f64": ("matroska", "pcm_f64le"), "mkv video": ("matroska", "libopus"),
}  # fmt: skip


def tones(channels, rate_hz):
    rng = np.random.default_rng(0)
    t = np.arange(rate_hz * SECONDS) / rate_hz
    melody = np.sin(2 * np.pi * 220 * t) * np.abs(np.sin(2 * np.pi * t))
    return (0.3 * melody + 0.02 * rng.standard_normal((channels, len(t)))).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """Six seconds of sound in a container of the given kind, in mono."""

    def written(kind: str) -> Path:
        path = tmp_path / kind.replace(" ", "_")
        rate_hz = 8_000 if kind == "wav gsm" else RATE_HZ
        if kind in SOUNDFILE:
            file_format, subtype = SOUNDFILE[kind]
            with soundfile.SoundFile(path, "w", rate_hz, 1, subtype, format=file_format) as file:
                for block in np.split(tones(1, rate_hz)[0], 20):  # at once, the Vorbis encoder overflows its stack
                    file.write(block)
        else:
            path.write_bytes(with_av(*AV[kind], pictures_s=7 if kind == "mkv video" else 0))
        return path

    return written


def with_av(file_format, codec, pictures_s=0):
    memory = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov"} if file_format == "mp4" else {}
    with av.open(memory, "w", format=file_format, options=options) as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        stream.layout, stream.bit_rate = "mono", 96_000
        if pictures_s:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
        resampler = av.AudioResampler(stream.format.name, "mono", RATE_HZ, stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(tones(1, RATE_HZ), "fltp", "mono")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        for converted in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
        for _ in range(10 * pictures_s):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        if pictures_s:
            container.mux(video.encode(None))
    return memory.getvalue()


@pytest.fixture
def open_span():
    """Decode a span of a file."""

    def opened(path: Path, index: int = 0, **parameters) -> Span:
        span = Span(source=Source(source_id="0" * 16, uri="x", path=os.fsencode(path)), index=index)
        Decode(**parameters).apply(span)
        return span

    return opened


@pytest.fixture
def dsf(tmp_path):
    """One second of the silence of DSD."""
    num_blocks = -(-2_822_400 // 8 // 4096)
    data = b"\x69" * (num_blocks * 4096)
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2_822_400, 1, 2_822_400, 4096, 0)
    body = fmt + b"data" + struct.pack("<Q", 12 + len(data)) + data
    path = tmp_path / "silence.dsf"
    path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, 28 + len(body), 0) + body)
    return path
