"""Tempo, from the rises of energy in the shared spectrogram; `beats` and `meter` go on from here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy

from audiocur.audio import Spectrogram
from audiocur.dsp.beats import Curve, beat_frames
from audiocur.dsp.meter import bars

_LOWEST_BAND_HZ, _HIGHEST_BAND_HZ, _BANDS_PER_OCTAVE = 30.0, 16_000.0, 3
_MIDDLE_HZ = (150.0, 2000.0)  # below lie bass drum and bass, above the cymbals, which divide the beat
_COMPRESSION = 300.0  # the loudest band's power maps to log(301): strong accents count for more, faint hits still do
_FAINTEST_RISE = 1e-3  # steady tones stay below this, music lies above 1e-2
_UPSAMPLING = 4  # of the autocorrelation: peaks are three frames wide, beats need not fall on frames
_MULTIPLES = 4
_REFINING_MULTIPLES = 12
_LONGEST_LAG = 0.8  # of the clip: beyond, too few beats overlap
_CANDIDATES_PER_OCTAVE = 139  # half a percent apart
_PULSE_EXPONENT = 0.25
_PREFERRED_BPM, _PREFERENCE_OCTAVES = 120.0, 0.9
_SHORTEST_PERIOD = 3.0  # frames; of recordings sampled at less than about 1 kHz the frames are too far apart

# Which level of the metre is the beat: the log odds of a level, fitted to 300 rendered clips of twelve textures (seed
# 101 of benchmarks/rendered/music.py, at 20 and 9 s) and rounded; but for the last two, which are stronger than fitted
# (1.4 and 1.2): bare clicks must not be halved, and people's taste is narrower than those clips' even spread of tempos.
# Of 240 other clips (seed 202) 94 % come out right.
_LEVELS = (1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0)
_PER_BEAT = 3.7  # autocorrelation of the middle bands after one beat
_PER_BAR_OF_3, _PER_BAR_OF_4 = 1.8, 3.7  # of the middle and high bands after three and four
_PER_DIVISION = 5.1  # spectrum at two or three onsets a beat, whichever is stronger
_PER_GROUPING = 6.0  # spectrum at every second or third beat, whichever is stronger
_PER_REGULARITY = 2.6  # logarithm of the autocorrelation after one to four beats, of all bands
_USUAL_BPM, _PER_SQUARED_OCTAVE = 125.0, 1.8
_RECURS = 0.01  # regularity under which nothing comes again
_LEAST_REGULAR = 0.3  # of the most regular level; less and the onsets know nothing of it
_LEAST_LIKELY = 0.02  # levels less likely than this are no alternatives
_CLEAR = 0.12  # a confidence; below it beats are a guess, and bars a guess on top of it


class Tempo(NamedTuple):
    """What `tempo` found; see there."""

    bpm: float | None = None
    confidence: float | None = None
    alternatives_bpm: list[float] | None = None
    beats_s: list[float] | None = None
    downbeats_s: list[float] | None = None
    beats_per_bar: int | None = None


class Onsets(NamedTuple):
    """Onset strength frame by frame, each of shape (frames,): over all bands, and over those of three ranges."""

    whole: Curve
    low: Curve
    middle: Curve
    high: Curve


def tempo(
    spectrogram: Spectrogram,
    *,
    min_bpm: float = 40.0,
    max_bpm: float = 240.0,
    min_s: float = 4.0,
    silence_dbfs: float = -60.0,
) -> Tempo:
    """Tempo, how regular it is, the beats and the bars.

    In curation: labels rhythmic music, and by its confidence tells it from speech, rubato and ambience. One tempo is
    assumed for the clip: it is wrong across a change of tempo. Which of the levels of a metre is the beat is a matter
    of taste: half and double (in triple metres also a third or three times) the tempo a listener would tap are the
    usual errors, most of all where the bar has no accent; the alternatives name them.

    A pulse is the tempo at whose multiples the onset strength correlates best with itself, weighted with its
    spectrum there (which has no peaks at half the tempo, as the autocorrelation has) and with a preference for
    120 BPM. Of it and its multiples and fractions that level is the beat that is both divided and grouped in
    twos or threes, whose bars repeat, and that is neither slow nor fast.

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
        alternatives_bpm: other levels that may be the beat, the likeliest first; often none.
        beats_s: seconds from the clip's start, within about 10 ms of sharp onsets.
        downbeats_s: those that begin a bar; None where `beats_per_bar` is.
        beats_per_bar: 2, 3 or 4; None where the bars are not clear, see `meter.bars`. All None where undefined: a clip
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
        return Tempo()
    if level.mean() <= 10.0 ** (silence_dbfs / 10.0) or 60.0 * frame_rate_hz / max_bpm < _SHORTEST_PERIOD:
        return Tempo()
    onsets = onset_strength(spectrogram)
    if onsets.whole.std() < _FAINTEST_RISE:
        return Tempo()
    whole = _Recurrence(onsets.whole, frame_rate_hz)
    pulse_bpm = _pulse(whole, min_bpm, max_bpm)
    levels_bpm = pulse_bpm * np.array(_LEVELS)
    levels_bpm = levels_bpm[(levels_bpm >= min_bpm * 0.999) & (levels_bpm <= max_bpm * 1.001)]
    regular = whole.regularity(levels_bpm, _MULTIPLES)
    there = regular >= max(_LEAST_REGULAR * float(regular.max()), _RECURS)
    if not there.any():
        return Tempo()
    levels_bpm = levels_bpm[there]
    likelihood = _likelihood(onsets, frame_rate_hz, levels_bpm, regular[there])
    order = np.argsort(-likelihood, kind="stable")
    bpm, *others = levels_bpm[order].tolist()
    confidence = min(1.0, float(regular[there][order[0]]))
    alternatives = [other for other, i in zip(others, order[1:], strict=True) if likelihood[i] >= _LEAST_LIKELY]
    # The root counts how often something sounds, in which range ever, over how loud: else an off-beat bass drum wins.
    rises = np.sqrt(onsets.low) + np.sqrt(onsets.middle) + np.sqrt(onsets.high)
    frames = beat_frames(rises, 60.0 * frame_rate_hz / bpm)
    found = bars(spectrogram, onsets.whole, onsets.low, frames) if confidence >= _CLEAR else None
    beats_s = (frames / frame_rate_hz).tolist()
    downbeats_s = None if found is None else beats_s[found.first :: found.beats]
    return Tempo(bpm, confidence, alternatives, beats_s, downbeats_s, None if found is None else found.beats)


def onset_strength(spectrogram: Spectrogram) -> Onsets:
    """Rise of compressed power from each frame to the next, averaged over third-octave bands.

    In curation: what tempo, beats and bars are found from. It is wrong where notes begin without a rise of any band:
    legato in one register, or a slow swell.

    Args:
        spectrogram: the shared spectrogram.

    Returns:
        of all bands, of those below 150 Hz, to 2 kHz and above; without unit, independent of the clip's level. 0 where
        a window reaches over the clip's edges, since a sound that is cut there has no onset there.

    Source: Dixon, "Onset detection revisited" (2006), of spectral flux; bands and compression are our own.

    >>> from audiocur.audio import Audio
    >>> step = np.where(np.arange(44_100) < 22_050, 0.0, np.sin(np.arange(44_100))).astype(np.float32)
    >>> audio = Audio(step[None], 44_100)
    >>> float(round(onset_strength(audio.spectrogram).whole.argmax() / audio.spectrogram.frame_rate_hz, 1))
    0.5
    """
    frequencies_hz = spectrogram.frequencies_hz
    limits = _LOWEST_BAND_HZ * 2.0 ** (np.arange(32) / _BANDS_PER_OCTAVE)
    firsts = np.unique(np.searchsorted(frequencies_hz, limits[limits < min(_HIGHEST_BAND_HZ, frequencies_hz[-1])]))
    bands = np.add.reduceat(spectrogram.power.T, firsts, axis=1)
    loudest = float(bands.max(initial=0.0))
    rises = np.zeros_like(bands)
    if loudest > 0:
        level = np.log1p(bands * np.float32(_COMPRESSION / loudest))
        np.maximum(np.diff(level, axis=0), 0.0, out=rises[1:])
    clear = spectrogram.clear
    rises[: clear.start + 1] = 0.0
    rises[clear.stop :] = 0.0
    low, high = np.searchsorted(frequencies_hz[firsts], _MIDDLE_HZ)
    ranges = (rises, rises[:, :low], rises[:, low:high], rises[:, high:])
    return Onsets(*(each.sum(axis=1, dtype=np.float64) / max(1, each.shape[1]) for each in ranges))


class _Recurrence:
    """How a curve comes again: its autocorrelation and its spectrum, to be asked by tempo."""

    def __init__(self, curve: Curve, frame_rate_hz: float) -> None:
        size = scipy.fft.next_fast_len(2 * len(curve), real=True)
        spectrum = np.abs(scipy.fft.rfft(curve - curve.mean(), size))
        self.spectrum = spectrum / max(float(spectrum.max()), np.finfo(float).tiny)
        self.bin_bpm = 60.0 * frame_rate_hz / size
        self.lags = np.arange(int(_LONGEST_LAG * len(curve)) * _UPSAMPLING)
        correlation = scipy.fft.irfft(np.square(self.spectrum), size * _UPSAMPLING)[: len(self.lags)]
        energy = max(float(correlation[0]), np.finfo(float).tiny)
        self.correlation = correlation / (energy * (1.0 - self.lags / (_UPSAMPLING * len(curve))))
        self.minute = 60.0 * frame_rate_hz * _UPSAMPLING

    def after(self, beats: float, bpm: Curve) -> Curve:
        """Autocorrelation after so many beats; 0 beyond the longest lag."""
        correlation: Curve = np.interp(beats * self.minute / bpm, self.lags, self.correlation, right=0.0)
        return correlation

    def at(self, bpm: Curve) -> Curve:
        """The spectrum, 1 at its highest."""
        strength: Curve = np.interp(bpm / self.bin_bpm, np.arange(len(self.spectrum)), self.spectrum)
        return strength

    def regularity(self, bpm: Curve, multiples: int) -> Curve:
        at = np.outer(np.arange(1, multiples + 1), self.minute / bpm)
        inside = at <= self.lags[-1]
        mean: Curve = np.where(inside, np.interp(at, self.lags, self.correlation), 0.0).sum(axis=0)
        mean /= np.maximum(inside.sum(axis=0), 2)  # a period that fits only once is no repetition: it counts half
        return mean


def _pulse(whole: _Recurrence, min_bpm: float, max_bpm: float) -> float:
    """The tempo of a level of the metre, in BPM."""
    steps = int(np.log2(max_bpm / min_bpm) * _CANDIDATES_PER_OCTAVE)
    candidates = min_bpm * 2.0 ** (np.arange(steps + 1) / _CANDIDATES_PER_OCTAVE)
    preference = np.exp(-0.5 * np.square(np.log2(candidates / _PREFERRED_BPM) / _PREFERENCE_OCTAVES))
    regular = np.maximum(whole.regularity(candidates, _MULTIPLES), 0.0)
    best = candidates[np.argmax(regular * whole.at(candidates) ** _PULSE_EXPONENT * preference)]
    near = np.clip(best * np.linspace(0.985, 1.015, 121), min_bpm, max_bpm)
    return float(near[np.argmax(whole.regularity(near, _REFINING_MULTIPLES))])


def _likelihood(onsets: Onsets, frame_rate_hz: float, bpm: Curve, regular: Curve) -> Curve:
    """How likely each level is the beat; they add up to 1."""
    low, middle, high = (_Recurrence(curve, frame_rate_hz) for curve in (onsets.low, onsets.middle, onsets.high))
    divisions = (1 / 3, 1 / 2, 2, 3)
    thirds, halves, twos, threes = (sum(curve.at(n * bpm) for curve in (low, middle, high)) / 3.0 for n in divisions)
    odds = _PER_BEAT * middle.after(1, bpm)
    odds += _PER_DIVISION * np.maximum(twos, threes) + _PER_GROUPING * np.maximum(halves, thirds)
    odds += _PER_BAR_OF_3 * (middle.after(3, bpm) + high.after(3, bpm)) / 2.0
    odds += _PER_BAR_OF_4 * (middle.after(4, bpm) + high.after(4, bpm)) / 2.0
    odds += _PER_REGULARITY * np.log(regular)
    odds -= _PER_SQUARED_OCTAVE * np.square(np.log2(bpm / _USUAL_BPM))
    weight = np.exp(odds - odds.max())
    likelihood: Curve = weight / weight.sum()
    return likelihood
