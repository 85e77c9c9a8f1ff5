"""Edges: whether a clip begins or ends in the middle of a sound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audiocur.audio import Samples
from audiocur.dsp.levels import NOTHING, Levels

_SHORTEST_S = 0.1
_PADDING_S = 0.05  # of zeros, that decoders of lossy files put before the first sample and after the last
_ZERO = 1e-5  # −100 dBFS, less than a step of 16-bit audio
_NEAR_S = 1.0
_AT_ONCE_S, _AT_ONCE_RATIO = 0.001, 0.3  # even cut at a zero, 70 Hz gets that far; a fade of 10 ms has 0.1


class Edges(NamedTuple):
    """What `edges` found; see there."""

    abrupt_start: bool | None
    abrupt_end: bool | None


def edges(samples: Samples, levels: Levels, *, within_db: float = 20.0, silence_dbfs: float = -60.0) -> Edges:
    """Whether the first and the last sample lie within a sound, instead of before it or after it.

    In curation: says which clips were cut out of something longer. A model that is to learn how songs begin and end
    should not learn it from these; for others it is no fault, as most clips cut from music begin and end in it.

    An edge is abrupt if the 10 ms next to it are at most `within_db` quieter than the second they belong to and the
    sound is there at once: the outermost 1 ms has 0.3 of the RMS of these 10 ms, or more. Sounds that begin with the
    clip rise from zero more slowly than that, fades much more slowly. It is wrong about the hardest attacks, sticks on
    wood or synthesizers without an attack, if they were cut to begin with their first sample; about clips cut in a
    pause (not abrupt), and about cuts smoothed by a fade of some milliseconds (not abrupt, and not audible either).
    Up to 50 ms of zeros before and after are passed over.

    Args:
        samples: shape (channels, samples), full scale 1.
        levels: of the same clip.
        within_db: decibels.
        silence_dbfs: RMS level under which an edge is silent, and not abrupt.

    Returns:
        abrupt_start, abrupt_end: both None for silence and for clips of less than 0.1 s.

    Source: our own.

    >>> from audiocur.dsp.levels import levels
    >>> tone = np.cos(np.arange(44_100, dtype=np.float32))[None]
    >>> faded = tone * np.linspace(1, 0, 44_100, dtype=np.float32)
    >>> edges(tone, levels(tone, 44_100)), edges(faded, levels(faded, 44_100))
    (Edges(abrupt_start=True, abrupt_end=True), Edges(abrupt_start=True, abrupt_end=False))
    """
    rate_hz = levels.rate_hz
    if levels.num_samples < _SHORTEST_S * rate_hz or levels.channel_power.max() <= NOTHING:
        return Edges(None, None)
    near = round(_NEAR_S * rate_hz)
    return Edges(
        _abrupt(samples[:, :near], levels, within_db, silence_dbfs),
        _abrupt(samples[:, : -near - 1 : -1], levels, within_db, silence_dbfs),
    )


def _abrupt(near: Samples, levels: Levels, within_db: float, silence_dbfs: float) -> bool:
    """Whether the sound is there at once where these samples begin."""
    rate_hz = levels.rate_hz
    loud = np.abs(near[:, : max(1, round(_PADDING_S * rate_hz))]).max(axis=0) > _ZERO
    if not loud.any():
        return False
    near = near[:, loud.argmax() :] - levels.mean[:, np.newaxis].astype(np.float32)
    frame, at_once = near[:, : max(1, round(0.01 * rate_hz))], near[:, : max(1, round(_AT_ONCE_S * rate_hz))]
    level, usual, first = (np.mean(np.square(x), axis=1).max() for x in (frame, near, at_once))
    quietest = max(usual * 10.0 ** (-within_db / 10.0), 10.0 ** (silence_dbfs / 10.0))
    return bool(level >= quietest and first >= _AT_ONCE_RATIO**2 * level)
