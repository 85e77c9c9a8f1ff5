"""Damage in the middle, and headers that contradict their sound: told as what they are, never kept."""

import subprocess
import sys

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
