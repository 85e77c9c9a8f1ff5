"""Stores the audio of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import soxr

from audiocur.audio import Audio
from audiocur.encoding import BITS, OPUS_RATE_HZ, Format, encode
from audiocur.errors import require
from audiocur.op import Encoder
from audiocur.records import Clip, Stored


@dataclass(frozen=True, kw_only=True)
class Encode(Encoder):
    """Encodes the clip as it will be stored: rate and channels as they are, unless set."""

    name: ClassVar[str] = "encode"

    format: Format = Format.FLAC
    bits: int = 16
    quality: float = 0.5
    rate_hz: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        require(self.format in tuple(Format), "format", self.format, f"one of {', '.join(Format)}")
        bits = BITS.get(self.format)
        require(
            bits is None or self.bits in bits,
            "bits",
            self.bits,
            f"one of {', '.join(map(str, bits or ()))} for format={self.format}",
        )
        require(0 <= self.quality <= 1, "quality", self.quality, "0 to 1")
        rate_hz = self.rate_hz
        require(
            rate_hz is None or 4_000 <= rate_hz <= 384_000, "rate_hz", rate_hz, "4000 to 384000 Hz, or null to keep"
        )
        opus = self.format == Format.OPUS
        require(
            not opus or rate_hz in (None, OPUS_RATE_HZ), "rate_hz", rate_hz, "48000 or null, which Opus turns to 48000"
        )
        require(self.channels in (None, 1), "channels", self.channels, "1 to mix down to mono, or null to keep")

    def measure(self, clip: Clip) -> dict[str, Any]:
        audio = clip.audio
        if self.channels == 1 and audio.channels > 1:
            audio = Audio(audio.mono[None], audio.rate_hz)
        rate_hz = OPUS_RATE_HZ if self.format == Format.OPUS else self.rate_hz
        if rate_hz is not None and rate_hz != audio.rate_hz:
            audio = _resample(audio, rate_hz)
        data = encode(audio, self.format, bits=self.bits, quality=self.quality)
        clip.store(Stored(data, str(self.format), audio.rate_hz, audio.channels, audio.num_samples))
        return {}


def _resample(audio: Audio, rate_hz: int) -> Audio:
    samples = np.ascontiguousarray(soxr.resample(audio.samples.T, audio.rate_hz, rate_hz, quality="HQ").T)
    # Between two samples of loud music the waveform goes beyond full scale; scaled down a little, it is not clipped.
    peak = max(samples.max(initial=0), -samples.min(initial=0))
    return Audio(samples / peak if peak > 1 else samples, rate_hz)
