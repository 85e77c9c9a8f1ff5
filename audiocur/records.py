"""The things a run is about: sources, spans and clips, and what became of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray

from audiocur.audio import Audio
from audiocur.errors import RowError
from audiocur.usage import Usage

#: `Clip.gate` of a clip that was rejected after the last op.
AT_THE_END = "end"
#: The rule, which no recipe may have, of clips that were taken out of the shards on demand; they never come back.
WITHDRAWN = "withdrawn"
#: What a source's tags may say, each text or null.
TAGS = ("title", "artist", "album", "genre", "license")


class Verdict(StrEnum):
    """What became of a span or a clip."""

    DONE = "done"  # a span that was worked through
    KEPT = "kept"
    REJECTED = "rejected"  # a keep rule said so
    FAILED = "failed"  # an error did


def source_id(uri: bytes) -> str:
    """The identity of a source: 16 hex digits of the SHA-256 of its URI.

    >>> source_id(b"album/01 intro.flac")
    '9432f358ed19ce55'
    """
    return hashlib.sha256(uri).hexdigest()[:16]


def clip_id(source_id: str, start_sample: int, end_sample: int) -> str:
    """The identity of a clip: 24 hex digits of the SHA-256 of its source and its bounds.

    >>> clip_id("9432f358ed19ce55", 0, 441_000)
    'ec07dbd61bdf6a9eb9097ca1'
    """
    return hashlib.sha256(f"{source_id}:{start_sample}:{end_sample}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    r"""One input recording.

    Attributes:
        source_id: hash of the URI as the listing gave it, see `source_id`.
        uri: the same URI as text: relative to the folder or manifest, or absolute. Bytes of a file name that are no
            UTF-8 appear as ``\xNN``.
        path: what to open: a local path as the file system's bytes, or a URL.
        size: bytes, null where it could not be told.
        mtime_ns: time of last change in ns since 1970, null where it could not be told or `etag` says more.
        etag: what an object store gives each version of an object.
        problem: why it cannot be opened, where the listing already knows (a symbolic-link loop, say).
        meta: further columns of a manifest, by column name without the prefix ``meta_``.
    """

    source_id: str
    uri: str
    path: bytes
    size: int | None = None
    mtime_ns: int | None = None
    etag: str | None = None
    problem: str | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    license: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """What must not be torn over two splits: the artist, else the album, else the source itself."""
        return self.artist or self.album or self.source_id


@dataclass(frozen=True, slots=True)
class Stored:
    """A clip's audio as the training set will hold it.

    Attributes:
        data: the encoded bytes.
        extension: file-name extension without the dot, "flac".
        rate_hz, channels, num_samples: of the encoded audio.
    """

    data: bytes
    extension: str
    rate_hz: int
    channels: int
    num_samples: int


@dataclass(slots=True, kw_only=True)
class Clip:
    """A stretch of a source that may become a training example.

    Attributes:
        clip_id: see `clip_id`.
        start_sample, end_sample: bounds in the source, in samples of the source's own rate, end exclusive.
        rate_hz: the source's rate.
        measures: every column written so far.
        features: what a model op hands to a later one, by name; never stored.
        stored: the encoded audio, null before `encode` and for clips rejected before it.
        verdict: null while it is open.
        rule, rules: the first keep rule broken, and all of them.
        gate: the op before which they were, `AT_THE_END` where none followed.
        reason: for a person: column, value and bound, or the error.
        op: which op failed.
        unexpected: an error that is a bug, not a property of the recording.
    """

    clip_id: str
    start_sample: int
    end_sample: int
    rate_hz: int
    measures: dict[str, Any] = field(default_factory=dict)
    features: dict[str, NDArray[Any]] = field(default_factory=dict)
    stored: Stored | None = None
    verdict: Verdict | None = None
    rule: str | None = None
    rules: list[str] = field(default_factory=list)
    gate: str | None = None
    reason: str | None = None
    op: str | None = None
    unexpected: bool = False
    _audio: Audio | None = None

    @property
    def start_s(self) -> float:
        """Start in the source, seconds."""
        return self.start_sample / self.rate_hz

    @property
    def end_s(self) -> float:
        """End in the source, seconds, exclusive."""
        return self.end_sample / self.rate_hz

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.end_sample - self.start_sample) / self.rate_hz

    @property
    def audio(self) -> Audio:
        """What ops hear: the source's samples before `encode`, the stored bytes decoded after it."""
        if self._audio is None:
            if self.stored is None:
                raise RuntimeError(f"clip {self.clip_id} has no audio any more")
            from audiocur.encoding import decode_bytes  # only ops after `encode` need a codec here

            self._audio = decode_bytes(self.stored.data)
        return self._audio

    def store(self, stored: Stored) -> None:
        """Take the encoded audio; from here on ops hear it instead of the source's samples."""
        self.stored = stored
        self._audio = None

    def release(self) -> None:
        """Let go of decoded samples and their views; the stored bytes stay."""
        self._audio = None

    def fail(self, op: str, reason: str, *, unexpected: bool = False) -> None:
        """Close the clip with verdict `failed`."""
        self.verdict, self.op, self.reason, self.unexpected = Verdict.FAILED, op, reason, unexpected
        self.stored = None


@dataclass(slots=True, kw_only=True)
class Span:
    """The unit of work, retry and resume: a bounded stretch of one source, and what was found in it.

    Known when it is planned:
        source, index, split: `index` counts the spans of a source from 0. Where a span begins follows from the index
        and the header alone, so nobody needs to open a file to plan its first span.

    Found by `decode`:
        rate_hz, channels: as found in the header.
        start_sample: first sample in the source.
        num_samples: decoded samples, 0 where the span lies wholly past the end.
        expected_spans: how many spans the header promises, at least 1.
        last: this span reaches the true end of the audio.
        gain_db: what was taken off so that nothing exceeds full scale; 0 mostly.
        content_sha256: of the whole file, for span 0.
        audio: the samples, let go once the last op that hears them is done.

    Found by span ops:
        annotations: what they have to say of the span, by column name; times in seconds from the span's start.
        clips: the clips cut from it, in order.
        tried: how often each op was called on it and its clips.
        spent_s: seconds that each op took on it and its clips; those of models stand in `usage`.
        usage: what models did in the batches that began with a clip of this span.
        examples: by op, one of the errors that left nulls behind.

    The verdict of a span is `done` or `failed`; a failed span has no clips.
    """

    source: Source
    index: int = 0
    split: str = "train"
    rate_hz: int | None = None
    channels: int | None = None
    start_sample: int = 0
    num_samples: int = 0
    expected_spans: int = 1
    last: bool = False
    gain_db: float = 0.0
    content_sha256: str | None = None
    audio: Audio | None = None
    annotations: dict[str, Any] = field(default_factory=dict)
    clips: list[Clip] = field(default_factory=list)
    verdict: Verdict = Verdict.DONE
    reason: str | None = None
    op: str | None = None
    unexpected: bool = False
    tried: Counter[str] = field(default_factory=Counter)
    spent_s: dict[str, float] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def span_id(self) -> str:
        """Identity of the span: its source and its index."""
        return span_id(self.source.source_id, self.index)

    @property
    def duration_s(self) -> float:
        """Seconds of audio in the span."""
        return self.num_samples / self.rate_hz if self.rate_hz else 0.0

    @property
    def uncut_s(self) -> float:
        """Seconds of the span that lie in no clip (overlapping clips count once)."""
        if not self.rate_hz:
            return 0.0
        covered, reached = 0, self.start_sample
        for start, end in sorted((clip.start_sample, clip.end_sample) for clip in self.clips):
            covered += max(0, end - max(start, reached))
            reached = max(reached, end)
        return (self.num_samples - covered) / self.rate_hz

    def require_audio(self) -> Audio:
        """The span's audio, for ops that cannot do without."""
        if self.audio is None:
            raise RowError("the span holds no audio")
        return self.audio

    def cut(self, start_sample: int, end_sample: int) -> Clip:
        """Add the clip [start_sample, end_sample), counted from the span's own start, and return it."""
        if not 0 <= start_sample < end_sample <= self.num_samples:
            raise ValueError(f"a clip must lie within its span: [{start_sample}, {end_sample}) of {self.num_samples}")
        audio = self.require_audio()
        start, end = self.start_sample + start_sample, self.start_sample + end_sample
        clip = Clip(
            clip_id=clip_id(self.source.source_id, start, end),
            start_sample=start,
            end_sample=end,
            rate_hz=audio.rate_hz,
            _audio=audio.slice(start_sample, end_sample),
        )
        self.clips.append(clip)
        return clip

    def spend(self, op: str, seconds: float) -> None:
        """Note that an op took so long."""
        self.spent_s[op] = self.spent_s.get(op, 0.0) + seconds

    def null(self, op: str, reason: str) -> None:
        """Note that an error of an op left nulls in one clip."""
        self.usage.setdefault(op, Usage()).nulled += 1
        self.examples.setdefault(op, reason)

    def fail(self, op: str | None, reason: str, *, unexpected: bool = False) -> None:
        """Close the span with verdict `failed`; no op is to blame where its worker died."""
        self.verdict, self.op, self.reason, self.unexpected = Verdict.FAILED, op, reason, unexpected
        self.audio, self.clips = None, []


def span_id(source_id: str, index: int) -> str:
    """Identity of a span.

    >>> span_id("9432f358ed19ce55", 3)
    '9432f358ed19ce55-3'
    """
    return f"{source_id}-{index}"
