"""Pictures of sound: a spectrogram as PNG, a waveform as an SVG path; no figure is drawn, so they cost milliseconds."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from audiocur.audio import Audio

#: Length of a window: between the 93 ms that tell low notes apart and the 20 ms that show a click.
_WINDOW_S = 0.046
#: From black to the loudest point of the picture.
RANGE_DB = 80.0
#: A picture of which nothing reaches this is that of silence, and is not made brighter.
_QUIETEST_TOP_DBFS = -60.0
#: Steps of brightness: more cannot be told apart, and make the file larger.
_LEVELS = 64
_BLOCK_FRAMES = 64


def spectrogram_png(audio: Audio, *, width_px: int = 640, height_px: int = 128) -> bytes:
    r"""A spectrogram over a mel scale, from 0 Hz at the bottom to half the sampling rate at the top, in decibels.

    Power is the mean of the channels', so what two channels cancel is seen. The loudest point is bright, `RANGE_DB`
    below it is black; the colours are read alike by the colour-blind. Takes about 10 ms for 10 s in stereo.

    Args:
        audio: at least one sample.
        width_px: of the picture; time runs evenly over the whole of it.
        height_px: of the picture.

    Returns:
        A PNG.

    >>> tone = np.sin(np.arange(44_100, dtype=np.float32))[None]
    >>> spectrogram_png(Audio(tone, 44_100))[:4]
    b'\x89PNG'
    """
    from PIL import Image

    power_db = _mel_power_db(audio, width_px, height_px)
    top = max(float(power_db.max()), _QUIETEST_TOP_DBFS)
    share = np.clip((power_db - top) / RANGE_DB + 1.0, 0.0, 1.0)
    levels = np.rint(share[::-1] * (_LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return file.getvalue()


def frequency_marks(rate_hz: int) -> list[tuple[str, float]]:
    """Round frequencies and how far up the picture they stand, 0 to 1.

    >>> [(label, round(share, 2)) for label, share in frequency_marks(44_100)]
    [('200 Hz', 0.07), ('1 kHz', 0.25), ('5 kHz', 0.6), ('16 kHz', 0.91)]
    """
    names = {200: "200 Hz", 1000: "1 kHz", 5000: "5 kHz", 16_000: "16 kHz"}
    top = _mel(rate_hz / 2)
    return [(name, float(_mel(hz) / top)) for hz, name in names.items() if hz < rate_hz / 2 * 0.95]


def envelope(audio: Audio, columns: int) -> NDArray[np.float32]:
    """Least and greatest sample of any channel in each of so many stretches of equal length, shape (2, columns)."""
    edges = np.minimum(np.arange(columns) * audio.num_samples // columns, audio.num_samples - 1)
    low = np.minimum.reduceat(audio.samples, edges, axis=1).min(axis=0)
    high = np.maximum.reduceat(audio.samples, edges, axis=1).max(axis=0)
    found: NDArray[np.float32] = np.stack([low, high])
    return found


def waveform_path(audio: Audio, *, width: int = 640, height: int = 64) -> str:
    """The outline of a waveform, for the ``d`` of an SVG path in a box of that size; full scale fills its height.

    >>> waveform_path(Audio(np.array([[0, 1, -1, 0]], np.float32), 4), width=2, height=10)
    'M0 0.0L1 5.0L1 10.0L0 5.0Z'
    """
    low, high = (1 - np.clip(envelope(audio, width), -1, 1)) * (height / 2)
    over = [f"{x} {y:.1f}" for x, y in enumerate(high)]
    under = [f"{x} {y:.1f}" for x, y in enumerate(low)]
    return f"M{'L'.join([*over, *reversed(under)])}Z"


def _mel_power_db(audio: Audio, columns: int, rows: int) -> NDArray[np.float32]:
    """Power in decibels re a full-scale sine, shape (rows, columns), low frequencies first."""
    n_fft = int(2 ** np.clip(round(np.log2(_WINDOW_S * audio.rate_hz)), 6, 14))
    step = audio.num_samples / columns
    # Of long audio each column is the loudest of several windows, half over each other, so that no click is missed.
    windows = max(1, int(np.ceil(2 * step / n_fft)))
    starts = np.rint((np.arange(columns * windows) + 0.5) * (step / windows)).astype(np.int64)
    hann = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    hann *= np.float32(2.0 / hann.sum())
    mel = _mel_matrix(audio.rate_hz, n_fft, rows)
    found = np.zeros((rows, len(starts)), np.float32)
    for channel in audio.samples:
        padded = np.pad(channel, n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)
        for at in range(0, len(starts), _BLOCK_FRAMES):
            spectrum = scipy.fft.rfft(frames[starts[at : at + _BLOCK_FRAMES]] * hann, axis=-1)
            found[:, at : at + _BLOCK_FRAMES] += mel @ (spectrum.real**2 + spectrum.imag**2).T
    power = found.reshape(rows, columns, windows).max(axis=2) / audio.channels
    decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, np.float32(1e-14)))
    return decibels


@lru_cache(maxsize=8)
def _mel_matrix(rate_hz: int, n_fft: int, rows: int) -> scipy.sparse.csr_matrix:
    """From power of bins to that of rows: triangles on the mel scale, never narrower than a bin."""
    edges_hz = _hertz(np.linspace(0.0, _mel(rate_hz / 2), rows + 2))
    bins_hz = np.linspace(0.0, rate_hz / 2, n_fft // 2 + 1)
    half_hz = np.maximum((edges_hz[2:] - edges_hz[:-2]) / 2, rate_hz / n_fft)
    weights = np.maximum(0.0, 1.0 - np.abs(bins_hz[None] - edges_hz[1:-1, None]) / half_hz[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    return scipy.sparse.csr_matrix(weights.astype(np.float32))


def _mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return found


@lru_cache(maxsize=1)
def _palette() -> bytes:
    import matplotlib as mpl

    colours = mpl.colormaps["magma"](np.linspace(0.0, 1.0, _LEVELS), bytes=True)
    return bytes(colours[:, :3].tobytes())
