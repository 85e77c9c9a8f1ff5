"""Audio in memory, with the views that all operators of a stage share: one decode, one spectrogram."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy
import soxr
from numpy.typing import NDArray

from audiocur.dsp.levels import Levels, levels

Samples = NDArray[np.float32]

VOICE_RATE_HZ = 16_000
_RESAMPLING_BLOCK = 1 << 16
GROUP_S = 0.5  # of frames averaged, so that noise is smooth
DC_BINS = 2  # of a spectrogram: over these a Hann window spreads a DC offset


@dataclass(frozen=True)
class Spectrogram:
    """Magnitudes of a short-time Fourier transform.

    Attributes:
        magnitude: shape (n_fft // 2 + 1, frames), float32. A full-scale sine reads 1.0 at its bin.
        rate_hz: sampling rate of the audio it was taken from.
        n_fft: samples in a window.
        hop: samples from one frame to the next.
    """

    magnitude: Samples
    rate_hz: int
    n_fft: int
    hop: int

    @cached_property
    def power(self) -> Samples:
        """Squared magnitudes, same shape."""
        power: Samples = np.square(self.magnitude)
        return power

    @cached_property
    def frequencies_hz(self) -> NDArray[np.float64]:
        """Centre frequency of each bin, shape (n_fft // 2 + 1,)."""
        return np.linspace(0.0, self.rate_hz / 2, self.n_fft // 2 + 1)

    @cached_property
    def mean_square(self) -> Samples:
        """Mean square of the samples under each window, shape (frames,); a full-scale sine has 0.5, a DC offset 0."""
        # A Hann window spreads a sine of amplitude 1 over three bins, of power 1/4, 1 and 1/4.
        mean_square: Samples = self.power[DC_BINS:].sum(axis=0) / np.float32(3.0)
        return mean_square

    @cached_property
    def group_power(self) -> Samples | None:
        """Mean power of half-second groups of the clear frames, shape (bins, groups); None if there are none."""
        power = self.power[:, self.clear]
        frames = power.shape[1]
        if not frames:
            return None
        groups = max(1, round(frames / (GROUP_S * self.frame_rate_hz)))
        edges = np.arange(groups + 1) * frames // groups
        # Frames lie one after another in memory: so summed, this takes a seventh of np.add.reduceat's time.
        means: Samples = np.stack([power.T[i:j].mean(axis=0) for i, j in itertools.pairwise(edges)], axis=1)
        return means

    @property
    def clear(self) -> slice:
        """The frames whose windows lie within the audio, clear of the padding at its edges; it may be empty."""
        edge = self.n_fft // (2 * self.hop)
        return slice(edge, max(edge, self.magnitude.shape[1] - edge))

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second."""
        return self.rate_hz / self.hop


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples with their rate; derived views are computed once, when first asked for.

    Attributes:
        samples: shape (channels, samples), float32, full scale ±1.
        rate_hz: sampling rate.

    >>> audio = Audio(np.zeros((2, 44_100), np.float32), 44_100)
    >>> audio.channels, audio.duration_s, audio.mono_16k.shape
    (2, 1.0, (16000,))
    """

    samples: Samples
    rate_hz: int
    _resampled: dict[int, Samples] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise ValueError(
                f"samples must be float32 (channels, samples), got {self.samples.dtype} {self.samples.shape}"
            )

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        """Samples in each channel."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.rate_hz

    def slice(self, start_sample: int, end_sample: int) -> Audio:
        """The stretch [start_sample, end_sample) as Audio of its own, sharing memory but no views."""
        return Audio(self.samples[:, start_sample:end_sample], self.rate_hz)

    @cached_property
    def mono(self) -> Samples:
        """Mean of the channels, shape (samples,)."""
        return _mono(self.samples)

    @property
    def mono_16k(self) -> Samples:
        """The mono view at 16 kHz, for voice models; see `mono_at`."""
        return self.mono_at(VOICE_RATE_HZ)

    def mono_at(self, rate_hz: int) -> Samples:
        """The mono view band-limited and resampled (soxr HQ), shape (samples at that rate,), for models."""
        if rate_hz == self.rate_hz:
            return self.mono
        if rate_hz not in self._resampled:
            # A block at a time: of a long span, the mono view at its own rate would be 100 MB more to write and read.
            stream = soxr.ResampleStream(self.rate_hz, rate_hz, 1, dtype="float32")
            resampled = []
            for at in range(0, max(1, self.num_samples), _RESAMPLING_BLOCK):
                end = at + _RESAMPLING_BLOCK
                resampled.append(stream.resample_chunk(_mono(self.samples[:, at:end]), last=end >= self.num_samples))
            self._resampled[rate_hz] = np.concatenate(resampled)
        return self._resampled[rate_hz]

    @cached_property
    def levels(self) -> Levels:
        """Mean, power and extremes of each channel, in frames of 10 ms."""
        return levels(self.samples, self.rate_hz)

    @cached_property
    def spectrogram(self) -> Spectrogram:
        """The shared spectrogram of the mono view: Hann windows of about 93 ms every 23 ms.

        The window is 4096 samples at 44.1 and 48 kHz and scales with the rate in powers of two, so that bins (about
        11 Hz) and frames (about 43 a second) mean the same at any rate: fine enough to tell semitones from 200 Hz up,
        quick enough to place a beat. Frames are centred; the edges are padded with zeros.
        """
        n_fft = int(2 ** np.clip(round(np.log2(4096 * self.rate_hz / 44_100)), 8, 16))
        hop = n_fft // 4
        return Spectrogram(_stft_magnitude(self.mono, n_fft, hop), self.rate_hz, n_fft, hop)


def _mono(samples: Samples) -> Samples:
    mono: Samples = samples[0]
    if len(samples) > 1:
        mono = samples[0] + samples[1]  # several times as quick as the mean along an axis
        for channel in samples[2:]:
            mono += channel
        mono /= np.float32(len(samples))
    return mono


def _stft_magnitude(mono: Samples, n_fft: int, hop: int) -> Samples:
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    padded = np.pad(mono, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    magnitude = np.empty((frames.shape[0], n_fft // 2 + 1), np.float32)
    # Blocks of frames keep the windowed copy and the complex spectrum inside the processor's cache.
    for i in range(0, len(frames), 64):
        spectrum = scipy.fft.rfft(frames[i : i + 64] * window, axis=-1)
        np.abs(spectrum, out=magnitude[i : i + 64])
    magnitude *= np.float32(2.0 / window.sum())
    return magnitude.T
