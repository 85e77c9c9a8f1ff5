"""Decoding recordings: what a header promises, and any stretch of the samples, exact to the sample.

libsndfile reads WAV, AIFF and sound FLAC, in which it seeks exactly; libav reads everything else, forward from the
first packet. Whichever reads, a stretch of a recording holds the same samples to the bit as the same stretch of the
whole, and a recording ends where its data ends, whatever its header says.

>>> import io, os, tempfile, numpy as np, soundfile
>>> path = os.path.join(tempfile.mkdtemp(), "tone.wav")
>>> soundfile.write(path, np.zeros((44_100, 2)), 44_100)
>>> read_header(path).num_samples
44100
>>> samples, ended = decode(path, start_sample=40_000, num_samples=10_000)
>>> samples.shape, ended
((2, 4100), True)
"""

from __future__ import annotations

from audiocur.audio import Samples
from audiocur.decoding.header import Header, Limits
from audiocur.decoding.recording import Recording, open_file


def read_header(path: bytes | str, limits: Limits | None = None) -> Header:
    """What a recording says of itself, at the cost of opening it.

    Raises:
        RowError: it is no audio, cannot be opened, or its header is outside the limits.
    """
    with open_file(path) as file, Recording(file, limits or Limits()) as recording:
        return recording.header


def decode(
    path: bytes | str,
    start_sample: int,
    num_samples: int,
    limits: Limits | None = None,
    *,
    keep_truncated: bool = False,
) -> tuple[Samples, bool]:
    """Samples [start_sample, start_sample + num_samples) of a recording, as far as there are any.

    Returns:
        float32 of shape (channels, at most num_samples), and whether the recording ends within or right after it.

    Raises:
        RowError: what `read_header` raises; the data within is damaged; or, unless `keep_truncated`, it ends before
            the length that the header promises, or before the last page of an Ogg. ADTS and some others promise none:
            see `extent.measure`.
    """
    with open_file(path) as file, Recording(file, limits or Limits()) as recording:
        samples, ended = recording.read(start_sample, num_samples)
        if ended and samples.size and not keep_truncated:
            recording.header.require_whole(start_sample + samples.shape[1])
        return samples, ended
