"""Traces of a lossy codec: its frames and the coefficients it left out, found again in what was decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from audiocur.audio import Samples, Spectrogram

_BLOCK = 8192  # samples searched at once: their transforms stay in the processor's cache
_BLOCKS, _LINES = 8, 12  # of the search
_CANDIDATES, _FIRST_FRAMES, _FRAMES = 4, 3, 24  # of the trials
_PROMISING = 1.5  # deviations in the first trial; without frames the best of four has about 1
_ASIDE = np.array([-2, 0, 2])  # samples: codec frames read two samples off hold no zeros, music sounds the same there
_ROUNDING = 2.0**-30 / 12.0  # variance of rounding to 16 bits
_HEARD = 25.0  # times that, 14 dB: nothing fainter can be told from zero
_ZERO = (0.06, 0.2)  # of the level around: less is zero; the second for music little louder than the rounding
_SEARCHED_ZERO = np.float32(0.05**2)  # of the power half a frame around, in the search;
_SEARCHED_ROUNDING = np.float32(_ROUNDING / 2.0)  # and this more, for what a zero holds in quiet music
_FEWEST_LINES = 800
_MEMORY, _STEADY, _STEADY_LINES = 4, 0.1, 0.4  # frames remembered; change of a line, and share of lines, in a tone


class CodecGrid(NamedTuple):
    """What `codec_grid` found; see there."""

    codec: str | None
    score: float | None
    zeroed_ratio: float | None


def codec_grid(mono: Samples, spectrogram: Spectrogram, *, min_score: float = 5.0) -> CodecGrid:
    """The codec whose frames lie under the samples, if there is one.

    In curation: proves that a recording was coded lossily once, whatever it is stored as now, dark music included.
    Codecs cut time into frames and set most faint coefficients of their transform to zero. Transformed again in those
    very frames, what they decode to has its zeros back; one sample off they are gone. So every offset of the frames is
    searched in up to eight blocks; the best four are tried in three frames and the best in 24, spread over the clip,
    against the offsets two samples aside, where music is the same and chance as likely.

    It misses: copies that were resampled, stretched or mixed after decoding; rates so high that little was zeroed
    (MP3 from 256 kbit/s; of FFmpeg's AAC at 128 to 192 one clip in six, mostly quiet ones stored with dither); zeros
    filled with noise (AAC's PNS, Opus); music less than 14 dB above the rounding to 16 bits. It is wrong about tones
    that repeat exactly with the frames, which are left out where seen. AAC and Vorbis share frames and differ in
    windows only: both read as "aac".

    Args:
        mono: shape (samples,).
        spectrogram: of these samples, the shared one.
        min_score: standard deviations that count as found; lossless music stays under 4.

    Returns:
        codec: "mp3" or "aac", None if not found.
        score: by how many standard deviations zeros are more frequent in the best frames than beside them.
        zeroed_ratio: share of coefficients that are zero there beyond chance, of those loud enough to tell. Both None
            for clips under 0.75 s at 44.1 kHz, near silence and steady tones, where nothing can be told.

    Source: after Herre and Schug, Analysis of Decompressed Audio: The Inverse Decoder (AES 109, 2000); filter banks of
    ISO/IEC 11172-3 (MP3) and 13818-7 (AAC).

    >>> from audiocur.audio import Audio
    >>> noise = Audio(np.random.default_rng(0).normal(0, 0.1, (1, 44_100)).astype(np.float32), 44_100)
    >>> codec_grid(noise.mono, noise.spectrogram).codec is None
    True
    """
    best = CodecGrid(None, None, None)
    if len(mono) < 4 * _BLOCK:
        return best
    starts = np.linspace(0, len(mono) - _BLOCK, _BLOCKS + 2)[1:-1].astype(int)
    blocks = [_block(mono, spectrogram, int(start)) for start in starts]
    for transform in _TRANSFORMS:
        offsets = _search(transform, blocks[:: transform.every])
        found = None if offsets is None else _trial(transform, mono, offsets, _FIRST_FRAMES)
        if found is not None and found[1] > _PROMISING:
            found = _trial(transform, mono, np.array([found[0]]), _FRAMES)
        if found is not None and (best.score is None or found[1] > best.score):
            best = CodecGrid(transform.codec if found[1] >= min_score else None, *found[1:])
        if best.codec is not None:
            break
    return best


class _Block(NamedTuple):
    start: int
    spectrum: NDArray[np.complex64]
    heard: NDArray[np.bool_]  # bins of the shared spectrogram loud enough


def _block(mono: Samples, spectrogram: Spectrogram, start: int) -> _Block:
    first = min(start // spectrogram.hop + 1, spectrogram.power.shape[1] - 1)
    end = max(first + 1, (start + _BLOCK) // spectrogram.hop + 1)  # at 768 kHz a hop is two blocks
    power = spectrogram.power[:, first:end].mean(axis=1)
    # White noise of variance 1 has 6 / n_fft in a bin of a Hann window where a full-scale sine has 1.
    heard = power > _HEARD * _ROUNDING * 6.0 / spectrogram.n_fft
    return _Block(start, scipy.fft.rfft(mono[start : start + _BLOCK]), heard)


def _search(transform: _Transform, blocks: Sequence[_Block]) -> NDArray[np.intp] | None:
    """The offsets at which most coefficients are nearly zero."""
    hop, counts = transform.hop, np.zeros(transform.hop, np.int64)
    frames = (_BLOCK - transform.length) // hop
    for block in blocks:
        lines = np.flatnonzero(block.heard[transform.searched * (len(block.heard) - 1) // hop])
        lines = lines[len(lines) // 8 :]  # codecs zero the upper ones first
        if len(lines) < _LINES // 2:
            continue
        lines = lines[np.unique(np.linspace(0, len(lines) - 1, _LINES).round().astype(int))]
        # Filtering gives the coefficient at every offset at once.
        found = scipy.fft.irfft(block.spectrum * transform.responses[lines], axis=1)[:, : frames * hop]
        # By half frames: next to a note that starts or fades, all that is soft would pass for zero.
        found = found.reshape(len(lines), -1, hop // 2)
        power = np.einsum("ijk,ijk->ij", found, found) / (hop // 2)
        zero = np.sqrt(_SEARCHED_ZERO * power + _SEARCHED_ROUNDING)
        zeroed = np.abs(found, out=found) < zero[:, :, None]
        counts += np.roll(zeroed.reshape(-1, hop).sum(axis=0, dtype=np.uint16), block.start)
    if not counts.any():
        return None
    around = sum(np.roll(counts, aside) for aside in (-4, -3, -2, 2, 3, 4))
    return np.argsort(around - 6 * counts, kind="stable")[:_CANDIDATES]


def _trial(
    transform: _Transform, mono: Samples, offsets: NDArray[np.intp], frames: int
) -> tuple[int, float, float] | None:
    """The best of these offsets, with its score and zeroed ratio over all lines that are heard."""
    hop = transform.hop
    windows = np.lib.stride_tricks.sliding_window_view(mono, transform.length)
    tried = (offsets[:, None] + _ASIDE).ravel()
    zeroed, lines = np.zeros((len(_ZERO), len(offsets), len(_ASIDE))), np.zeros(len(offsets))
    used, before = 0, np.ones((_MEMORY, hop), np.float32)
    for start in np.linspace(hop, len(windows) - hop - 3, frames + 2)[1:-1].astype(int) // hop * hop:
        power = np.square(transform.analyse(windows[start + tried])).reshape(len(offsets), len(_ASIDE), hop)
        level = power.mean(axis=1)
        level[:, 1:-1] = (level[:, :-2] + level[:, 1:-1] + level[:, 2:]) * np.float32(1 / 3)
        heard = level > _HEARD * _ROUNDING
        heard[:, : hop // 32] = False  # two samples aside low tones have not moved on
        change = (level[0] / before)[:, heard[0]]
        before = np.vstack([before[1:], np.maximum(level[:1], np.float32(_ROUNDING))])
        if (
            change.size
            and (np.abs(change / change.mean(axis=1, keepdims=True) - 1.0) < _STEADY).mean(axis=1).max() > _STEADY_LINES
        ):
            continue  # the same sound as frames ago: a tone in step with the frames, whose zeros prove nothing
        used += 1
        lines += np.count_nonzero(heard, axis=1)
        level[~heard] = 0.0
        for i, zero in enumerate(_ZERO):
            zeroed[i] += np.count_nonzero(power < np.float32(zero**2) * level[:, None], axis=2)
    if used < frames // 2 or lines.min() < _FEWEST_LINES * frames // _FRAMES:
        return None
    on, off = zeroed[:, :, 1], zeroed[:, :, ::2].mean(axis=2)
    # If the offset were like those beside it, on − off would vary by 1.5 times the mean count.
    score = (on - off) / np.sqrt(0.5 * (on + 2.0 * off + 3.0))
    i, j = np.unravel_index(score.argmax(), score.shape)
    return int(offsets[j]), float(score[i, j]), float(max(0.0, (on - off)[i, j] / (lines[j] - off[i, j])))


@dataclass(frozen=True, eq=False)
class _Transform:
    codec: str
    hop: int
    length: int
    analyse: Callable[[Samples], Samples]  # frames (n, length) to lines (n, hop)
    every: int  # of the blocks that it is searched in

    @cached_property
    def searched(self) -> NDArray[np.intp]:
        """Lines that the search may use."""
        return np.arange(self.hop // 12, self.hop * 11 // 12, self.hop // 64)

    @cached_property
    def responses(self) -> NDArray[np.complex64]:
        """Spectra that correlate a block with these lines' basis functions."""
        impulses = self.analyse(np.eye(self.length, dtype=np.float32))[:, self.searched].T
        spectra: NDArray[np.complex64] = np.conj(scipy.fft.rfft(impulses, _BLOCK, axis=1))
        return spectra


def _mdct(window: NDArray[np.float64]) -> Callable[[Samples], Samples]:
    n = len(window) // 2
    turned = (window * np.exp(-0.5j * np.pi / n * np.arange(2 * n))).astype(np.complex64)
    phase = np.exp(-1j * np.pi / n * (n / 2 + 0.5) * (np.arange(n) + 0.5)) * np.sqrt(2.0 / n)
    phase = phase.astype(np.complex64)

    def analyse(frames: Samples) -> Samples:
        lines: Samples = (scipy.fft.fft(frames * turned, axis=1)[:, :n] * phase).real
        return lines

    return analyse


def _kaiser_bessel(n: int) -> NDArray[np.float64]:
    """AAC's other window, alpha 4; Vorbis's differs little from it."""
    total = np.cumsum(np.kaiser(n + 1, 4.0 * np.pi))
    window: NDArray[np.float64] = np.sqrt(np.append(total[:n], total[:n][::-1]) / total[n])
    return window


def _hybrid(frames: Samples) -> Samples:
    """MP3's filter bank: 32 bands, an MDCT over 36 samples of each, and the butterflies that mend its aliasing."""
    slots = np.lib.stride_tricks.sliding_window_view(frames, 512, axis=1)[:, ::32]
    folded = slots[..., :64] * _TAPS[0]
    for i in range(1, 8):
        folded += slots[..., 64 * i : 64 * (i + 1)] * _TAPS[i]
    bands = folded @ _BANDS
    bands[:, 1::2, 1::2] *= -1  # every other band comes out upside down
    lines = bands.transpose(0, 2, 1) @ _LONG_BLOCK
    below, above = lines[:, :-1, :9:-1].copy(), lines[:, 1:, :8].copy()
    lines[:, :-1, :9:-1] = _COS * below + _SIN * above
    lines[:, 1:, :8] = _COS * above - _SIN * below
    joined: Samples = lines.reshape(len(frames), -1)
    return joined


# The standard's table of the window is, to its last digit (-97 dB), this sum of cosines.
_WINDOW_COSINES = (0.10917, 0.21834, 0.21752, 0.20510, 0.15440, 0.07488, 0.01890, 0.00169)
_TAPS = np.cos(np.pi / 256 * np.outer(255 - np.arange(512), np.arange(8))) @ _WINDOW_COSINES
_TAPS = (_TAPS.reshape(8, 64) * (-1.0) ** np.arange(8)[:, None]).astype(np.float32)  # cosines turn sign every 64
_BANDS = np.cos(np.pi / 64 * np.outer(495 - np.arange(64), 2 * np.arange(32) + 1))
_BANDS = (0.067468 * _BANDS).astype(np.float32)  # so that lines have unit norm
_LONG_BLOCK = np.cos(np.pi / 72 * np.outer(2 * np.arange(36) + 19, 2 * np.arange(18) + 1))
_LONG_BLOCK = (np.sin(np.pi / 36 * (np.arange(36) + 0.5))[:, None] * _LONG_BLOCK).astype(np.float32)
_ALIASING = np.array([-0.6, -0.535, -0.33, -0.185, -0.095, -0.041, -0.0142, -0.0037], np.float32)
_COS, _SIN = 1.0 / np.sqrt(1.0 + _ALIASING**2), _ALIASING / np.sqrt(1.0 + _ALIASING**2)

# FFmpeg's AAC and Vorbis have the second's windows and zero little from 160 kbit/s: that one needs all blocks.
_TRANSFORMS = (
    _Transform("mp3", 576, 1632, _hybrid, every=2),
    _Transform("aac", 1024, 2048, _mdct(_kaiser_bessel(1024)), every=1),
    _Transform("aac", 1024, 2048, _mdct(np.sin(np.pi / 2048 * (np.arange(2048) + 0.5))), every=2),
)
