"""Traces of a lossy codec: its frames and the coefficients it left out, found again in what was decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from audiocur.audio import Samples, Spectrogram
from audiocur.dsp.filter_banks import Analyse, hybrid, kaiser_bessel, mdct

_ROUNDING = 2.0**-30 / 12.0  # variance of rounding to 16 bits
_SHARE = 0.1  # of the coefficients, that a codec is taken to have left out
_BLOCK = 8192  # samples searched at once: their transforms stay in the processor's cache
_BLOCKS, _LINES = 8, 12  # of the search
_SEARCHED_ZEROS = (np.float32(_ROUNDING), np.float32(6.0 * _ROUNDING))  # power that a zero stays under there
#: Power that a zero stays under: stored with 24 bits, with 16, and two that were made louder since or had noise added.
_ZEROS = tuple(np.float32(power * _ROUNDING) for power in (0.3, 3.0, 30.0, 300.0))
_USUAL = 1  # the one of these for 16 bits
_LOUDER = 16.0  # times that, and one coefficient in five is as small by chance: of fainter ones nothing can be told
_HEARD = np.float32(25.0 * _ROUNDING)  # 14 dB above the rounding, the faintest lines that are searched
#: Rounds of trials: offsets that stay, coefficients looked at of each, score without which the next is not worth while.
_ROUNDS = ((32, 300, 0.0), (4, 1500, 2.6), (1, 6000, 4.0))
_FRAMES, _BATCH, _FEWEST_LINES = 96, 16, 100  # offsets times frames of a round, and of an array; coefficients in all
_FEWEST_FRAMES, _FEWEST_OF_FRAME = 8, 10  # that prove a codec; coefficients of each
_EXTREME = 8  # one frame in so many may be extreme
_ASIDE = np.array([-2, 0, 2])  # samples: codec frames read two samples off hold no zeros, music sounds the same there
_STEADY, _STEADY_LINES = 0.1, 0.4  # change of a line, and share of lines, of a frame that is like another


class CodecGrid(NamedTuple):
    """What `codec_grid` found; see there."""

    codec: str | None
    score: float | None
    zeroed_ratio: float | None


def codec_grid(mono: Samples, spectrogram: Spectrogram, *, min_score: float = 6.0) -> CodecGrid:
    """The codec whose frames lie under the samples, if there is one.

    In curation: proves that a recording was coded lossily once, whatever it is stored as now, dark music included.
    Codecs cut time into frames and set most faint coefficients of their transform to zero. Transformed again in those
    very frames, what they decode to has its zeros back; one sample off they are gone. So every offset of the frames is
    searched in up to eight blocks; the best 12 to 32 are tried, ever fewer of them in ever more frames, spread over the
    clip, against the offsets two samples aside, where music is the same and chance as likely. A zero is what is no
    louder than rounding, and tells the more the louder what is around it: the rarer it is by chance. In the end most
    frames must agree.

    It misses: copies that were resampled, stretched or mixed after decoding; those of which little was zeroed, and that
    in lines little louder than the rounding to 16 bits (dark or quiet music of high rates); zeros filled with noise
    (AAC's PNS, Opus); music less than 14 dB above the rounding. It is wrong about recordings that went through a deep
    spectral gate whose frames have a codec's hop and window, and may be about sounds put together of grains of 576 or
    1024 samples. AAC and Vorbis share frames and differ in windows only: both read as "aac".

    Args:
        mono: shape (samples,).
        spectrogram: of these samples, the shared one.
        min_score: standard deviations that count as found, 4 or more: from there on frames must agree. Lossless music
            has 2 to 4, a copy seldom under 9.

    Returns:
        codec: "mp3" or "aac", None if not found.
        score: by how many standard deviations zeros are more frequent in the best frames than beside them.
        zeroed_ratio: share of coefficients that are zero there beyond chance, of those loud enough to tell. Both None
            for clips under 0.75 s at 44.1 kHz, near silence and what repeats with the frames: nothing can be told.

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
    for bank in _BANKS:
        offsets = _search(bank, blocks[:: bank.every])
        found = None if offsets is None else _trial(bank, mono, *offsets)
        if found is not None and (best.score is None or found[0] > best.score):
            best = CodecGrid(bank.codec if found[0] >= min_score else None, *found)
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
    heard = power > _HEARD * np.float32(6.0 / spectrogram.n_fft)
    return _Block(start, scipy.fft.rfft(mono[start : start + _BLOCK]), heard)


def _search(bank: _Bank, blocks: Sequence[_Block]) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
    """The offsets at which most coefficients are nearly zero, best first, and by how many deviations."""
    hop, counts = bank.hop, np.zeros(bank.hop)
    frames = (_BLOCK - bank.length) // hop
    for block in blocks:
        lines = np.flatnonzero(block.heard[bank.searched * (len(block.heard) - 1) // hop])
        if len(lines) < _LINES // 2:
            continue
        count = min(_LINES, len(lines))
        lines = lines[np.arange(count) * len(lines) // count]
        # Filtering gives the coefficient at every offset at once.
        found = scipy.fft.irfft(block.spectrum * bank.responses[lines], axis=1)[:, : frames * hop]
        # By half frames: next to a note that starts or fades, all that is soft would pass for zero.
        found = found.reshape(len(lines), -1, hop // 2)
        power = np.square(found, out=found)
        level = power.mean(axis=2)
        zeroed = sum(np.einsum("ij,ijk->jk", _weights(level, zero), power < zero) for zero in _SEARCHED_ZEROS)
        counts += np.roll(zeroed.reshape(-1, hop).sum(axis=0), block.start)
    ahead = counts - sum(np.roll(counts, aside) for aside in (-4, -3, -2, 2, 3, 4)) / 6.0
    if not ahead.any():
        return None
    best = np.argsort(-ahead, kind="stable")[: bank.tried]
    return best, ahead[best] / ahead.std()


def _weights(level: NDArray[np.float32], zero: np.float32) -> NDArray[np.float32]:
    """What a zero tells for a codec among coefficients of such a level: the louder they are, the rarer by chance."""
    weights: NDArray[np.float32] = np.log1p(np.float32(_SHARE) * np.sqrt(level / zero))
    return weights


def _trial(
    bank: _Bank, mono: Samples, offsets: NDArray[np.intp], leads: NDArray[np.float64]
) -> tuple[float, float] | None:
    """The score and zeroed ratio of the best of these offsets: ever fewer are looked at in ever more frames."""
    windows = np.lib.stride_tricks.sliding_window_view(mono, bank.length)
    starts = np.linspace(bank.hop, len(windows) - bank.hop - 4, _FRAMES + 2)[1:-1].astype(int)
    starts = np.unique(starts // bank.hop * bank.hop)
    starts = starts[np.argsort(np.arange(len(starts)) * 0.618034 % 1.0)]  # any run of them is spread over the clip
    zeros, heard, seen = np.zeros((3, len(_ZEROS), len(offsets), len(_ASIDE))), np.zeros((len(_ZEROS), len(offsets))), 0
    for most, lines, least in _ROUNDS:
        best = np.argsort(-_scores(zeros).max(axis=0) - leads, kind="stable")[:most]
        offsets, leads, zeros, heard = offsets[best], leads[best], zeros[:, :, best], heard[:, best]
        while heard[_USUAL].mean() < lines and seen < min(len(starts), _FRAMES // len(best)):
            batch = starts[seen : seen - (-_BATCH // len(best))]
            more = _count(bank, windows, batch, offsets)
            zeros, heard, seen = zeros + more.zeros.sum(axis=2), heard + more.heard.sum(axis=1), seen + len(batch)
        scores = _scores(zeros)
        if scores.max() < least:
            break
    kind, at = np.unravel_index(scores.argmax(), scores.shape)
    if heard[_USUAL, at] < _FEWEST_LINES:
        return None
    if scores.max() >= least:
        return _confirmed(_count(bank, windows, starts, offsets[at : at + 1]), int(kind))
    return float(scores[kind, at]), _ratio(zeros[0, kind, at], heard[kind, at])


def _confirmed(found: _Count, kind: int) -> tuple[float, float] | None:
    """The score and zeroed ratio of an offset, over frames that differ, and not by the few that show it best.

    A click or a sudden start is its own mirror image about one of the offsets, and what repeats exactly is the same in
    every frame: such a frame has hundreds of zeros by chance, but it is one frame.
    """
    told = np.flatnonzero(found.heard[kind, :, 0] >= _FEWEST_OF_FRAME)
    if len(told) < _FEWEST_FRAMES:
        return None
    differ = told[_differ(found.power[told])]
    if len(differ) < max(_FEWEST_FRAMES, len(told) / 2):
        return None
    zeros, heard = found.zeros[:, kind, differ, 0], found.heard[kind, differ, 0]
    scores = _scores(zeros)
    agreed = scores.mean() / max(1.0, scores.std()) * np.sqrt(len(scores))
    most = np.argsort(scores)[: -(len(scores) // _EXTREME)]
    score = min(_scores(zeros.sum(axis=1)), max(agreed, _scores(zeros[:, most].sum(axis=1))))
    return float(score), _ratio(zeros[0].sum(axis=0), heard.sum())


def _differ(power: Samples) -> NDArray[np.bool_]:
    """Of frames, whether each differs from all before it, gain aside, in up to 64 lines."""
    lines = np.flatnonzero(power.mean(axis=0) > _HEARD)
    power = np.maximum(power[:, lines[:: max(1, len(lines) // 64)]], np.float32(_ROUNDING))
    differ = np.ones(len(power), np.bool_)
    for i in range(1, len(power)):
        heard = np.maximum(power[i], power[:i]) > _HEARD
        change = power[i] / power[:i] * (power[:i].sum(axis=1, keepdims=True) / power[i].sum())
        steady = np.count_nonzero((np.abs(change - 1.0) < _STEADY) & heard, axis=1)
        differ[i] = np.all(steady <= _STEADY_LINES * np.count_nonzero(heard, axis=1))
    return differ


def _scores(zeros: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how many deviations zeros, shape (3, ..., offsets aside), are more frequent than aside."""
    (on, on_squares), (off, off_squares) = zeros[1:, ..., 1], zeros[1:, ..., ::2].mean(axis=-1)
    # If the offset were like those beside it, on − off would vary by 1.5 times the mean square; few zeros tell little.
    scores: NDArray[np.float64] = (on - off) / np.sqrt(0.5 * (on_squares + 2.0 * off_squares + 3.0))
    return scores


def _ratio(zeros: NDArray[np.float64], heard: float) -> float:
    off = zeros[::2].mean()
    return float(max(0.0, zeros[1] - off) / max(1.0, heard - off))


class _Count(NamedTuple):
    zeros: NDArray[np.float64]  # counted, weighted, and their weights squared; kinds, frames, offsets, offsets aside
    heard: NDArray[np.float64]  # lines loud enough; kinds, frames, offsets
    power: Samples  # at the first offset; frames, lines


def _count(bank: _Bank, windows: Samples, starts: NDArray[np.intp], offsets: NDArray[np.intp]) -> _Count:
    """Zeros in the frames that start here, the offset added, and two samples aside."""
    tried = starts[:, None, None] + offsets[:, None] + _ASIDE
    power = np.square(bank.analyse(windows[tried.ravel()])).reshape(*tried.shape, bank.hop)
    level = (power[:, :, 0] + power[:, :, 1] + power[:, :, 2]) * np.float32(1 / 3)
    level[..., 1:-1] = (level[..., :-2] + level[..., 1:-1] + level[..., 2:]) * np.float32(1 / 3)
    level[..., : bank.hop // 32] = 0.0  # two samples aside low tones have not moved on
    zeros, lines = np.empty((3, len(_ZEROS), *tried.shape)), np.empty((len(_ZEROS), *level.shape[:2]))
    for i, zero in enumerate(_ZEROS):
        heard = level > _LOUDER * zero
        lines[i] = heard.sum(axis=2)
        at, line = np.divmod(np.flatnonzero((power < zero) & heard[:, :, None]), bank.hop)
        weights = _weights(level.reshape(-1, bank.hop)[at // len(_ASIDE), line], zero)
        for j, values in enumerate((None, weights, weights**2)):
            zeros[j, i] = np.bincount(at, values, tried.size).reshape(tried.shape)
    return _Count(zeros, lines, power[:, 0, 1])


@dataclass(frozen=True, eq=False)
class _Bank:
    codec: str
    hop: int
    length: int
    analyse: Analyse
    every: int  # of the blocks that it is searched in
    tried: int  # of the offsets found

    @cached_property
    def searched(self) -> NDArray[np.intp]:
        """Lines that the search may use, closer the lower: what is loud enough lies there."""
        roots = np.linspace(np.sqrt(self.hop / 32), np.sqrt(self.hop * 3 / 4), 64)
        return np.unique(np.square(roots).astype(np.intp))

    @cached_property
    def responses(self) -> NDArray[np.complex64]:
        """Spectra that correlate a block with these lines' basis functions."""
        impulses = self.analyse(np.eye(self.length, dtype=np.float32))[:, self.searched].T
        spectra: NDArray[np.complex64] = np.conj(scipy.fft.rfft(impulses, _BLOCK, axis=1))
        return spectra


# FFmpeg's AAC and Vorbis have the second's windows and zero little from 160 kbit/s: it needs more blocks and offsets.
_BANKS = (
    _Bank("mp3", 576, 1632, hybrid, every=2, tried=12),
    _Bank("aac", 1024, 2048, mdct(kaiser_bessel(1024)), every=1, tried=32),
    _Bank("aac", 1024, 2048, mdct(np.sin(np.pi / 2048 * (np.arange(2048) + 0.5))), every=2, tried=12),
)
