"""Bar lines of a whole recording, window by window, and its partition into clips of whole bars."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from audiocur.audio import Audio, Samples
from audiocur.dsp.cutting import FRAME_S, STEP_FRAMES, Interval, rms
from audiocur.dsp.tempo import Tempo, tempo

WINDOW_S, OVERLAP_S = 40.0, 12.0  # long enough for a bar's accents to tell, short enough for a tempo to change
_SAME_BEAT_S, _SAME_TEMPO = 0.05, 1.06
_AS_REGULAR = 0.5  # over the confidence of another level of the same pulse
_FEWEST_SHARED = 3  # beats in the overlap of two windows
_STEADY = 1.3  # longest gap between two beats of a run over its median
_FEWEST_LINES = 3  # of a run

_SEARCH_S = (-0.05, 0.03)  # around a beat: frames of the spectrogram place it within about 20 ms
_ATTACK_S = 0.006  # compared before and after
_ATTACK_RATIO = 2.0  # of their power; less is no attack
_LEAD_S = 0.005

# What clips cost, in whole numbers so that sums are exact: leave nothing uncut; have little in clips that are not of
# whole bars; hold a multiple of the wanted number of bars; end loose clips where it is quiet; make few clips.
_UNCUT = 10**8  # a sample
_LOOSE_SECOND = 10**5
_ODD = 3 * _LOOSE_SECOND
_LOUDEST_END = 10**5
_CLIP = 10**3


@dataclass
class _Run:
    """Beats that go on from window to window, and what each window says of their bars."""

    beats_s: list[float] = field(default_factory=list)
    votes: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def bpm(self) -> float:
        return 60.0 / float(np.median(np.diff(self.beats_s)))

    def follow(self, found: Tempo, start_s: float, seam_s: float) -> None:
        beats_s = np.array(found.beats_s) + start_s
        downbeats_s = set((np.array(found.downbeats_s or []) + start_s).tolist())
        self.beats_s = [beat_s for beat_s in self.beats_s if beat_s < seam_s]
        kept = len(self.beats_s)
        self.beats_s += beats_s[beats_s >= seam_s].tolist()
        for i, beat_s in enumerate(self.beats_s[kept:], kept):
            if found.beats_per_bar and beat_s in downbeats_s:
                self.votes[found.beats_per_bar, i % found.beats_per_bar] += found.beats_per_bar

    def agrees(self, found: Tempo, start_s: float, seam_s: float) -> bool:
        mine = np.array([beat_s for beat_s in self.beats_s if beat_s >= start_s])
        theirs = np.array(found.beats_s) + start_s
        theirs = theirs[theirs <= self.beats_s[-1] + _SAME_BEAT_S]
        if min(len(mine), len(theirs)) < _FEWEST_SHARED or not mine[0] <= seam_s <= theirs[-1]:
            return False
        distance = np.abs(mine[:, np.newaxis] - theirs)
        both = np.concatenate([distance.min(axis=0), distance.min(axis=1)])
        return float(np.quantile(both, 0.8)) <= _SAME_BEAT_S

    def lines_s(self) -> list[list[float]]:
        """Its bar lines, apart where a beat is missing."""
        if not self.votes:
            return []
        meters: Counter[int] = Counter()
        for (meter, _), weight in self.votes.items():
            meters[meter] += weight
        meter = max(sorted(meters), key=meters.__getitem__)
        first = max(range(meter), key=lambda place: self.votes[meter, place])
        gaps = np.diff(self.beats_s)
        torn = np.flatnonzero(gaps > _STEADY * np.median(gaps)) + 1
        parts: list[list[float]] = [[]]
        for i in range(first, len(self.beats_s), meter):
            if parts[-1] and np.any((torn > i - meter) & (torn <= i)):
                parts.append([])
            parts[-1].append(self.beats_s[i])
        return [part for part in parts if len(part) >= _FEWEST_LINES]


def bar_lines(audio: Audio) -> list[list[int]]:
    """Where bars begin, a few ms before the attack of their first beat.

    In curation: where `segment=beat` cuts. Windows of 40 s are measured one after the other, so that the tempo may
    change along a recording; beats on which two neighbours agree make one run, whose meter and first beats all of its
    windows elect. It is wrong where `tempo` and `meter.bars` are, and where the first beat of a bar is tied over: the
    cut is then in the middle of a note, on the beat.

    Args:
        audio: of any length and with any number of channels.

    Returns:
        Runs of bar lines in samples, rising, a bar from one line to the next; a run ends where the pulse is lost or
        jumps. Empty without a clear pulse.

    Source: our own, over `tempo.tempo` and `meter.bars`.

    >>> clip = np.zeros((1, 12 * 8000), np.float32)
    >>> t = np.arange(2000) / 8000
    >>> for beat in range(24):
    ...     hit = np.sin(2 * np.pi * (60 if beat % 4 == 1 else 400) * t) * np.exp(-8 * t)
    ...     clip[0, 1000 + beat * 4000 :][:2000] = hit
    >>> [[round(line / 8000, 1) for line in run] for run in bar_lines(Audio(clip, 8000))]
    [[0.6, 2.6, 4.6, 6.6, 8.6, 10.6]]
    """
    runs: list[_Run] = []
    step_s = WINDOW_S - OVERLAP_S
    for index in range(max(1, math.ceil((audio.duration_s - OVERLAP_S) / step_s))):
        start_s = index * step_s
        start = round(start_s * audio.rate_hz)
        spectrogram = audio.slice(start, start + round(WINDOW_S * audio.rate_hz)).spectrogram
        found = tempo(spectrogram)
        if not found.beats_s:
            continue
        seam_s = start_s + OVERLAP_S / 2.0
        if runs and not runs[-1].agrees(found, start_s, seam_s):
            # The same pulse may have been heard on another level: once more, at the tempo so far.
            bpm = runs[-1].bpm
            there = tempo(spectrogram, min_bpm=bpm / _SAME_TEMPO, max_bpm=bpm * _SAME_TEMPO)
            as_regular = (there.confidence or 0.0) >= _AS_REGULAR * (found.confidence or 0.0)
            if there.beats_s and as_regular and runs[-1].agrees(there, start_s, seam_s):
                found = there
            else:  # the older run has the overlap
                seam_s = max(start_s, runs[-1].beats_s[-1] + _SAME_BEAT_S)
                runs.append(_Run())
        elif not runs:
            seam_s = start_s
            runs.append(_Run())
        runs[-1].follow(found, start_s, seam_s)
        if len(runs[-1].beats_s) < 2:
            runs.pop()
    lines = [[before_attack(audio.samples, audio.rate_hz, at_s) for at_s in part] for r in runs for part in r.lines_s()]
    return [sorted(set(run)) for run in lines]


def before_attack(samples: Samples, rate_hz: int, beat_s: float) -> int:
    """The sample 5 ms before the attack that a beat is about: before the transient, and not through it.

    In curation: the exact place of a cut on a beat. It is wrong where a stronger attack lies within 50 ms before or
    30 ms after: a flam, or a grace note.

    Args:
        samples: shape (channels, samples).
        rate_hz: sampling rate.
        beat_s: time of the beat, in seconds.

    Returns:
        sample, 0 to the number of samples; 5 ms before the beat itself where nothing rises by 3 dB within 6 ms.

    Source: our own.

    >>> click = np.zeros((2, 1000), np.float32)
    >>> click[:, 500:] = 0.5
    >>> before_attack(click, 1000, 0.51)
    495
    """
    step = max(1, round(0.001 * rate_hz))
    span = max(1, round(_ATTACK_S * rate_hz / step))
    first = max(0, round((beat_s + _SEARCH_S[0] - _ATTACK_S) * rate_hz))
    end = min(samples.shape[1], round((beat_s + _SEARCH_S[1] + _ATTACK_S) * rate_hz))
    near = samples[:, first : first + (end - first) // step * step] if end > first else samples[:, :0]
    power = np.square(near.reshape(len(near), -1, step), dtype=np.float64).sum(axis=(0, 2))
    at = round(beat_s * rate_hz)
    if len(power) > 2 * span:
        energy = np.concatenate([[0.0], np.cumsum(power)])
        before, after = energy[span:-span] - energy[: -2 * span], energy[2 * span :] - energy[span:-span]
        rise = after - _ATTACK_RATIO * before
        if rise.max() > 0.0:
            at = first + (span + int(rise.argmax())) * step
    return int(min(max(0, at - round(_LEAD_S * rate_hz)), samples.shape[1]))


def bar_clips(
    samples: Samples, rate_hz: int, runs: Sequence[Sequence[int]], *, min_s: float, max_s: float, bars: int
) -> list[Interval]:
    """The partition of a recording into clips of whole bars, and into clips that end at quiet points where it has none.

    In curation: decides what every training example begins and ends with. Nothing is left out of a recording that can
    be tiled: what lies before the first bar line, after the last or between two runs is part of a clip of its own or
    together with bars next to it, and that clip alone does not hold whole bars only.

    Args:
        samples: shape (channels, samples).
        rate_hz: sampling rate.
        runs: bar lines in samples, as from `bar_lines`.
        min_s: shortest clip.
        max_s: longest clip, at least twice `min_s`.
        bars: a clip holds a multiple of this many, where lengths allow.

    Returns:
        Clips [start, end) in samples, disjoint and in order. Of equally good partitions that with fewer clips.

    >>> hum = np.ones((1, 30_000), np.float32)
    >>> bar_clips(hum, 1000, [list(range(2000, 27_000, 2000))], min_s=5, max_s=20, bars=4)
    [(0, 6000), (6000, 22000), (22000, 30000)]
    """
    num_samples = samples.shape[1]
    shortest, longest = math.ceil(round(min_s * rate_hz, 6)), math.floor(round(max_s * rate_hz, 6))
    at, run, number, loud = _places(samples, rate_hz, runs, longest)
    total = 0
    best = np.zeros(len(at), np.int64)
    start_of = np.full(len(at), -1)
    firsts = np.searchsorted(at, at - longest, side="left")
    stops = np.searchsorted(at, at - shortest, side="right")
    for i in range(1, len(at)):
        total = int(best[i - 1]) + int(at[i] - at[i - 1]) * _UNCUT
        if firsts[i] < stops[i]:
            begin = slice(firsts[i], stops[i])
            whole = (run[begin] == run[i]) & (run[i] >= 0)
            odd = (number[i] - number[begin]) % bars != 0
            loose = (at[i] - at[begin]) * _LOOSE_SECOND // rate_hz
            cost = best[begin] + _CLIP + np.where(whole, odd * _ODD, loose) + loud[begin] + loud[i]
            j = int(cost.argmin())
            if cost[j] <= total:
                total, start_of[i] = int(cost[j]), firsts[i] + j
        best[i] = total
    clips: list[Interval] = []
    i = len(at) - 1 if num_samples else 0
    while i > 0:
        if (j := int(start_of[i])) >= 0:
            clips.append((int(at[j]), int(at[i])))
            i = j
        else:
            i -= 1
    return clips[::-1]


def _places(
    samples: Samples, rate_hz: int, runs: Sequence[Sequence[int]], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where clips may begin or end: sample, run (−1: none), number of the bar in it, and cost of its loudness."""
    num_samples = samples.shape[1]
    places = {line: (index, number, 0) for index, run in enumerate(runs) for number, line in enumerate(run)}
    frame = max(1, round(FRAME_S * rate_hz))
    amplitude = rms(samples, frame)
    centres = np.arange(num_samples // frame) * frame + frame // 2
    loudness = np.round(np.minimum(amplitude[: len(centres)], 1.0) * _LOUDEST_END).astype(np.int64)
    for run in runs:  # within a run only its lines
        loudness[(centres >= run[0]) & (centres <= run[-1])] = -1
    for group in range(0, len(centres), STEP_FRAMES):
        free = np.flatnonzero(loudness[group : group + STEP_FRAMES] >= 0)
        if len(free):
            i = group + int(free[loudness[group + free].argmin()])
            places.setdefault(int(centres[i]), (-1, 0, int(loudness[i])))
    parts = -(-num_samples // longest)  # points of equal division keep a partition possible
    for part in range(1, parts):
        places.setdefault(part * num_samples // parts, (-1, 0, 2 * _LOUDEST_END))
    for end in (0, num_samples):
        places.setdefault(end, (-1, 0, 0))
    table = np.array([(at, *rest) for at, rest in sorted(places.items())], np.int64)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]
