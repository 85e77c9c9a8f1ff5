"""The filter banks that lossy codecs code music in: MP3's hybrid one, and the MDCT of AAC and Vorbis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

from audiocur.audio import Samples

Analyse = Callable[[Samples], Samples]  # frames to lines, both (n, some length)


def mdct(window: NDArray[np.float64]) -> Analyse:
    """The modified discrete cosine transform with this window, as AAC and Vorbis code music.

    Args:
        window: shape (2 × lines,), of a length that 4 divides; where its squares and those half a window on add up to
            1, frames half a window apart hold a signal exactly.

    Returns:
        A function of frames, shape (n, 2 × lines), that gives lines, shape (n, lines), of unit norm.

    Source: ISO/IEC 13818-7; by way of a DCT-IV of the folded frame, as Duhamel, Mahieux and Petit, A fast
    algorithm for the implementation of filter banks based on time domain aliasing cancellation (ICASSP 1991).

    >>> analyse = mdct(np.sin(np.pi / 8 * (np.arange(8) + 0.5)))
    >>> np.abs(analyse(np.ones((1, 8), np.float32))).round(2)
    array([[2., 0., 0., 0.]], dtype=float32)
    """
    n, scaled = len(window) // 4, window.astype(np.float32)

    def analyse(frames: Samples) -> Samples:
        a, b, c, d = np.split(frames * scaled, 4, axis=1)
        folded = np.empty((len(frames), 2 * n), np.float32)
        np.subtract(-c[:, ::-1], d, out=folded[:, :n])
        np.subtract(a, b[:, ::-1], out=folded[:, n:])
        lines: Samples = scipy.fft.dct(folded, type=4, axis=1, norm="ortho")
        return lines

    return analyse


def kaiser_bessel(n: int) -> NDArray[np.float64]:
    """AAC's other window, alpha 4; Vorbis's differs little from it.

    Args:
        n: half its length.

    Returns:
        Shape (2 × n,), symmetric; its squares and those n samples on add up to 1.

    Source: ISO/IEC 13818-7.

    >>> kaiser_bessel(4).round(3)
    array([0.005, 0.378, 0.926, 1.   , 1.   , 0.926, 0.378, 0.005])
    """
    total = np.cumsum(np.kaiser(n + 1, 4.0 * np.pi))
    window: NDArray[np.float64] = np.sqrt(np.append(total[:n], total[:n][::-1]) / total[n])
    return window


def hybrid(frames: Samples) -> Samples:
    """MP3's filter bank: 32 bands, an MDCT over 36 samples of each, and the butterflies that mend its aliasing.

    Args:
        frames: shape (n, 1632), all that a frame of 576 lines hears.

    Returns:
        Shape (n, 576), the lines of long blocks, of unit norm.

    Source: ISO/IEC 11172-3, annex C.

    >>> cosine = np.cos(np.pi * 100.5 / 576 * np.arange(1632))
    >>> int(np.abs(hybrid(cosine[np.newaxis].astype(np.float32))).argmax())
    100
    """
    slots = np.lib.stride_tricks.sliding_window_view(frames, 512, axis=1)[:, ::32]
    folded = np.einsum("nstk,tk->nsk", slots.reshape(len(frames), -1, 8, 64), _TAPS)
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
