"""How long a container says that a track is, as far as libav tells."""

from __future__ import annotations

import re
from typing import Any

import av
from av.audio.stream import AudioStream

_PICTURE = av.stream.Disposition.attached_pic


def duration_s(container: Any, stream: AudioStream, demuxer: str) -> float | None:
    """How long the container says that a track is; null where it says nothing, or libav would guess."""
    if demuxer in ("mp3", "aac", "loas", "ac3", "amr"):  # guessed from the bit rate
        return None
    if stream.duration is not None and stream.time_base is not None:
        delay = int.from_bytes((stream.codec_context.extradata or b"")[10:12], "little") if demuxer == "ogg" else 0
        opus_delay = delay if stream.codec_context.name == "opus" else 0
        return float(stream.duration * stream.time_base) - opus_delay / 48_000
    return None if container.duration is None else container.duration / av.time_base


def matroska_track_s(container: Any, stream: AudioStream, longest_s: float | None) -> float | None:
    """How long Matroska says that a track is: in its tags, or for the file, where there is no other track."""
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        end_s: float | None = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    else:
        others = [each for each in container.streams if each is not stream and each.type in ("audio", "video")]
        end_s = None if any(not each.disposition & _PICTURE for each in others) else longest_s
    start_s = float((stream.start_time or 0) * (stream.time_base or 0))
    return None if end_s is None else end_s - max(0.0, start_s)
