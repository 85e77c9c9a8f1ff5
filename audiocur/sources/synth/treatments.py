"""What may happen to a recording: the demo library's songs, well made, are spoilt here one way at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import soxr

from audiocur.audio import Samples

#: From samples (channels, samples) and their rate to what the file will hold.
Treatment = Callable[[Samples, int], Samples]

SPEECH = Path(__file__).parent.parent / "data" / "speech.flac"
#: What is said there, and when, in seconds.
SENTENCES = (
    (0.05, 3.29, "People have been making music for a very long time."),
    (3.69, 7.95, "Tonight we are going to play some of the best songs from this country."),
)
#: When they begin over a song, and its level behind them: seconds, dB.
FIRST_WORD_S = 3.0
_DUCKING = ((2.2, 2.8, 11.0, 11.6), (0.0, -26.0, -26.0, 0.0))


def stereo(samples: Samples, rate_hz: int) -> Samples:
    """Nothing is wrong with it."""
    return samples


def mono(samples: Samples, rate_hz: int) -> Samples:
    """One channel."""
    return np.asarray(samples.mean(axis=0, keepdims=True))


def dual_mono(samples: Samples, rate_hz: int) -> Samples:
    """One channel, twice."""
    return np.repeat(mono(samples, rate_hz), 2, axis=0)


def quiet(samples: Samples, rate_hz: int) -> Samples:
    """40 dB down: about -55 LUFS."""
    return samples * np.float32(0.01)


def clipped(samples: Samples, rate_hz: int) -> Samples:
    """12 dB too hot for full scale."""
    return np.asarray(np.clip(samples * np.float32(4.0), -1.0, 1.0))


def low_passed(samples: Samples, rate_hz: int) -> Samples:
    """Nothing above 4 kHz, as from an old radio."""
    taps = scipy.signal.firwin(1023, 4000, window=("kaiser", 9.0), fs=rate_hz).astype(np.float32)
    return np.asarray(scipy.signal.oaconvolve(samples, taps[None], mode="same", axes=-1), np.float32)


def dc_offset(samples: Samples, rate_hz: int) -> Samples:
    """The zero line lies at 0.12."""
    return samples * np.float32(0.8) + np.float32(0.12)


def silent(samples: Samples, rate_hz: int) -> Samples:
    """Zeros and nothing else."""
    return np.zeros_like(samples)


def speech(rate_hz: int) -> Samples:
    """The spoken words, shape (samples,)."""
    words, found_hz = soundfile.read(SPEECH, dtype="float32")
    return np.asarray(soxr.resample(words, found_hz, rate_hz))


def announced(samples: Samples, rate_hz: int) -> Samples:
    """The words over a song that has just begun and stands back until they are over."""
    levels_db = np.interp(np.arange(samples.shape[1]) / rate_hz, *_DUCKING)
    ducked = samples * (10 ** (levels_db / 20)).astype(np.float32)
    first, words = round(FIRST_WORD_S * rate_hz), speech(rate_hz)
    ducked[:, first : first + words.size] += words
    return np.asarray(np.clip(ducked, -1.0, 1.0))
