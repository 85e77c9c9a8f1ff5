"""Whatever a container declares of its length, data that ends before it is told."""

import os
import struct

import pytest

from audiocur.decoding import decode, read_header
from audiocur.errors import RowError
from audiocur.ops.transform.decode import Truncated

SECONDS = 6
DECLARING = [
    *("wav adpcm", "wav ms adpcm", "wav gsm", "wav mp3", "wav s64", "w64", "au", "caf", "vorbis", "opus", "mkv aac"),
    *("mkv flac", "webm opus", "wma", "avi", "mp4 fragmented", "tta", "wavpack", "mkv video"),
]


@pytest.mark.parametrize("kind", DECLARING)
def test_a_whole_recording_passes(write, open_span, kind):
    span = open_span(write(kind))
    assert span.last
    assert span.num_samples == pytest.approx(SECONDS * span.rate_hz, abs=0.1 * span.rate_hz)


@pytest.mark.parametrize("kind", DECLARING)
def test_half_a_recording_does_not(write, open_span, kind):
    path = write(kind)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(RowError, match=r"^(truncated: |damaged )"):
        open_span(path)
    with pytest.raises(RowError, match=r"^(truncated: |damaged )"):
        decode(path, 0, 10 * 48_000)


@pytest.mark.parametrize("kind", ["wav adpcm", "au", "caf", "w64", "mkv aac", "webm opus", "vorbis", "opus"])
def test_half_a_recording_is_kept_where_that_is_asked_for(write, open_span, kind):
    path = write(kind)
    os.truncate(path, path.stat().st_size // 2)
    kept = open_span(path, truncated=Truncated.KEEP)
    assert kept.last
    assert 1.5 < kept.num_samples / kept.rate_hz < 4.2


def test_the_reason_says_how_much_there_is(write, open_span):
    for kind in ("au", "webm opus", "wav adpcm"):
        path = write(kind)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(
            RowError, match=r"^truncated: the header promises (5\.9|6\.0|6\.1) s, the data ends at (2\.9|3\.\d) s$"
        ):
            open_span(path)


def test_an_ogg_without_its_last_page_is_cut(write, open_span):
    path = write("vorbis")
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"OggS")])
    with pytest.raises(RowError, match=r"^truncated: its last page is missing$"):
        open_span(path)
    path.write_bytes(data[:-1])  # a last page that is not whole is none
    with pytest.raises(RowError, match=r"^truncated: its last page is missing$"):
        open_span(path)


@pytest.mark.parametrize("kind", ["mkv aac", "webm opus"])
def test_zeros_instead_of_the_second_half_are_told(write, open_span, kind):
    path = write(kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(RowError, match=r"^truncated: the header promises 6.0 s"):
        open_span(path)


def test_pictures_that_outlast_the_sound_promise_no_sound(write, open_span):
    path = write("mkv video")
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOM"))
    assert read_header(path).promised_samples is None
    assert open_span(path).num_samples == pytest.approx(SECONDS * 48_000, abs=1_000)


def test_matroska_that_declares_no_length_is_read_to_its_end(write, open_span):
    path = write("mkv aac")
    data = path.read_bytes().replace(b"DURATION", b"DURATIOM")
    at = data.index(b"\x44\x89\x88")
    # A Void of the same size in place of Duration, and a Segment of unknown length: what a live writer leaves.
    data = data[:at] + b"\xec\x89" + bytes(9) + data[at + 11 :]
    segment = data.index(b"\x18\x53\x80\x67") + 4
    path.write_bytes(data[:segment] + b"\x01" + b"\xff" * 7 + data[segment + 8 :])
    assert read_header(path).promised_samples is None
    os.truncate(path, len(data) // 2)
    assert 2 * 48_000 < open_span(path).num_samples < 4 * 48_000


@pytest.mark.parametrize("declared", [0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFDB, 0xFFFF_FFFF])
def test_lengths_of_a_wav_that_was_never_closed(write, open_span, declared):
    path = write("wav")
    data = path.read_bytes()
    path.write_bytes(data[:40] + struct.pack("<I", declared) + data[44:])
    assert read_header(path).promised_samples is None
    assert open_span(path).num_samples == SECONDS * 48_000


@pytest.mark.parametrize("declared", [0x9000_0000, 0xBBBB_BB00, 0xF000_0000])
def test_other_lengths_beyond_2_gib_are_promises(write, open_span, declared):
    path = write("wav")
    data = path.read_bytes()
    path.write_bytes(data[:40] + struct.pack("<I", declared) + data[44:])
    with pytest.raises(RowError, match=r"^truncated: the header promises \d{5}\.\d s, the data ends at 6\.0 s$"):
        open_span(path)


@pytest.mark.parametrize(
    ("kind", "at", "length"), [("au", 8, b"\xff" * 4), ("caf", None, b"\xff" * 8), ("w64", None, b"\xff" * 7 + b"\x7f")]
)
def test_streamed_au_caf_and_w64_promise_nothing(write, kind, at, length):
    path = write(kind)
    data = path.read_bytes()
    at = at or data.index(b"data") + {"caf": 4, "w64": 16}[kind]
    path.write_bytes((data[:at] + length + data[at + len(length) :])[: len(data) // 2])
    header = read_header(path)
    assert (header.promised_samples, header.present_ratio) == (None, 1.0)
