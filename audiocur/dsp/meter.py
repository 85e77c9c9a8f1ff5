"""Bars: how many beats they have and which beat is the first, from the bass, changes of harmony and triplets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Spectrogram
from audiocur.dsp.beats import Curve

_BASS_HZ, _HARMONY_HZ = (35.0, 250.0), (100.0, 1500.0)
_FEWEST_BEATS = 8  # two bars of four

# The log odds of a bar, fitted to the clips that `tempo` was fitted to and rounded. Accents are measured in standard
# deviations over the beats, a mean over the first beats of all bars. Where the beats are right, 89 % of bars and 99 %
# of meters come out right on other seeds.
_METERS = (2, 3, 4)
_OF_METER = {2: -0.4, 3: -0.9, 4: 0.0}
_PER_HARMONY = 2.2  # change of the spectrum, from the two beats before to the two after
_PER_BASS = 1.0  # the same, of the bass
_PER_LOW_ONSET = 2.1  # the bass drum's and the bass's
_PER_TRIPLET = 12.0  # for two beats: a beat divided in three is most often 6/8; over the strength of the beat itself
_USUAL_BEATS = 32  # of a clip that these were fitted to; more beats tell more
_EVEN_LOW, _EVEN_CHANGE = 0.1, 0.005  # standard deviations, over the mean and as they are, that are no accents yet
_LEAST_LIKELY = 0.4


class Bars(NamedTuple):
    """What `bars` found.

    Attributes:
        beats: to the bar, 2, 3 or 4.
        first: index of the first beat that begins a bar.
        likelihood: 0 to 1, among all meters and places.
    """

    beats: int
    first: int
    likelihood: float


def bars(spectrogram: Spectrogram, whole: Curve, low: Curve, beats: Curve) -> Bars | None:
    """Beats to the bar, and where bars begin.

    In curation: where `segment=beat` cuts, and a label. One meter is assumed for the clip. It is wrong where the
    harmony changes before the bar does or hardly at all, where the bass drum avoids the first beat, and where the
    beats themselves lie on another level of the metre: bars are then half or twice as long. 6/8 counts two beats, of
    three eighths each; a shuffle of four beats may be taken for it. Bars of five or seven beats are not found.

    Args:
        spectrogram: the shared spectrogram.
        whole: onset strength, shape (frames,), see `tempo.onset_strength`.
        low: that of the low bands.
        beats: in frames, rising, shape (beats,), see `beats.beat_frames`.

    Returns:
        None where fewer than eight beats are known, or where no answer is nearly as likely as all the others
        together.

    Source: our own; of Klapuri, Eronen and Astola, "Analysis of the meter of acoustic musical signals" (2006), and
    Davies and Plumbley, "A spectral difference approach to downbeat extraction" (2006), it takes the cues.

    >>> from audiocur.audio import Audio
    >>> clip = np.zeros((1, 8 * 44_100), np.float32)
    >>> t = np.arange(11_025) / 44_100
    >>> for beat in range(16):
    ...     clip[0, beat * 22_050 :][:11_025] = np.sin(2 * np.pi * (60 if beat % 4 == 1 else 400) * t) * np.exp(-8 * t)
    >>> spectrogram = Audio(clip, 44_100).spectrogram
    >>> low = np.zeros(spectrogram.magnitude.shape[1])
    >>> beats = np.arange(16) * spectrogram.frame_rate_hz / 2
    >>> low[np.rint(beats[1::4]).astype(int)] = 1.0
    >>> bars(spectrogram, low, low, beats)[:2]
    (4, 1)
    """
    if len(beats) < _FEWEST_BEATS:
        return None
    at = np.clip(np.rint(beats).astype(np.intp), 1, len(whole) - 2)
    lows = _near(low)[at]
    accents = _PER_LOW_ONSET * _standardised(lows, _EVEN_LOW * float(lows.mean()))
    accents += _PER_HARMONY * _standardised(_change(spectrogram, at, _HARMONY_HZ), _EVEN_CHANGE)
    accents += _PER_BASS * _standardised(_change(spectrogram, at, _BASS_HZ), _EVEN_CHANGE)
    options = [(meter, first) for meter in _METERS for first in range(meter)]
    accents *= np.sqrt(len(beats) / _USUAL_BEATS)
    odds = np.array([_OF_METER[meter] + accents[first::meter].mean() for meter, first in options])
    odds[:2] += _PER_TRIPLET * _triplets(_near(whole), beats)
    weight = np.exp(odds - odds.max())
    best = int(weight.argmax())
    likelihood = float(weight[best] / weight.sum())
    return Bars(*options[best], likelihood) if likelihood >= _LEAST_LIKELY else None


def _near(curve: Curve) -> Curve:
    """The highest of each frame and its neighbours, for onsets a little off the beat."""
    highest = curve.copy()
    highest[1:] = np.maximum(highest[1:], curve[:-1])
    highest[:-1] = np.maximum(highest[:-1], curve[1:])
    return highest


def _standardised(accents: Curve, least: float) -> Curve:
    standardised: Curve = (accents - accents.mean()) / max(float(accents.std()), least, np.finfo(float).tiny)
    return standardised


def _change(spectrogram: Spectrogram, at: NDArray[np.intp], range_hz: tuple[float, float]) -> Curve:
    """Cosine distance of the mean spectra of two beats before and two after each beat; at the ends, the median."""
    first, end = np.searchsorted(spectrogram.frequencies_hz, range_hz)
    between = np.add.reduceat(np.sqrt(spectrogram.magnitude[first:end].T), at, axis=0)[:-1]
    between = np.pad(between, ((2, 2), (0, 0)))
    pairs = between[:-1] + between[1:]
    before, after = pairs[: len(at)], pairs[2:]
    length, product = np.einsum("bf,bf->b", pairs, pairs), np.einsum("bf,bf->b", before, after)
    change = 1.0 - product / np.sqrt(np.maximum(length[: len(at)] * length[2:], 1e-18))
    change[0] = change[-1] = np.median(change[1:-1])
    standing: Curve = change.astype(np.float64)
    return standing


def _triplets(near: Curve, beats: Curve) -> float:
    """How much more sounds at thirds of the beats than at halves, over what sounds on them."""
    steps = np.gradient(beats)
    frames = np.arange(len(near))
    on, third, half, two_thirds = (
        float(np.interp(beats + part * steps, frames, near).mean()) for part in (0.0, 1 / 3, 1 / 2, 2 / 3)
    )
    return ((third + two_thirds) / 2.0 - half) / max(on, 1e-9)
