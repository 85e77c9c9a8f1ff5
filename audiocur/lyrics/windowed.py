"""Transcripts of many clips by a model that hears windows: all windows in batches, put together again by clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiocur.audio import VOICE_RATE_HZ
from audiocur.lyrics.text import compression_ratio
from audiocur.lyrics.transcript import Segment, Transcript, Word

#: A window by its clip's place in the batch and its own in the clip.
Window = tuple[int, int]
#: Start and end of a window in its clip, in samples at 16 kHz.
Cut = tuple[int, int]
Voiced = Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a window, with times from the window's start; `tokens` says how many it has."""

    start_s: float
    end_s: float
    text: str
    tokens: int
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a model heard in a window: mean log-probability of its tokens, and that there is no speech."""

    lines: tuple[Line, ...]
    language: str
    logprob: float
    no_speech_prob: float


#: Hears windows: which, in which language (null: to be heard), and the row whose language each takes if it is heard.
Recogniser = Callable[[Sequence[Window], Sequence[str | None], Sequence[int]], Sequence[Heard]]


def transcripts(
    cuts: Sequence[Sequence[Cut]],
    voiced: Sequence[Voiced],
    recognise: Recogniser,
    *,
    language: str | None,
    batch_windows: int,
) -> list[Transcript]:
    """What is heard in each clip.

    The window with the most voice is the first of each clip's, and the clip has its language: a song that begins with
    an instrument is not taken for whatever language noise resembles.

    Args:
        cuts: the windows of each clip.
        voiced: of each clip, its intervals with voice, null where nobody has looked.
        recognise: called with at most `batch_windows` windows.
        language: of all clips, null where it is to be heard.
        batch_windows: how many go through the model at once.
    """
    order: list[Window] = [
        (clip, int(window))
        for clip, cut in enumerate(cuts)
        for window in np.argsort([-_voice_s(part, voiced[clip]) for part in cut], kind="stable")
    ]
    languages: list[str | None] = [language] * len(cuts)
    heard: dict[Window, Heard] = {}
    for first in range(0, len(order), batch_windows):
        batch = order[first : first + batch_windows]
        owners = [clip for clip, _ in batch]
        found = recognise(batch, [languages[clip] for clip in owners], [owners.index(clip) for clip in owners])
        for window, result in zip(batch, found, strict=True):
            heard[window] = result
            languages[window[0]] = result.language
    return [
        _together([heard[clip, window] for window in range(len(cut))], cut, languages[clip])
        for clip, cut in enumerate(cuts)
    ]


def _together(windows: Sequence[Heard], cuts: Sequence[Cut], language: str | None) -> Transcript:
    segments = []
    for window, (start, _) in zip(windows, cuts, strict=True):
        start_s = start / VOICE_RATE_HZ
        ratio = compression_ratio("".join(line.text for line in window.lines).strip())
        segments += [
            Segment(
                start_s=start_s + line.start_s,
                end_s=start_s + line.end_s,
                text=line.text,
                logprob=window.logprob,
                tokens=line.tokens,
                no_speech_prob=window.no_speech_prob,
                compression_ratio=ratio,
                words=None if line.words is None else tuple(word.later(start_s) for word in line.words),
            )
            for line in window.lines
        ]
    lengths = [end - start for start, end in cuts]
    silence = sum(window.no_speech_prob * length for window, length in zip(windows, lengths, strict=True))
    return Transcript(
        segments=tuple(segments), language=language, no_speech_prob=silence / sum(lengths) if lengths else None
    )


def _voice_s(cut: Cut, voiced: Voiced) -> float:
    start_s, end_s = (at / VOICE_RATE_HZ for at in cut)
    return float(sum(max(0.0, min(end_s, part["end_s"]) - max(start_s, part["start_s"])) for part in voiced or ()))
