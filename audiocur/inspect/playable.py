"""The sound of a clip as a page holds it: data that any browser plays."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audiocur.audio import Audio
from audiocur.encoding import Format, encode
from audiocur.errors import OutputError, RowError

if TYPE_CHECKING:
    from audiocur.inspect.sound import Sounds

#: Longer clips are cut off in a page: a minute of FLAC in stereo is 6 MB of it.
MOST_S = 60.0

_MIME = {"flac": "audio/flac", "wav": "audio/wav", "ogg": "audio/ogg", "opus": "audio/ogg; codecs=opus"}


@dataclass(frozen=True)
class Playable:
    """The sound of a clip as a page plays it.

    Attributes:
        audio: as far as it is played.
        src: the same encoded, as a data URI.
        note: what a listener should know of it, or nothing.
    """

    audio: Audio
    src: str
    note: str


def playable(sounds: Sounds, clip: Mapping[str, Any]) -> Playable:
    """The sound of a clip, as it is stored where that is short enough, else as `lossless`.

    Raises:
        UserError: it cannot be had, see `Sounds.of`.
    """
    stored = sounds.stored(clip)
    cut = clip["duration_s"] > MOST_S
    if stored and stored.extension in _MIME and not cut:
        return Playable(sounds.decoded(clip, stored), data_uri(_MIME[stored.extension], stored.data), "")
    audio = sounds.of(clip, length_s=MOST_S)
    notes = [] if stored else ["decoded again from its recording"]
    if cut:
        notes.append(f"the first {MOST_S:.0f} of {clip['duration_s']:.1f} s; .audio and .save() have all of it")
    return Playable(audio, data_uri(_MIME["flac"], lossless(audio, clip["uri"])), "; ".join(notes))


def lossless(audio: Audio, uri: str) -> bytes:
    """Audio as FLAC of 16 bits.

    Raises:
        OutputError: FLAC cannot hold so many channels, or that rate.
    """
    try:
        return encode(audio, Format.FLAC)
    except RowError as error:
        raise OutputError(f"{uri}: {error}") from error


def data_uri(mime: str, data: bytes) -> str:
    """Data as a page holds it.

    >>> data_uri("audio/flac", b"fLaC")
    'data:audio/flac;base64,ZkxhQw=='
    """
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
