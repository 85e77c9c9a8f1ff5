"""Every container, decoded in spans, in order and out of it, holds the samples of the whole; and ends where it ends."""

import functools
import io
import os
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile

from audiocur.decoding import decode, read_header
from audiocur.decoding.header import Limits
from audiocur.errors import RowError
from audiocur.ops.transform.decode import Decode, Truncated
from audiocur.records import Source, Span

SECONDS = 7.0


@functools.cache
def musical(rate_hz, channels, seconds=SECONDS, seed=0):
    """Notes that come and go over noise: what makes codecs switch blocks, substitute noise and fill reservoirs."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(rate_hz * seconds)) / rate_hz
    out = 0.02 * rng.standard_normal((channels, len(t)))
    for _ in range(24):
        onset = rng.uniform(0, seconds)
        tone = np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 60) / 12) * t) * np.exp(-3 * np.maximum(t - onset, 0))
        out += rng.uniform(0.02, 0.1, (channels, 1)) * np.where(t > onset, tone, 0)
    samples = (out / np.abs(out).max() * 0.5).astype(np.float32)
    samples.flags.writeable = False
    return samples


def write_soundfile(path, samples, rate_hz, file_format, subtype):
    with soundfile.SoundFile(path, "w", rate_hz, len(samples), subtype, format=file_format) as file:
        for at in range(0, samples.shape[1], 4096):  # at once, libsndfile's Vorbis encoder overflows its stack
            file.write(samples[:, at : at + 4096].T)


def write_av(
    path, samples, rate_hz, file_format, codec, *, video=False, bit_rate=96_000, options=None, codec_options=None
):
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(os.fsdecode(path), "w", format=file_format, options=options or {}) as container:
        if video:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 64
        stream = container.add_stream(codec, rate=rate_hz, options=codec_options or {})
        stream.layout, stream.bit_rate = layout, bit_rate
        resampler = av.AudioResampler(stream.codec_context.codec.audio_formats[0].name, layout, rate_hz)
        for at in range(0, samples.shape[1], 1024):
            if video and at % 8192 == 0:
                image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), at // 8192, np.uint8))
                container.mux(picture.encode(image))
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + 1024]), "fltp", layout)
            frame.sample_rate, frame.pts = rate_hz, at
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        for converted in resampler.resample(None):
            container.mux(stream.encode(converted))
        if video:
            container.mux(picture.encode(None))
        container.mux(stream.encode(None))


SOUNDFILE = {
    "wav 16": ("WAV", "PCM_16"), "wav 24": ("WAV", "PCM_24"), "wav u8": ("WAV", "PCM_U8"),
    "wav float": ("WAV", "FLOAT"), "wav double": ("WAV", "DOUBLE"), "wav ulaw": ("WAV", "ULAW"),
    "wav adpcm": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_16"), "w64": ("W64", "PCM_16"), "aiff": ("AIFF", "PCM_16"), "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_24"), "flac 16": ("FLAC", "PCM_16"), "flac 24": ("FLAC", "PCM_24"),
    "mp3 vbr": ("MP3", "MPEG_LAYER_III"), "vorbis": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"),
}  # fmt: skip
AV = {
    "mp3 without length": {"file_format": "mp3", "codec": "libmp3lame", "options": {"write_xing": "0"}},
    "mp3 32 kbit/s": {"file_format": "mp3", "codec": "libmp3lame", "bit_rate": 32_000},
    "opus voip": {
        "file_format": "ogg",
        "codec": "libopus",
        "bit_rate": 16_000,
        "codec_options": {"application": "voip"},
    },
    "ogg flac": {"file_format": "ogg", "codec": "flac"},
    "m4a": {"file_format": "ipod", "codec": "aac"},
    "m4a alac": {"file_format": "ipod", "codec": "alac"},
    "m4a fragmented": {"file_format": "mp4", "codec": "aac", "options": {"movflags": "frag_keyframe+empty_moov"}},
    "adts": {"file_format": "adts", "codec": "aac"},
    "wma": {"file_format": "asf", "codec": "wmav2", "bit_rate": 128_000},
    "webm opus": {"file_format": "webm", "codec": "libopus"},
    "webm vorbis": {"file_format": "webm", "codec": None},
    "mkv aac": {"file_format": "matroska", "codec": "aac"},
    "mkv mp3": {"file_format": "matroska", "codec": "libmp3lame"},
    "mkv flac": {"file_format": "matroska", "codec": "flac"},
    "mp4 video": {"file_format": "mp4", "codec": "aac", "video": True},
    "mkv video": {"file_format": "matroska", "codec": "libopus", "video": True},
    "avi": {"file_format": "avi", "codec": "libmp3lame"},
    "flv": {"file_format": "flv", "codec": "aac"},
    "wavpack": {"file_format": "wv", "codec": "wavpack"},
}


def write(path, kind, samples, rate_hz):
    if kind in SOUNDFILE:
        write_soundfile(path, samples, rate_hz, *SOUNDFILE[kind])
    elif kind == "webm vorbis":  # libav has no encoder of note: take the packets of another container
        write(path, "vorbis", samples, rate_hz)
        ogg = io.BytesIO(path.read_bytes())
        with av.open(ogg) as source, av.open(str(path), "w", format="webm") as container:
            stream = container.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(audio=0):
                if packet.size:
                    packet.stream = stream
                    container.mux(packet)
    else:
        write_av(path, samples, rate_hz, **AV[kind])


def open_span(path, index=0, **parameters):
    span = Span(source=Source(source_id="0" * 16, uri="x", path=os.fsencode(path)), index=index)
    Decode(**parameters).apply(span)
    return span


def open_all(path, indices, **parameters):
    """The spans of the given indices in that order, as a worker would meet them."""
    return {index: open_span(path, index, **parameters) for index in indices}


def joined(spans):
    return np.concatenate([spans[i].audio.samples for i in sorted(spans) if spans[i].audio], axis=1)


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1)])
@pytest.mark.parametrize("kind", [*SOUNDFILE, *AV])
def test_spans_hold_the_samples_of_the_whole(tmp_path, kind, rate_hz, channels):
    if "opus" in kind or kind == "mkv video":
        rate_hz = 48_000
    path = tmp_path / "recording"
    write(path, kind, musical(rate_hz, channels), rate_hz)
    whole = open_span(path)
    assert whole.last
    assert (whole.rate_hz, whole.channels) == (rate_hz, channels)
    assert whole.num_samples == pytest.approx(SECONDS * rate_hz, abs=0.08 * rate_hz)

    num_spans = -(-whole.num_samples // round(1.7 * rate_hz))
    forward = open_all(path, range(num_spans), span_s=1.7)
    backward = open_all(path, reversed(range(num_spans)), span_s=1.7)
    one_left_out = open_all(path, [0, 2, 1, 3, 4], span_s=1.7)
    assert [forward[i].last for i in range(num_spans)] == [False] * (num_spans - 1) + [True]
    assert [forward[i].start_sample for i in range(num_spans)] == [i * round(1.7 * rate_hz) for i in range(num_spans)]
    for spans in (forward, backward, one_left_out):
        assert np.array_equal(joined(spans), whole.audio.samples)
    beyond = open_span(path, num_spans, span_s=1.7)
    assert (beyond.num_samples, beyond.last, beyond.audio) == (0, True, None)


@pytest.mark.parametrize(
    "kind", ["wav 16", "aiff", "flac 16", "mp3 vbr", "vorbis", "opus", "m4a", "m4a alac", "webm opus", "mp4 video"]
)
def test_samples_are_where_they_were_recorded(tmp_path, kind):
    samples = musical(48_000, 1)
    write(tmp_path / "recording", kind, samples, 48_000)
    decoded, _ = decode(tmp_path / "recording", 0, 10 * 48_000)
    spectrum = np.fft.rfft(samples[0], 2**20) * np.conj(np.fft.rfft(decoded[0], 2**20))
    assert np.argmax(np.fft.irfft(spectrum)) == 0


@pytest.mark.parametrize("kind", ["wav 16", "aiff", "flac 16", "mp3 vbr", "vorbis", "opus", "m4a", "m4a alac"])
def test_the_header_tells_the_length(tmp_path, kind):
    path = tmp_path / "recording"
    write(path, kind, musical(48_000, 2), 48_000)
    header = read_header(path)
    assert header.num_samples == SECONDS * 48_000
    assert header.exact == (kind not in ("vorbis", "opus"))
    assert open_span(path, span_s=1.7).expected_spans == 5


@pytest.mark.parametrize("kind", ["mp3 without length", "adts"])
def test_a_header_without_length_is_made_up_for(tmp_path, kind):
    path = tmp_path / "recording"
    write(path, kind, musical(48_000, 2), 48_000)
    assert read_header(path).num_samples is None
    assert open_span(path).expected_spans == 1
    assert open_span(path, span_s=1.7).expected_spans == 5


def test_silence_in_the_middle_does_not_unsettle_recursive_decoders(tmp_path):
    samples = musical(48_000, 1, 12).copy()
    samples[:, 48_000 * 3 : 48_000 * 8] = 0
    for kind in ("opus voip", "m4a"):
        write(tmp_path / kind, kind, samples, 48_000)
        whole = open_span(tmp_path / kind).audio.samples
        spans = open_all(tmp_path / kind, [6, 5, 4, 3, 2, 1, 0], span_s=1.7)
        assert np.array_equal(joined(spans), whole[:, : 7 * 81_600])


def test_a_pointer_left_off_in_one_recording_is_not_used_for_another(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        write(tmp_path / name, "opus", musical(48_000, 1, seed=seed), 48_000)
    alone = {name: joined(open_all(tmp_path / name, range(5), span_s=1.7)) for name in "ab"}
    mixed = {name: {} for name in "ab"}
    for index in range(5):
        for name in "ab":
            mixed[name][index] = open_span(tmp_path / name, index, span_s=1.7)
    for name in "ab":
        assert np.array_equal(joined(mixed[name]), alone[name])


def test_a_recording_rewritten_between_spans_is_read_anew(tmp_path):
    path = tmp_path / "recording"
    write(path, "opus", musical(48_000, 1, seed=1), 48_000)
    open_span(path, 0, span_s=1.7)
    write(path, "opus", musical(48_000, 1, seed=2), 48_000)
    second = open_span(path, 1, span_s=1.7).audio.samples
    assert np.array_equal(second, open_span(path).audio.samples[:, 81_600:163_200])


# --- headers that lie about the length ---


def reason(path, index=0, **parameters):
    with pytest.raises(RowError) as error:
        open_span(path, index, **parameters)
    return str(error.value)


def flac_with_total(path, total):
    data = bytearray(path.read_bytes())
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = (total & 0xFFFF_FFFF).to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize("total", [0, 100_000])
def test_a_flac_that_promises_too_little_is_read_to_its_end(tmp_path, total):
    path = tmp_path / "recording"
    write(path, "flac 16", musical(48_000, 2), 48_000)
    whole = open_span(path)
    flac_with_total(path, total)
    spans = open_all(path, [4, 2, 3, 0, 1], span_s=1.7)
    assert np.array_equal(joined(spans), whole.audio.samples)
    assert [spans[i].last for i in range(5)] == [False] * 4 + [True]


def test_a_flac_that_promises_too_much_is_truncated(tmp_path):
    path = tmp_path / "recording"
    write(path, "flac 16", musical(48_000, 2), 48_000)
    flac_with_total(path, 2**36 - 1)
    assert reason(path).startswith("truncated: the header promises 1431655.8 s, the data ends at 7.0 s")
    assert open_span(path, truncated=Truncated.KEEP).num_samples == SECONDS * 48_000
    assert open_span(path, span_s=1.7).expected_spans < 300  # nobody plans two thousand years of spans


def test_an_mp3_is_read_to_its_end_whatever_its_header_says(tmp_path):
    first, second = musical(44_100, 2, seed=1), musical(44_100, 2, seed=2)
    for name, kind, samples in (("a", "mp3 vbr", first), ("b", "mp3 without length", second)):
        write(tmp_path / name, kind, samples, 44_100)
    path = tmp_path / "both"
    path.write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert read_header(path).num_samples == SECONDS * 44_100
    whole = open_span(path)
    assert whole.num_samples == pytest.approx(2 * SECONDS * 44_100, abs=4000)
    num_spans = -(-whole.num_samples // round(1.7 * 44_100))
    for order in (range(num_spans), reversed(range(num_spans))):
        assert np.array_equal(joined(open_all(path, order, span_s=1.7)), whole.audio.samples)


def test_an_mp3_whose_bit_rate_misleads_is_read_to_its_end(tmp_path):
    for name, bit_rate in (("low", 32_000), ("high", 256_000)):
        kind = AV["mp3 without length"] | {"bit_rate": bit_rate}
        write_av(tmp_path / name, musical(44_100, 2), 44_100, **kind)
    path = tmp_path / "both"
    path.write_bytes((tmp_path / "low").read_bytes() + (tmp_path / "high").read_bytes())
    assert open_span(path).num_samples == pytest.approx(2 * SECONDS * 44_100, abs=6000)


@pytest.mark.parametrize("declared", [0, 0xFFFF_FFFF])
def test_a_wav_that_was_never_closed_is_read_to_its_end(tmp_path, declared):
    path = tmp_path / "recording"
    write(path, "wav 16", musical(48_000, 2), 48_000)
    whole = open_span(path)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", declared)
    path.write_bytes(data)
    assert not read_header(path).exact
    assert np.array_equal(joined(open_all(path, range(5), span_s=1.7)), whole.audio.samples)


@pytest.mark.parametrize("kind", ["wav 16", "wav 24", "wav float", "aiff", "flac 16", "mp3 vbr", "m4a faststart"])
def test_data_that_ends_before_the_promised_length_is_truncated(tmp_path, kind):
    path = tmp_path / "recording"
    if kind == "m4a faststart":
        write_av(path, musical(48_000, 2), 48_000, "ipod", "aac", options={"movflags": "faststart"})
    else:
        write(path, kind, musical(48_000, 2), 48_000)
    full = open_span(path)
    os.truncate(path, path.stat().st_size * 6 // 10)
    kept = open_span(path, truncated=Truncated.KEEP)
    assert kept.last
    assert 3 * 48_000 < kept.num_samples < 5 * 48_000
    assert np.array_equal(kept.audio.samples, full.audio.samples[:, : kept.num_samples])
    end_s = kept.num_samples / 48_000
    assert reason(path) == f"truncated: the header promises 7.0 s, the data ends at {end_s:.1f} s"

    # The spans before the cut are good, that of the cut shows it, and those after it lie past the end.
    at_cut = int(end_s // 1.7)
    assert np.array_equal(joined(open_all(path, range(at_cut), span_s=1.7)), full.audio.samples[:, : at_cut * 81_600])
    assert "truncated" in reason(path, at_cut, span_s=1.7)
    assert open_span(path, at_cut + 1, span_s=1.7).num_samples == 0


@pytest.mark.parametrize("kind", ["adts", "mp3 without length"])
def test_streams_that_promise_no_length_just_end(tmp_path, kind):
    path = tmp_path / "recording"
    write(path, kind, musical(48_000, 2), 48_000)
    full = open_span(path).audio.samples
    os.truncate(path, path.stat().st_size * 6 // 10)
    cut = open_span(path)
    assert cut.last
    assert 2 * 48_000 < cut.num_samples < 5 * 48_000
    assert np.array_equal(cut.audio.samples, full[:, : cut.num_samples])


# --- damage in the middle ---


@pytest.mark.parametrize("kind", ["flac 16", "mp3 vbr", "vorbis", "opus", "m4a", "adts"])
def test_damage_fails_its_own_span_and_is_told(tmp_path, kind):
    path = tmp_path / "recording"
    write(path, kind, musical(48_000, 2), 48_000)
    full = open_span(path).audio.samples
    data = bytearray(path.read_bytes())
    at = len(data) * 6 // 10
    data[at : at + 6000] = np.random.default_rng(0).integers(0, 256, 6000, np.uint8).tobytes()
    path.write_bytes(data)
    assert "damaged at" in reason(path)
    assert np.array_equal(joined(open_all(path, [1, 0], span_s=1.7)), full[:, :163_200])


def test_a_stream_after_another_in_one_ogg_is_told(tmp_path):
    for kind in ("vorbis", "opus"):
        write(tmp_path / "a", kind, musical(48_000, 2, seed=1), 48_000)
        write(tmp_path / "b", kind, musical(48_000, 2, seed=2), 48_000)
        path = tmp_path / kind
        path.write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
        assert reason(path) == "another stream begins at 7.0 s (chained): split the file"
        assert open_span(path, 1, span_s=1.7).num_samples == 81_600


def test_a_rate_that_changes_midway_is_told(tmp_path):
    write(tmp_path / "a", "mp3 without length", musical(44_100, 2), 44_100)
    write(tmp_path / "b", "mp3 without length", musical(48_000, 2), 48_000)
    path = tmp_path / "both"
    path.write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert reason(path).startswith("its sampling rate changes from 44100 to 48000 Hz at 7.1 s")


# --- what is no recording ---


def wav_header(rate_hz=44_100, channels=2, data_bytes=0, bits=16):
    block = channels * bits // 8
    fields = (1, channels, rate_hz, rate_hz * block & 0xFFFF_FFFF, block & 0xFFFF, bits)
    chunks = b"fmt " + struct.pack("<IHHIIHH", 16, *fields) + b"data" + struct.pack("<I", data_bytes)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + data_bytes & 0xFFFF_FFFF) + b"WAVE" + chunks


SILENCE = bytes(40_000)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"<html><body>404</body></html>", "not audio: no decoder recognises it (starts with '<html><body>404<')"),
        (b"\x00" * 5000, r"not audio: no decoder recognises it (starts with '\x00\x00\x00"),
        ("Ελληνικά\n".encode() * 500, r"not audio: no decoder recognises it (starts with '\xce"),
        (b"#EXTM3U\nhttp://localhost/a.ts\n", "not audio: no decoder recognises it (starts with '#EXTM3U"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not audio: no decoder recognises it"),
        (np.random.default_rng(0).bytes(70_000), "not audio: no decoder recognises it"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), r"not audio: no decoder recognises it (starts with '\x89PNG"),
        (wav_header(), "holds no audio samples"),
        (wav_header(data_bytes=4_000), "holds no audio samples"),
        (wav_header()[:36], "holds no audio samples: a WAV header without data"),
        (b"RIFF", "not audio: no decoder recognises it (starts with 'RIFF')"),
        (wav_header(rate_hz=1, data_bytes=720_000 * 4) + SILENCE, "sampling rate 1 Hz is outside 4000–768000 Hz"),
        (wav_header(rate_hz=800_000, data_bytes=40_000) + SILENCE, "sampling rate 800000 Hz is outside 4000–768000 Hz"),
        (wav_header(rate_hz=0, data_bytes=40_000) + SILENCE, "sampling rate 0 Hz is outside 4000–768000 Hz"),
        (wav_header(channels=64, data_bytes=40_000) + SILENCE, "64 channels, expected 1 to 8"),
        (wav_header(channels=0, data_bytes=40_000) + SILENCE, "0 channels, expected 1 to 8"),
        (b"fLaC\x00\x00\x00\x22" + bytes(10), "holds no audio samples: a FLAC header and nothing else"),
        (b"FORM\x00\x00\x00\x04AIFF", "holds no audio samples: an AIFF header without a description of its sound"),
        (b"OggS" + bytes(500), "damaged or truncated: its header or index cannot be read"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(500), "damaged or truncated: its header or index cannot be read"),
        (b"\x1a\x45\xdf\xa3" + bytes(500), "damaged or truncated: its header or index cannot be read"),
        (b"ID3\x03\x00\x00\x00\x00\x00\x05" + bytes(3000), "not audio: no decoder recognises it (starts with 'ID3"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_plainly(tmp_path, data, expected):
    path = tmp_path / "recording.mp3"
    path.write_bytes(data)
    assert reason(path).startswith(expected)


def test_a_huge_promise_allocates_nothing(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(wav_header(rate_hz=768_000, channels=8, data_bytes=0x7000_0000) + SILENCE)
    span = open_span(path, truncated=Truncated.KEEP)
    assert span.num_samples == 2_500
    assert span.audio.samples.base is None  # no slice of something larger


@pytest.mark.parametrize(("kind", "num_pages"), [("vorbis", 1), ("vorbis", 2), ("opus", 1), ("opus", 2)])
def test_headers_without_sound_are_told(tmp_path, kind, num_pages):
    path = tmp_path / "recording"
    write(path, kind, musical(48_000, 2, 1), 48_000)
    pages = path.read_bytes().split(b"OggS")[1 : 1 + num_pages]
    path.write_bytes(b"".join(b"OggS" + page for page in pages))
    assert reason(path) in ("holds no audio samples", "damaged or truncated: its header or index cannot be read")


def test_a_sound_track_nobody_can_decode_is_told(tmp_path):
    path = tmp_path / "recording"
    write(path, "mkv aac", musical(48_000, 2, 1), 48_000)
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    assert reason(path) == "no decoder for the codec of its sound track: A_ZZZ"


def test_limits_can_be_set(tmp_path):
    path = tmp_path / "recording"
    write(path, "opus", musical(48_000, 2, 1), 48_000)
    assert reason(path, max_rate_hz=44_100) == "sampling rate 48000 Hz is outside 4000–44100 Hz"
    assert reason(path, max_channels=1) == "2 channels, expected 1 to 1"
    with pytest.raises(RowError, match="sampling rate 48000 Hz is outside 4000–8000 Hz"):
        read_header(path, Limits(max_rate_hz=8_000))


def test_a_video_without_sound_is_told(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode(None))
    assert reason(path) == "no sound track in this video"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_told(tmp_path, value):
    samples = musical(44_100, 2, 1).copy()
    samples[1, 20_000] = value
    write(tmp_path / "recording", "wav float", samples, 44_100)
    assert reason(tmp_path / "recording") == "contains NaN or infinite samples"


def test_paths_that_cannot_be_opened_are_told(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "loop") == "symbolic link loop"
    assert reason(tmp_path / "pipe") == "not a regular file"
    assert reason(tmp_path / "none") == "no such file"
    assert reason(tmp_path) == "a folder, not a file"
    assert reason(tmp_path / ("x" * 300)) == "file name too long"
    with pytest.raises(RowError, match=r"^not a name a file can have$"):
        read_header(b"a\x00b")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_told(tmp_path):
    path = tmp_path / "secret"
    write(path, "wav 16", musical(44_100, 1, 1), 44_100)
    path.chmod(0)
    assert reason(path) == "permission denied"


@pytest.mark.parametrize(
    "name", [b"caf\xe9.wav", b"two\nlines", "日本語 🎵".encode(), b"-i", b"http:x", b"a%03d", b"'\"\\ *?"]
)
@pytest.mark.parametrize("kind", ["wav 16", "flac 16", "vorbis", "mp3 vbr", "m4a"])
def test_names_are_any_bytes(tmp_path, monkeypatch, kind, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "plain", kind, musical(44_100, 1, 1), 44_100)
    (tmp_path / "plain").rename(tmp_path / os.fsdecode(name))
    assert read_header(name).rate_hz == 44_100
    assert open_span(name).num_samples == pytest.approx(44_100, abs=2_000)


def test_extensions_lie_and_do_not_matter(tmp_path):
    write(tmp_path / "song.mp3", "flac 16", musical(44_100, 1, 1), 44_100)
    write(tmp_path / "song.wav", "vorbis", musical(44_100, 1, 1), 44_100)
    assert read_header(tmp_path / "song.mp3").container == "flac"
    assert read_header(tmp_path / "song.wav").codec == "vorbis"


@pytest.mark.parametrize("kind", ["flac 16", "mp3 vbr", "adts"])
def test_tags_before_the_sound_are_passed_over(tmp_path, kind):
    path = tmp_path / "recording"
    write(path, kind, musical(44_100, 2, 3), 44_100)
    plain = open_span(path).audio.samples
    cover = b"ID3\x04\x00\x00" + bytes([0, 5, 0, 0]) + bytes(5 << 14)
    path.write_bytes(cover + path.read_bytes())
    assert np.array_equal(open_span(path).audio.samples, plain)


@pytest.mark.parametrize("kind", ["mkv aac", "m4a"])
def test_tags_in_an_unknown_encoding_do_not_matter(tmp_path, kind):
    path = tmp_path / "recording"
    write(path, kind, musical(48_000, 2, 1), 48_000)
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"\xe9t\xe9!"))
    assert open_span(path).num_samples == pytest.approx(48_000, abs=1024)


def test_libraries_keep_silent(tmp_path):
    """Libav and libmpg123 like to write on stderr; a run over a million files must not."""
    path = tmp_path / "recording"
    write(path, "mp3 vbr", musical(44_100, 2, 3), 44_100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"junk" * 1000 + data[len(data) // 2 :])
    code = (
        "import sys; from audiocur.decoding import decode; from audiocur.errors import RowError\n"
        "try: decode(sys.argv[1], 0, 1_000_000)\nexcept RowError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "damaged" in done.stdout
