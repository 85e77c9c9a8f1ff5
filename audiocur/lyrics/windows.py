"""Windows of fixed length that a model hears one by one, cut where nobody sings; and the lines within a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from audiocur.audio import VOICE_RATE_HZ, Samples

_FRAME = VOICE_RATE_HZ // 50  # samples judged at a time, 20 ms


def windows(
    mono_16k: Samples, voiced: Sequence[Mapping[str, Any]] | None, *, window_s: float, search_s: float
) -> list[tuple[int, int]]:
    """Cut a clip into windows, each no longer than a model hears.

    Each cut falls in the last `search_s` of what the window may hold: in the middle of the longest pause between
    voiced intervals, or, where there is none, at the quietest 0.1 s. So windows need nothing of each other, and all
    windows of many clips go through the model at once.

    Args:
        mono_16k: the clip, shape (samples,).
        voiced: its intervals with voice, ``{"start_s", "end_s"}``; null where nobody has looked.
        window_s: the longest window, seconds.
        search_s: how much shorter it may become, seconds.

    Returns:
        Stretches [start, end) of samples, without gap or overlap; none for a clip without samples.

    >>> quiet_at_25_s = np.concatenate([np.ones(25 * 16_000), np.zeros(1600), np.ones(15 * 16_000)]).astype(np.float32)
    >>> windows(quiet_at_25_s, None, window_s=30, search_s=10)
    [(0, 400800), (400800, 641600)]
    >>> windows(quiet_at_25_s, [{"start_s": 0, "end_s": 22}, {"start_s": 28, "end_s": 40}], window_s=30, search_s=10)
    [(0, 400000), (400000, 641600)]
    """
    longest, search = round(window_s * VOICE_RATE_HZ), round(search_s * VOICE_RATE_HZ)
    found = []
    start = 0
    while len(mono_16k) - start > longest:
        first, last = start + longest - search, start + longest
        cut = _pause(voiced, first, last) if voiced else None
        if cut is None:
            cut = _quietest(mono_16k, first, last)
        found.append((start, cut))
        start = cut
    return [*found, (start, len(mono_16k))] if start < len(mono_16k) else found


def _pause(voiced: Sequence[Mapping[str, Any]], first: int, last: int) -> int | None:
    """The middle of the longest stretch without voice in [first, last], in samples; None where there is none."""
    longest, middle, free_from = 0, None, first
    for part in [*voiced, {"start_s": last / VOICE_RATE_HZ, "end_s": last / VOICE_RATE_HZ}]:
        start, end = (round(part[key] * VOICE_RATE_HZ) for key in ("start_s", "end_s"))
        if min(start, last) - free_from > longest:
            longest, middle = min(start, last) - free_from, (free_from + min(start, last)) // 2
        free_from = max(free_from, end)
    return middle


def _quietest(mono_16k: Samples, first: int, last: int) -> int:
    """The middle of the quietest 0.1 s in [first, last], in samples; of equals the latest, which fills the window."""
    frames = (last - first) // _FRAME
    if frames < 5:
        return last
    power = np.square(mono_16k[first : first + frames * _FRAME].reshape(frames, _FRAME)).mean(axis=1)
    around = np.convolve(power, np.ones(5), mode="valid")
    at = len(around) - 1 - int(around[::-1].argmin())
    return first + (2 * at + 5) * _FRAME // 2


def lines_of(
    tokens: Sequence[int], *, timestamp_begin: int, precision_s: float, window_s: float
) -> list[tuple[float, float, list[int]]]:
    """The lines of a window, parted where its tokens say two times in a row, as Whisper's own transcription does.

    There a line that is not closed is thrown away, since the next window begins where it does. Windows here need
    nothing of each other: that line goes on to the end of its window.

    Args:
        tokens: as decoded, without those before the text and the last.
        timestamp_begin: the token of 0.00 s; all from there on are times.
        precision_s: seconds from one time to the next.
        window_s: length of the audio in the window, seconds.

    Returns:
        Start and end in seconds from the window's start, and the tokens that are no times.

    >>> lines_of([1000, 7, 8, 1050, 1060, 9, 1100], timestamp_begin=1000, precision_s=0.02, window_s=4.0)
    [(0.0, 1.0, [7, 8]), (1.2, 2.0, [9])]
    >>> lines_of([1000, 7, 1050, 1060, 9], timestamp_begin=1000, precision_s=0.02, window_s=4.0)
    [(0.0, 1.0, [7]), (1.2, 4.0, [9])]
    """
    lines = []
    start, text = 0.0, list[int]()
    for timed, run in groupby(tokens, key=lambda token: token >= timestamp_begin):
        if not timed:
            text = list(run)
            continue
        times = [min(window_s, round((token - timestamp_begin) * precision_s, 3)) for token in run]
        if text:
            lines.append((start, max(start, times[0]), text))
        start, text = times[-1], []
    if text:
        lines.append((start, max(start, window_s), text))
    return lines


def stretches(
    voiced: Sequence[Mapping[str, Any]] | None, num_samples: int, *, max_gap_s: float, pad_s: float
) -> list[tuple[int, int]]:
    """The voiced stretches of a clip, joined over short gaps and widened; all of it where nobody has looked.

    Args:
        voiced: intervals with voice, ``{"start_s", "end_s"}``, in order.
        num_samples: of the clip at 16 kHz.
        max_gap_s: between intervals that are heard as one, seconds.
        pad_s: added at either side, seconds.

    Returns:
        Stretches [start, end) of samples, in order and disjoint.

    >>> stretches([{"start_s": 1, "end_s": 2}, {"start_s": 2.5, "end_s": 3}], 80_000, max_gap_s=0.5, pad_s=0.25)
    [(12000, 52000)]
    >>> stretches(None, 80_000, max_gap_s=0.5, pad_s=0.1), stretches([], 80_000, max_gap_s=0.5, pad_s=0.1)
    ([(0, 80000)], [])
    """
    if voiced is None:
        return [(0, num_samples)]
    found: list[tuple[int, int]] = []
    for part in voiced:
        start = max(0, round((part["start_s"] - pad_s) * VOICE_RATE_HZ))
        end = min(num_samples, round((part["end_s"] + pad_s) * VOICE_RATE_HZ))
        if found and start - found[-1][1] <= (max_gap_s - 2 * pad_s) * VOICE_RATE_HZ:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif found and start < found[-1][1]:
            found.append((found[-1][1], end))
        else:
            found.append((start, end))
    return [(start, end) for start, end in found if start < end]
