"""Round trips through every format, and bytes that depend on nothing but the samples."""

import hashlib
import io
import subprocess
import sys
import time

import av
import numpy as np
import pytest
import soundfile

from audiocur.audio import Audio
from audiocur.encoding import BITS, Format, decode_bytes, encode
from audiocur.errors import RowError

FORMATS = [
    (Format.FLAC, 16),
    (Format.FLAC, 24),
    (Format.WAV, 16),
    (Format.WAV, 24),
    (Format.WAV, 32),
    (Format.OGG, 16),
    (Format.OPUS, 16),
]


def noise(rate_hz, channels, num_samples, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(num_samples) / rate_hz
    samples = 0.4 * np.sin(2 * np.pi * 330 * t) + 0.05 * rng.standard_normal((channels, num_samples))
    return Audio(samples.astype(np.float32), rate_hz)


@pytest.mark.parametrize(("file_format", "bits"), FORMATS)
@pytest.mark.parametrize("num_samples", [1, 100, 4096, 48_000, 100_003])
@pytest.mark.parametrize("channels", [1, 2])
def test_length_rate_and_channels_come_back(file_format, bits, num_samples, channels):
    audio = noise(48_000, channels, num_samples)
    data = encode(audio, file_format, bits=bits)
    decoded = decode_bytes(data)
    assert (decoded.rate_hz, decoded.samples.shape) == (48_000, (channels, num_samples))
    info = soundfile.info(io.BytesIO(data))
    assert (info.frames, info.samplerate, info.channels) == (num_samples, 48_000, channels)


@pytest.mark.parametrize(("file_format", "bits"), [pair for pair in FORMATS if pair[0] in BITS])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 192_000])
def test_lossless_formats_round_to_nearest(file_format, bits, rate_hz):
    audio = noise(rate_hz, 2, 50_000)
    decoded = decode_bytes(encode(audio, file_format, bits=bits))
    assert np.abs(decoded.samples - audio.samples).max() <= (0 if bits == 32 else 0.5 * 2.0 ** (1 - bits))


@pytest.mark.parametrize(("file_format", "bits"), [(f, b) for f, b in FORMATS if f in BITS and b < 32])
def test_integers_come_back_as_they_were_and_full_scale_does_not_wrap(file_format, bits):
    full_scale = 2 ** (bits - 1)
    integers = np.unique(np.r_[np.linspace(-full_scale, full_scale - 1, 65_536).astype(np.int64), -1, 0, 1])
    exact = Audio((integers / full_scale).astype(np.float32)[None], 44_100)
    assert np.array_equal(decode_bytes(encode(exact, file_format, bits=bits)).samples, exact.samples)

    beyond = Audio(np.array([[1.0, -1.0, 0.99999999, 2.0, -2.0]], np.float32), 44_100)
    top = 1 - 1 / full_scale
    assert decode_bytes(encode(beyond, file_format, bits=bits)).samples.tolist() == [[top, -1, top, top, -1]]


@pytest.mark.parametrize("file_format", [Format.OGG, Format.OPUS])
def test_lossy_formats_sound_alike_and_stay_in_place(file_format):
    audio = noise(48_000, 1, 100_000)
    decoded = decode_bytes(encode(audio, file_format, quality=0.9))
    assert np.corrcoef(audio.samples[0], decoded.samples[0])[0, 1] > 0.99
    assert len(encode(audio, file_format, quality=0.2)) < len(encode(audio, file_format, quality=0.8))


@pytest.mark.parametrize("file_format", [Format.OGG, Format.OPUS])
def test_another_decoder_reads_what_we_stored(file_format):
    """Libav drops Ogg pages whose checksum is wrong."""
    data = encode(noise(48_000, 2, 200_000), file_format)
    with av.open(io.BytesIO(data)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == 200_000


def test_minutes_of_vorbis_do_not_overflow_the_stack():
    assert decode_bytes(encode(noise(44_100, 2, 90 * 44_100), Format.OGG)).num_samples == 90 * 44_100


SCRIPT = """
import hashlib, sys, numpy as np
from audiocur.audio import Audio
from audiocur.encoding import Format, encode
samples = np.random.default_rng(1).uniform(-1, 1, (2, 60_000)).astype(np.float32)
for file_format, bits in [("flac", 16), ("flac", 24), ("wav", 16), ("wav", 24), ("wav", 32), ("ogg", 16), ("opus", 16)]:
    print(hashlib.sha256(encode(Audio(samples, 48_000), Format(file_format), bits=bits)).hexdigest())
"""


def test_bytes_depend_on_the_samples_alone():
    outputs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        outputs.append(done.stdout)
        time.sleep(1.1)  # libsndfile puts the time, in seconds, into several formats
    samples = np.random.default_rng(1).uniform(-1, 1, (2, 60_000)).astype(np.float32)
    here = [hashlib.sha256(encode(Audio(samples, 48_000), f, bits=b)).hexdigest() for f, b in FORMATS]
    assert outputs[0] == outputs[1]
    assert outputs[0].split() == here


def test_what_a_format_cannot_hold_is_told():
    with pytest.raises(RowError, match=r"^flac cannot hold 2 channels at 700000 Hz"):
        encode(noise(700_000, 2, 1000), Format.FLAC)
    with pytest.raises(RowError, match=r"^flac cannot hold 9 channels at 44100 Hz"):
        encode(noise(44_100, 9, 1000), Format.FLAC)
    with pytest.raises(ValueError, match=r"Opus holds audio at 48000 Hz, not 44100"):
        encode(noise(44_100, 2, 1000), Format.OPUS)
    with pytest.raises(ValueError, match=r"flac holds \(16, 24\) bits a sample, not 32"):
        encode(noise(44_100, 2, 1000), Format.FLAC, bits=32)
