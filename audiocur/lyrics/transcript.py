"""What a recogniser heard in a clip, the same for all of them, and the columns it is written to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from audiocur.lyrics.text import compression_ratio
from audiocur.op import Column

_TIMES = (("start_s", pa.float32()), ("end_s", pa.float32()))

#: What every choice of `asr` writes.
COLUMNS = (
    Column("lyrics", pa.string(), "", "what is sung or spoken; null where nothing was heard that is to be believed"),
    Column(
        "lyrics_segments",
        pa.list_(pa.struct([*_TIMES, ("text", pa.string())])),
        "s",
        "lines of the lyrics, from the clip's start; null with lyrics",
    ),
    Column(
        "lyrics_words",
        pa.list_(
            pa.struct(
                {"word": pa.string(), "start_s": pa.float32(), "end_s": pa.float32(), "probability": pa.float32()}
            )
        ),
        "s",
        "words of the lyrics, from the clip's start; null with lyrics and where the recogniser gives no times of words",
    ),
    Column("language", pa.string(), "", "of the lyrics, ISO 639; null with them"),
    Column(
        "asr_logprob",
        pa.float32(),
        "nat",
        "mean log-probability of a token, over the windows the lyrics come from; null with them",
        "Radford et al. 2022",
    ),
    Column("asr_confidence", pa.float32(), "probability", "exp of asr_logprob, 0 to 1; null with it"),
    Column(
        "asr_no_speech_prob",
        pa.float32(),
        "probability",
        "that there is no speech, mean over the clip; null where the recogniser does not say",
        "Radford et al. 2022",
    ),
    Column(
        "asr_compression_ratio",
        pa.float32(),
        "ratio",
        "bytes of the lyrics over their bytes under zlib: high where they repeat themselves; null with lyrics",
        "Radford et al. 2022",
    ),
    Column(
        "lyrics_gated",
        pa.list_(pa.string()),
        "",
        "lines that were heard and not believed, each after the reason; null where nothing was listened for",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word with its times from the clip's start and its probability, null where the recogniser gives none."""

    word: str
    start_s: float
    end_s: float
    probability: float | None

    def later(self, by_s: float) -> Word:
        """The same word in a clip that begins so much before."""
        return replace(self, start_s=self.start_s + by_s, end_s=self.end_s + by_s)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A line as it was heard.

    Attributes:
        start_s, end_s: from the clip's start.
        text: of the line.
        logprob: mean log-probability of a token, of the window that it comes from.
        tokens: how many, so that means over segments weigh rightly.
        no_speech_prob: of its window, null where the recogniser does not say.
        compression_ratio: of its window's text.
        words: null where they were not asked for.
    """

    start_s: float
    end_s: float
    text: str
    logprob: float
    tokens: int
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """What was heard in a clip.

    Attributes:
        segments: in order.
        language: ISO 639.
        no_speech_prob: mean over the clip, null where the recogniser does not say.
    """

    segments: tuple[Segment, ...]
    language: str | None
    no_speech_prob: float | None = None


def text_of(segments: Sequence[Segment]) -> str | None:
    """The lines of a transcript as one text, None where there is none.

    >>> text_of([Segment(start_s=0, end_s=1, text=" Hey", logprob=0, tokens=1)]), text_of([])
    ('Hey', None)
    """
    return "\n".join(text for segment in segments if (text := segment.text.strip())) or None


def row(transcript: Transcript, withheld: Sequence[str | None]) -> dict[str, Any]:
    """The columns of a clip.

    Args:
        transcript: what was heard.
        withheld: of each segment, why it is not to be believed, or None.
    """
    believed = [segment for segment, reason in zip(transcript.segments, withheld, strict=True) if reason is None]
    lyrics = text_of(believed)
    tokens = sum(segment.tokens for segment in believed)
    logprob = sum(segment.logprob * segment.tokens for segment in believed) / tokens if tokens else None
    words = [word for segment in believed for word in segment.words or ()]
    with_words = any(segment.words is not None for segment in believed)
    return {
        "lyrics": lyrics,
        "lyrics_segments": [
            {"start_s": segment.start_s, "end_s": segment.end_s, "text": segment.text.strip()} for segment in believed
        ]
        or None,
        "lyrics_words": [
            {"word": word.word.strip(), "start_s": word.start_s, "end_s": word.end_s, "probability": word.probability}
            for word in words
        ]
        if with_words
        else None,
        "language": transcript.language if lyrics else None,
        "asr_logprob": logprob,
        "asr_confidence": math.exp(min(0.0, logprob)) if logprob is not None else None,
        "asr_no_speech_prob": transcript.no_speech_prob,
        "asr_compression_ratio": compression_ratio(lyrics) if lyrics else None,
        "lyrics_gated": [
            f"{reason}: {segment.text.strip()}"
            for segment, reason in zip(transcript.segments, withheld, strict=True)
            if reason is not None
        ],
    }
