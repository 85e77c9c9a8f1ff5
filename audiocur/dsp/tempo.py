"""Tempo and beats, from the rises of energy in the shared spectrogram."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from audiocur.audio import Spectrogram

Curve = NDArray[np.float64]

_LOWEST_BAND_HZ, _HIGHEST_BAND_HZ, _BANDS_PER_OCTAVE = 30.0, 16_000.0, 3
_COMPRESSION = 300.0  # the loudest band's power maps to log(301): strong accents count for more, faint hits still do
_FAINTEST_RISE = 1e-3  # steady tones stay below this, music lies above 1e-2
_UPSAMPLING = 4  # of the autocorrelation: peaks are three frames wide, beats need not fall on frames
_MULTIPLES = 4
_REFINING_MULTIPLES = 12
_LONGEST_LAG = 0.8  # of the clip: beyond, too few beats overlap
_CANDIDATES_PER_OCTAVE = 139  # half a percent apart
_PULSE_EXPONENT = 0.25
_PREFERRED_BPM, _PREFERENCE_OCTAVES = 120.0, 0.9
_TIGHTNESS = 100.0  # Ellis's; how much a beat off the steady pulse costs
_SHARPEN_FRAMES = 2
_SHORTEST_PERIOD = 3.0  # frames; of recordings sampled at less than about 1 kHz the frames are too far apart


class Tempo(NamedTuple):
    """What `tempo` found; see there."""

    bpm: float | None
    confidence: float | None
    beats_s: list[float] | None


def tempo(
    spectrogram: Spectrogram,
    *,
    min_bpm: float = 40.0,
    max_bpm: float = 240.0,
    min_s: float = 4.0,
    silence_dbfs: float = -60.0,
) -> Tempo:
    """Tempo, how regular it is, and the beats.

    In curation: labels rhythmic music, and by its confidence tells it from speech, rubato and ambience. One tempo is
    assumed for the clip: it is wrong across a change of tempo. Which of the levels of a metre is the beat is a matter
    of taste: half and double (in triple metres also a third or three times) the tempo a listener would tap are the
    usual errors, most of all where even eighth notes fill slow music.

    The pulse is the tempo at whose multiples the onset strength correlates best with itself, weighted with its
    spectrum there (which has no peaks at half the tempo, as the autocorrelation has) and with a preference for
    120 BPM. Beats are then placed by dynamic programming.

    Args:
        spectrogram: the shared spectrogram.
        min_bpm: lower end of the range of tempo.
        max_bpm: upper end.
        min_s: clips shorter than this have none.
        silence_dbfs: nor have clips under this RMS level.

    Returns:
        bpm: beats a minute, within 0.1 % for a steady pulse.
        confidence: mean autocorrelation of the onset strength at one to four beats, 0 to 1. Machine-made rhythm has
            0.5 and more, played music 0.15 to 0.6, speech and noise up to about 0.1.
        beats_s: seconds from the clip's start, within about 10 ms of sharp onsets. All None where undefined: a clip
            too short, silent, or without any onset that comes again.

    Source: Peeters, "Time variable tempo detection and beat marking" (2005), for combining autocorrelation and
    spectrum; Ellis, "Beat tracking by dynamic programming" (2007).

    >>> from audiocur.audio import Audio
    >>> clicks = np.zeros((1, 8 * 44_100), np.float32)
    >>> clicks[0, 11_025::22_050] = 1.0
    >>> found = tempo(Audio(clicks, 44_100).spectrogram)
    >>> round(found.bpm), round(found.confidence, 1), round(found.beats_s[0], 1)
    (120, 1.0, 0.2)
    """
    frame_rate_hz = spectrogram.frame_rate_hz
    level = spectrogram.mean_square[spectrogram.clear]
    if not len(level) or len(spectrogram.mean_square) < min_s * frame_rate_hz:
        return Tempo(None, None, None)
    if level.mean() <= 10.0 ** (silence_dbfs / 10.0) or 60.0 * frame_rate_hz / max_bpm < _SHORTEST_PERIOD:
        return Tempo(None, None, None)
    rises = onset_strength(spectrogram)
    if rises.std() < _FAINTEST_RISE:
        return Tempo(None, None, None)
    bpm, confidence = _pulse(rises, frame_rate_hz, min_bpm, max_bpm)
    if confidence == 0.0:
        return Tempo(None, None, None)
    beats = _beats(rises, 60.0 * frame_rate_hz / bpm)
    return Tempo(bpm, confidence, (beats / frame_rate_hz).tolist())


def onset_strength(spectrogram: Spectrogram) -> Curve:
    """Rise of compressed power from each frame to the next, averaged over third-octave bands.

    Args:
        spectrogram: the shared spectrogram.

    Returns:
        shape (frames,), without unit, independent of the clip's level. 0 where a window reaches over the clip's edges,
        since a sound that is cut there has no onset there.

    >>> from audiocur.audio import Audio
    >>> step = np.where(np.arange(44_100) < 22_050, 0.0, np.sin(np.arange(44_100))).astype(np.float32)
    >>> audio = Audio(step[None], 44_100)
    >>> float(round(onset_strength(audio.spectrogram).argmax() / audio.spectrogram.frame_rate_hz, 1))
    0.5
    """
    frequencies_hz = spectrogram.frequencies_hz
    limits = _LOWEST_BAND_HZ * 2.0 ** (np.arange(32) / _BANDS_PER_OCTAVE)
    limits = limits[limits < min(_HIGHEST_BAND_HZ, frequencies_hz[-1])]
    bands = np.add.reduceat(spectrogram.power.T, np.unique(np.searchsorted(frequencies_hz, limits)), axis=1)
    loudest = float(bands.max(initial=0.0))
    rises = np.zeros(len(bands))
    if loudest > 0:
        level = np.log1p(bands * np.float32(_COMPRESSION / loudest))
        rises[1:] = np.maximum(np.diff(level, axis=0), 0.0).mean(axis=1)
    clear = spectrogram.clear
    rises[: clear.start + 1] = 0.0
    rises[clear.stop :] = 0.0
    return rises


def _pulse(rises: Curve, frame_rate_hz: float, min_bpm: float, max_bpm: float) -> tuple[float, float]:
    """Tempo in BPM, and its confidence."""
    deviation = rises - rises.mean()
    size = scipy.fft.next_fast_len(2 * len(rises), real=True)
    spectrum = np.abs(scipy.fft.rfft(deviation, size))
    lags = np.arange(int(_LONGEST_LAG * len(rises)) * _UPSAMPLING)
    correlation = scipy.fft.irfft(np.square(spectrum), size * _UPSAMPLING)[: len(lags)]
    correlation /= correlation[0] * (1.0 - lags / (_UPSAMPLING * len(rises)))

    def regularity(bpm: Curve, multiples: int) -> Curve:
        at = np.outer(np.arange(1, multiples + 1), 60.0 * frame_rate_hz * _UPSAMPLING / bpm)
        inside = at <= lags[-1]
        mean: Curve = np.where(inside, np.interp(at, lags, correlation), 0.0).sum(axis=0)
        mean /= np.maximum(inside.sum(axis=0), 2)  # a period that fits only once is no repetition: it counts half
        return mean

    steps = int(np.log2(max_bpm / min_bpm) * _CANDIDATES_PER_OCTAVE)
    candidates = min_bpm * 2.0 ** (np.arange(steps + 1) / _CANDIDATES_PER_OCTAVE)
    pulse = np.interp(candidates, np.arange(len(spectrum)) * 60.0 * frame_rate_hz / size, spectrum)
    preference = np.exp(-0.5 * np.square(np.log2(candidates / _PREFERRED_BPM) / _PREFERENCE_OCTAVES))
    regular = np.maximum(regularity(candidates, _MULTIPLES), 0.0)
    best = candidates[np.argmax(regular * pulse**_PULSE_EXPONENT * preference)]
    near = np.clip(best * np.linspace(0.985, 1.015, 121), min_bpm, max_bpm)
    bpm = near[np.argmax(regularity(near, _REFINING_MULTIPLES))]
    return float(bpm), float(np.clip(regularity(np.array([bpm]), _MULTIPLES)[0], 0.0, 1.0))


def _beats(rises: Curve, period: float) -> Curve:
    """Frames of the beats, as fractions: the path that is best both in onset strength and in keeping the period."""
    span = int(np.ceil(period))
    strength = np.convolve(rises, np.exp(-0.5 * np.square(np.arange(-span, span + 1) * 32.0 / period)), "same")
    strength /= strength.std()
    gaps = np.arange(round(period / 2), round(2 * period) + 1)
    cost = _TIGHTNESS * np.square(np.log(gaps / period))
    score = np.zeros(gaps[-1] + len(strength))  # preceded by the widest gap, so that a path may begin anywhere
    before = np.empty(len(strength), np.intp)
    # No beat depends on one closer than the narrowest gap, so that many frames are worked through at a time.
    for start in range(0, len(strength), gaps[0]):
        at = np.arange(start, min(start + gaps[0], len(strength)))
        options = score[gaps[-1] + at[:, np.newaxis] - gaps] - cost
        choice = options.argmax(axis=1)
        score[gaps[-1] + at] = strength[at] + options[np.arange(len(at)), choice]
        before[at] = at - gaps[choice]
    beat = len(strength) - span + int(score[-span:].argmax())
    path = []
    while beat >= 0:
        path.append(beat)
        beat = int(before[beat])
    frames = np.array(path[::-1])
    strong = np.flatnonzero(strength[frames] > 0.5 * np.sqrt(np.mean(np.square(strength[frames]))))
    return np.array([_summit(strength, frame) for frame in frames[strong[0] : strong[-1] + 1]])


def _summit(strength: Curve, frame: int) -> float:
    """The nearest peak by a parabola through three frames; the frame itself where there is none near it."""
    first = max(1, frame - _SHARPEN_FRAMES)
    near = strength[first : min(frame + _SHARPEN_FRAMES + 1, len(strength) - 1)]
    peak = first + int(near.argmax())
    left, top, right = strength[peak - 1 : peak + 2]
    if not (left <= top > right or left < top >= right):
        return float(frame)
    return float(peak + 0.5 * (left - right) / (left - 2.0 * top + right))
