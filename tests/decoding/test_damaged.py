"""Damage in the middle, and headers that contradict their sound: told as what they are, never kept."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audiocur.decoding import read_header
from audiocur.errors import RowError


def with_garbage(data):
    at = len(data) // 2
    return data[:at] + np.random.default_rng(1).integers(0, 256, 2000, np.uint8).tobytes() + data[at + 2000 :]


@pytest.mark.parametrize("kind", ["webm opus", "mkv aac", "wma"])
def test_sound_lost_between_time_stamps_is_told(write, open_span, kind):
    path = write(kind)
    path.write_bytes(with_garbage(path.read_bytes()))
    with pytest.raises(RowError, match=r"^damaged at \d\.\d s: \d\.\d\d s are missing$"):
        open_span(path)


def test_damage_to_an_asf_header_is_no_matter_of_permission(write, open_span):
    path = write("wma")
    data = bytearray(path.read_bytes())
    stream = data.index(b"\x91\x07\xdc\xb7\xb7\xa9\xcf\x11\x8e\xe6\x00\xc0\x0c\x20\x53\x65")
    data[stream + 24] ^= 0xFF  # says what kind of stream it is
    path.write_bytes(data)
    with pytest.raises(RowError, match=r"^damaged or truncated: its header or index cannot be read$"):
        open_span(path)


def test_an_flv_cut_behind_the_header_of_a_tag_is_told(write, open_span):
    path = write("flv")
    data = path.read_bytes()
    at = 13
    while at < len(data) * 19 // 20:
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    path.write_bytes(data[: at + 11])
    with pytest.raises(RowError, match=r"^damaged at 5\.\d s: its container cannot be read on$"):
        open_span(path)


def test_damaged_mp3_in_a_wav_is_told_in_silence(write):
    path = write("wav mp3")
    assert read_header(path).codec == "mp3"
    path.write_bytes(with_garbage(path.read_bytes()))
    code = (
        "import sys; from audiocur.decoding import decode; from audiocur.errors import RowError\n"
        "try: decode(sys.argv[1], 0, 1_000_000)\nexcept RowError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("damaged at 3.0 s: the mp3 decoder refuses the data")


@pytest.mark.parametrize(
    ("rate_hz", "channels", "reason"),
    [
        (48_000, 8, "damaged: its header says 8 channels, its sound has 1"),
        (96_000, 1, "damaged: its header says 96000 Hz, its sound has 48000 Hz"),
    ],
)
def test_a_flac_header_that_contradicts_its_frames_is_told(write, open_span, rate_hz, channels, reason):
    path = write("flac")
    data = bytearray(path.read_bytes())
    packed = int.from_bytes(data[18:26], "big") & ~(0x7F_FFFF << 41)
    data[18:26] = (packed | rate_hz << 44 | channels - 1 << 41).to_bytes(8, "big")
    path.write_bytes(data)
    with pytest.raises(RowError, match=f"^{reason}$"):
        open_span(path)


def with_unknown_length(data):
    return data[:21] + bytes([data[21] & 0xF0]) + bytes(4) + data[26:]


@pytest.mark.parametrize("rewritten", [bytes, with_unknown_length])
def test_sound_behind_the_damage_in_a_flac_keeps_its_place(write, open_span, rewritten):
    path = write("flac")
    whole = open_span(path).audio.samples
    data = path.read_bytes()
    at = len(data) // 4
    path.write_bytes(rewritten(data[:at] + bytes(30_000) + data[at + 30_000 :]))
    with pytest.raises(RowError, match=r"^damaged at 1\.\d s: 0\.\d\d s are missing$"):
        open_span(path, 0, span_s=2)
    assert np.array_equal(open_span(path, 2, span_s=2).audio.samples, whole[:, 4 * 48_000 :])


@pytest.mark.parametrize("at", [0, 10])
def test_damage_to_the_first_frame_of_a_flac_is_told(write, open_span, at):
    path = write("flac")
    data = path.read_bytes()
    at += data.index(b"\xff\xf8")
    path.write_bytes(data[:at] + bytes(5_000) + data[at + 5_000 :])
    with pytest.raises(RowError, match=r"^damaged at 0\.0 s: the flac decoder refuses the data$"):
        open_span(path)


def test_a_sample_larger_than_memory_is_told(write, open_span):
    path = write("mp4 fragmented")
    data = bytearray(path.read_bytes())
    sizes = data.rindex(b"trun") + 20  # of duration and size of each sample, in this order
    data[sizes + 800 : sizes + 804] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(RowError, match=r"^damaged at 2\.1 s: its container asks for more memory than there is$"):
        open_span(path)


def test_a_transport_stream_that_never_begins_is_told(tmp_path, open_span):
    packet = b"\x47\x41\x00\x36\x11" + bytes(17) + b"\0\0\1\xc0\0\xa0\x80\x80\5" + bytes(5) + b"\xff\xf1\0\0\x4d"
    path = tmp_path / "recording"
    path.write_bytes(packet.ljust(188, b"\0") * 5 + bytes(188))
    with pytest.raises(RowError, match=r"^damaged at 0\.0 s: its container cannot be read on$"):
        open_span(path)


@pytest.mark.parametrize("value", [1e300, float("nan")])
def test_numbers_beyond_float32_are_told(write, open_span, value):
    path = write("mkv f64")
    sample = float(open_span(path).audio.samples[0, 100_000])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<d", sample), struct.pack("<d", value)))
    with pytest.raises(RowError, match=r"^contains NaN or infinite samples$"):
        open_span(path)


def test_what_is_told_of_damage_at_the_end_does_not_depend_on_the_order(write, open_span):
    path = write("webm opus")
    data = path.read_bytes()
    path.write_bytes(with_garbage(data[: len(data) * 5 // 6]))
    with pytest.raises(RowError, match=r"^damaged at 2\.\d s: \d\.\d\d s are missing$") as first:
        open_span(path, 3, span_s=1)
    open_span(path, 6, span_s=1)
    with pytest.raises(RowError, match=f"^{first.value}$"):
        open_span(path, 3, span_s=1)


def bytes_read():
    return int(Path("/proc/self/io").read_text().split()[1])


def test_spans_far_behind_the_end_cost_little(write, open_span):
    path = write("ac3")
    path.write_bytes(path.read_bytes() * 20)
    for index in range(200, 220):
        before = bytes_read()
        span = open_span(path, index, span_s=1)
        assert (span.num_samples, span.last) == (0, True)
        assert index == 200 or bytes_read() - before < path.stat().st_size / 2


def test_what_libsndfile_cannot_seek_in_has_one_length(write, open_span):
    path = write("wav gsm")
    data = path.read_bytes()
    at = data.index(b"data") + 8
    path.write_bytes(data[: at - 4] + b"\xff\xff\xff\x7f" + data[at:] * 2)  # never closed, and longer than it says
    whole = open_span(path)
    spans = [open_span(path, index, span_s=4) for index in range(3)]
    assert [span.last for span in spans] == [False, False, True]
    assert np.array_equal(np.concatenate([span.audio.samples for span in spans], axis=1), whole.audio.samples)


@pytest.mark.parametrize("header", [b"RIFF\xff\xff\xff\xffWAVE", b"FORM\x7f\xff\xff\xffAIFF"])
def test_zeros_behind_a_header_are_soon_given_up(tmp_path, open_span, header):
    path = tmp_path / "recording"
    path.write_bytes(header)
    os.truncate(path, 50_000_000_000)
    with pytest.raises(RowError, match=r"^holds no audio samples: an? (WAV|AIFF) header without"):
        open_span(path, 1)
