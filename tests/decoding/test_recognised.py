"""What is audio by its first bytes, and what is not."""

import numpy as np
import pytest

from audiocur.decoding import read_header
from audiocur.errors import RowError


@pytest.mark.parametrize("kind", ["ac3", "latm", "mpeg", "mpegts", "tta", "wav mp3", "wav s64", "flv"])
def test_spans_hold_the_samples_of_the_whole(write, open_span, kind):
    path = write(kind)
    whole = open_span(path)
    assert whole.num_samples == pytest.approx(6 * 48_000, abs=4_000)
    count = -(-whole.num_samples // 81_600)
    for order in (range(count), reversed(range(count))):
        spans = {index: open_span(path, index, span_s=1.7) for index in order}
        joined = np.concatenate([spans[index].audio.samples for index in range(count)], axis=1)
        assert np.array_equal(joined, whole.audio.samples)


@pytest.mark.parametrize("kind", ["ac3", "latm", "mpeg", "mpegts", "tta"])
def test_containers_are_told_by_their_first_bytes(write, kind):
    assert read_header(write(kind)).container == kind


def test_integers_of_64_bits_are_decoded(write, open_span):
    whole, plain = open_span(write("wav s64")), open_span(write("wav"))
    assert np.abs(whole.audio.samples - plain.audio.samples).max() < 1e-4


def test_dsd_is_decoded(dsf, open_span):
    span = open_span(dsf)
    assert (span.rate_hz, span.channels, span.last) == (352_800, 1, True)
    assert np.abs(span.audio.samples[:, 1_000:]).max() < 0.01


def test_adaptive_multi_rate_is_decoded(tmp_path, open_span):
    path = tmp_path / "call.amr"
    path.write_bytes(b"#!AMR\n" + (b"\x3c" + bytes(31)) * 100)
    span = open_span(path)
    assert (read_header(path).container, span.rate_hz, span.num_samples) == ("amr", 8_000, 16_000)


@pytest.mark.parametrize("magic", [b"MAC ", b"MPCK", b"TTA1", b"DSD ", b"\x00\x00\x01\xba"])
def test_a_magic_and_nothing_behind_it_is_damage(tmp_path, open_span, magic):
    path = tmp_path / "recording"
    path.write_bytes(magic + bytes(200))
    with pytest.raises(RowError, match=r"^(damaged or truncated: its header or index cannot be read|no sound)"):
        open_span(path)


@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125)])
def test_tags_alone_are_told(tmp_path, open_span, behind):
    path = tmp_path / "tags.mp3"
    path.write_bytes(b"ID3\x03\x00\x00\x00\x00\x00\x0cTIT2\x00\x00\x00\x02\x00\x00\x00x" + behind)
    with pytest.raises(RowError, match=r"^holds an ID3 tag and no audio$"):
        open_span(path)


def test_a_tag_that_never_ends_is_told(tmp_path, open_span):
    path = tmp_path / "tags.mp3"
    path.write_bytes(b"ID3\x03\x00\x00\x7f\x7f\x7f\x7fTIT2" + bytes(500))
    with pytest.raises(RowError, match=r"^damaged or truncated: its ID3 tag never ends$"):
        open_span(path)


def test_a_codec_without_a_decoder_is_named(write, open_span):
    path = write("wav")
    data = bytearray(path.read_bytes())
    data[20:22] = b"\x34\x12"
    path.write_bytes(data)
    with pytest.raises(RowError, match=r"^no decoder for the codec of its sound track: WAV format 0x1234$"):
        open_span(path)
