"""Reading PCM and FLAC with libsndfile, which seeks to the sample."""

from __future__ import annotations

import os

import numpy as np
import soundfile

from audiocur.audio import Samples

_BLOCK_SAMPLES = 65_536


class PcmReader:
    """Reads samples anywhere in a file from its descriptor; soundfile.LibsndfileError where the file is damaged.

    Attributes:
        rate_hz, channels: as found in the header.
        num_samples: what there is of what the header promises.
        codec: libsndfile's name of the sample format.
        seekable: it seeks in this sample format; in GSM and some others it does not.
    """

    def __init__(self, fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        self._file = soundfile.SoundFile(fd, closefd=False)
        self.rate_hz, self.channels = self._file.samplerate, self._file.channels
        self.num_samples, self.codec = self._file.frames, self._file.subtype.lower()
        self.seekable = self._file.seekable()

    def close(self) -> None:
        """Let go of libsndfile's state; the descriptor stays open."""
        self._file.close()

    def read(self, start_sample: int, num_samples: int) -> tuple[Samples, bool]:
        """Samples [start_sample, start_sample + num_samples) as far as there are any, and whether none follow them."""
        num_samples = max(0, min(num_samples, self.num_samples - start_sample))
        out = np.empty((self.channels, num_samples), np.float32)
        if num_samples:
            self._file.seek(start_sample)
        for at in range(0, num_samples, _BLOCK_SAMPLES):
            block = self._file.read(min(_BLOCK_SAMPLES, num_samples - at), dtype="float32", always_2d=True)
            out[:, at : at + len(block)] = block.T
            if len(block) < min(_BLOCK_SAMPLES, num_samples - at):
                return out[:, : at + len(block)].copy(), True
        return out, start_sample + num_samples >= self.num_samples
