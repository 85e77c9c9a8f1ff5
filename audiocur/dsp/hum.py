"""Mains hum: the steady tones at 50 or 60 Hz and their harmonics that cables and old machines leave."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from audiocur.audio import Samples

_RATE_HZ = 2000  # about: harmonics lie up to 480 Hz
_PHASES = 8  # the low-pass before decimation is as long as so many of its output samples: −60 dB from 1500 Hz
_WINDOW_S = 2.0  # a Hann window that tells lines 1 Hz apart
_SHORTEST_WINDOWS = 2.0
_SHORT_WINDOW_S, _STANDING = (
    0.3,
    0.45,
)  # what a line keeps of its power at nearly all times; kicks on the beat, up to 0.4
_STEADY = 0.15  # of the windows may hold less
_HARMONICS = 8  # beyond, hum is fainter than what music leaves
_SEARCHED, _BELIEVED = 0.024, 0.011  # of the frequency: the grid keeps 0.4 %, tapes run 1 % off, a semitone is 6 %
_STEP = 0.001
_BESIDE_HZ = (3.0, 12.0)  # where the floor beside a line is taken
_CROWDED_DB = 5.0  # over nine tenths of the floor: less where machines play, whose every beat is a comb of lines
_FAINT_DB, _CLEAR_DB, _CAP_DB = 4.0, 8.0, 16.0  # noise reaches 4 dB; no line counts for more than another
_EVIDENCE_DB, _CLEAR_LINES = 40.0, 3  # noise has up to 9 dB, music without hum seldom over 30
_OTHER_RATIO = 1.5  # a dense chord has lines for both families
_CLOSE, _CLEAR_LINES_FAR = 0.005, 5  # further off only tapes are, and drones of an orchestra tuned high
_LONE_DB = 20.0
_MAINS_HZ = (50.0, 60.0)
_QUIETEST = 1e-9  # −90 dBFS


class Hum(NamedTuple):
    """What `hum` found; see there."""

    hz: float | None
    level_db: float | None


class _Family(NamedTuple):
    mains_hz: float
    hz: float
    off: float
    evidence_db: float
    over_db: NDArray[np.float64]
    power: NDArray[np.float64]
    lone_over_db: float
    lone_power: float


def hum(mono: Samples, rate_hz: int, *, min_db: float = -50.0) -> Hum:
    """Whether mains hum lies under a clip, of which grid, and how strong it is against the clip.

    In curation: finds recordings made through bad cables, valve amplifiers and old tapes. Music masks faint hum while
    it plays; from about −30 dB on it is heard in the pauses, and a model learns it.

    Hum is told from bass notes by being there all the time: the level of each harmonic is what it has in all but 15 %
    of windows of 2 s, and counts as far as it stands above what its neighbourhood has in the same way. Three harmonics
    of one frequency within 0.5 % of the grid's must stand out clearly, five within 1 % (a tape at the wrong speed), or
    the first alone by 20 dB, and they must not go away within those windows either. G1 (49 Hz) and B1 (61.7 Hz) lie
    outside these limits, and their harmonics ever more so. It is wrong about a drone of 50 or 60 Hz that stands
    throughout the clip, and about some bass drums whose pitch and beat add up to the grid (58 Hz at 128 BPM). Hum that
    music covers at every moment, or that comes and goes, is missed, and so is hum that both channels have in opposite
    polarity.

    Args:
        mono: shape (samples,), full scale 1.
        rate_hz: sampling rate.
        min_db: what lies further under the clip's level is nobody's hum.

    Returns:
        hz: 50.0 or 60.0.
        level_db: level of the harmonics that stand out, over the clip's; exact to 2 dB where they are clear, up to 6 dB
            too low where music beats with them. Both None where there is no hum, and for silence, clips of less than
            4 s and rates under 1 kHz.

    Source: our own; peaks at 50 or 60 Hz and their harmonics are the usual criterion.

    >>> t = np.arange(8 * 8000) / 8000
    >>> noise = np.random.default_rng(0).normal(0, 0.1, len(t))
    >>> buzz = sum(np.sin(2 * np.pi * 50 * k * t) for k in range(1, 9))
    >>> hz, level_db = hum((noise + 0.01 * buzz).astype(np.float32), 8000)
    >>> hz, round(level_db)
    (50.0, -15)
    """
    if rate_hz < _RATE_HZ // 2 or len(mono) < _SHORTEST_WINDOWS * _WINDOW_S * rate_hz:
        return Hum(None, None)
    mono = np.ascontiguousarray(mono)
    low = _decimated(mono, factor := max(1, round(rate_hz / _RATE_HZ)))
    mean = float(low.mean(dtype=np.float64))
    whole = float(np.dot(mono, mono)) / len(mono) - mean**2
    if whole <= _QUIETEST:
        return Hum(None, None)
    low = low - np.float32(mean)
    power, bin_hz = _steady_power(low, rate_hz / factor)
    level_db = 10.0 * np.log10(power + 1e-14)  # −140 dBFS, below what any recording holds
    families = [_family(level_db, bin_hz, mains_hz) for mains_hz in _MAINS_HZ]
    found, other = sorted(families, key=lambda family: -family.evidence_db)
    lone = max(families, key=lambda family: family.lone_over_db)
    lines = 0.0
    if found.evidence_db >= max(_EVIDENCE_DB, _OTHER_RATIO * other.evidence_db) and found.off <= _BELIEVED:
        at = np.flatnonzero(found.over_db >= _CLEAR_DB)
        at = at[_stands(low, rate_hz / factor, found.hz * (at + 1), found.power[at])]
        if len(at) >= (_CLEAR_LINES if found.off <= _CLOSE else _CLEAR_LINES_FAR):
            mains_hz, lines = found.mains_hz, float(found.power[at].sum())
    if not lines and lone.lone_over_db >= _LONE_DB:
        power_of_lone = np.array([lone.lone_power])
        if _stands(low, rate_hz / factor, np.array([lone.mains_hz]), power_of_lone).all():
            mains_hz, lines = lone.mains_hz, lone.lone_power
    if not lines:
        return Hum(None, None)
    over_clip_db = 10.0 * math.log10(lines / whole)
    return Hum(mains_hz, over_clip_db) if over_clip_db >= min_db else Hum(None, None)


def _decimated(mono: Samples, factor: int) -> Samples:
    """Every factor-th sample of the low-passed signal: one product of matrices, in place of a filter."""
    if factor == 1:
        return mono
    size = factor * _PHASES
    taps = np.sinc((np.arange(size) - (size - 1) / 2) / factor) * np.kaiser(size, 6.0)
    taps = (taps / taps.sum()).astype(np.float32)
    rows = len(mono) // factor
    parts = mono[: rows * factor].reshape(rows, factor) @ np.ascontiguousarray(taps.reshape(_PHASES, factor).T)
    length = rows - _PHASES + 1
    low: Samples = parts[:length, 0].copy()
    for phase in range(1, _PHASES):
        low += parts[phase : phase + length, phase]
    return low


def _steady_power(low: Samples, rate_hz: float) -> tuple[Samples, float]:
    """The power that each bin has at nearly all times, and the width of a bin."""
    size = scipy.fft.next_fast_len(round(_WINDOW_S * rate_hz), real=True)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(low, size)[:: size // 4]
    bin_hz = rate_hz / size
    bins = int((60.0 * _HARMONICS * (1.0 + _SEARCHED) + _BESIDE_HZ[1]) / bin_hz) + 3
    magnitude = np.abs(scipy.fft.rfft(frames * window, axis=1)[:, :bins])
    magnitude.partition(at := int(_STEADY * len(magnitude)), axis=0)
    # A sine of amplitude 1 has a mean square of 1/2, and a Hann window shows half of its size in a bin.
    power: Samples = np.square(magnitude[at]) * np.float32(2.0 / window.sum() ** 2)
    return power, bin_hz


def _stands(
    low: Samples, rate_hz: float, lines_hz: NDArray[np.floating], power: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which of these lines stand still within the long windows as well, where a note may come and go."""
    size = round(_SHORT_WINDOW_S * rate_hz)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(size), lines_hz) / rate_hz).astype(np.complex64)
    frames = np.lib.stride_tricks.sliding_window_view(low, size)[:: size // 2]
    magnitude = np.abs((frames * window) @ turns)
    magnitude.partition(at := int(_STEADY * len(magnitude)), axis=0)
    stands: NDArray[np.bool_] = np.square(magnitude[at]) * (2.0 / window.sum() ** 2) > _STANDING * power
    return stands


def _family(level_db: NDArray[np.floating], bin_hz: float, mains_hz: float) -> _Family:
    """The frequency near that of a grid whose harmonics stand out most."""
    near, far = int(_BESIDE_HZ[0] / bin_hz), int(_BESIDE_HZ[1] / bin_hz)
    beside = np.append(np.arange(-far, -near + 1), np.arange(near + 1, far + 2))
    candidates_hz = mains_hz * (1.0 + np.arange(-_SEARCHED, _SEARCHED + _STEP / 2, _STEP))
    at = (np.arange(1, _HARMONICS + 1) * candidates_hz[:, np.newaxis] / bin_hz).astype(np.intp)
    at = at[:, at.max(axis=0) + far + 1 < len(level_db)]
    peak_db = np.maximum(level_db[at], level_db[at + 1])
    floor_db = np.sort(level_db[np.maximum(at[..., np.newaxis] + beside, 2)], axis=2)
    over_db = peak_db - floor_db[..., len(beside) // 2]
    over_db[peak_db < floor_db[..., len(beside) * 9 // 10] + _CROWDED_DB] = 0.0
    evidence_db = np.clip(over_db - _FAINT_DB, 0.0, _CAP_DB).sum(axis=1)
    best = int(evidence_db.argmax())
    off = np.abs(candidates_hz / mains_hz - 1.0)
    power = 10.0 ** (peak_db.astype(np.float64) / 10.0)
    near_grid = off <= _CLOSE
    alone = peak_db[near_grid, 0].max() >= peak_db[:, 0].max()  # else it is the skirt of a line beside it
    return _Family(
        mains_hz=mains_hz,
        hz=float(candidates_hz[best]),
        off=float(off[best]),
        evidence_db=float(evidence_db[best]),
        over_db=over_db[best],
        power=power[best],
        lone_over_db=float(over_db[near_grid, 0].max()) if alone else 0.0,
        lone_power=float(power[near_grid, 0].max()),
    )
