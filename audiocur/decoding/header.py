"""What the header of a recording says, and what it may say."""

from __future__ import annotations

from dataclasses import dataclass

from audiocur.errors import RowError

_TRUNCATION_TOLERANCE_S = 0.25  # encoders round lengths to a few frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recording says of itself.

    Attributes:
        rate_hz: sampling rate.
        channels: number of channels.
        num_samples: length of each channel to go by, null where there is none or a mere estimate.
        promised_samples: the length the header declares exactly, null for containers that declare none; data that
            ends well before it has been cut off.
        present_ratio: of the bytes that the container declares, the share that is there.
        closed: the mark of the end is there, in containers that have one.
        container: "wav", "flac", "mp3", "ogg", "mp4" ...
        codec: "pcm_16", "vorbis", "aac" ...
    """

    rate_hz: int
    channels: int
    num_samples: int | None
    promised_samples: int | None
    container: str
    codec: str
    present_ratio: float = 1.0
    closed: bool = True

    @property
    def exact(self) -> bool:
        """The header declares a length that the data must reach."""
        return self.promised_samples is not None

    def require_whole(self, end_sample: int) -> None:
        """Refuse a recording whose data ends at `end_sample` although its header promises more."""
        promised = self.promised_samples
        if promised is None and self.present_ratio:  # bytes for samples: near enough to tell what is missing
            promised = round(end_sample / self.present_ratio)
        if promised is not None and promised - end_sample > _TRUNCATION_TOLERANCE_S * self.rate_hz:
            promised_s, end_s = promised / self.rate_hz, end_sample / self.rate_hz
            raise RowError(f"truncated: the header promises {promised_s:.1f} s, the data ends at {end_s:.1f} s")
        if not self.closed:
            raise RowError("truncated: its last page is missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a header may say before anything is allocated for it."""

    min_rate_hz: int = 4_000
    max_rate_hz: int = 768_000
    max_channels: int = 8

    def check(self, rate_hz: int | None, channels: int | None) -> None:
        """Refuse a rate or a number of channels outside the limits; null is not known yet."""
        if rate_hz is not None and not self.min_rate_hz <= rate_hz <= self.max_rate_hz:
            raise RowError(f"sampling rate {rate_hz} Hz is outside {self.min_rate_hz}–{self.max_rate_hz} Hz")
        if channels is not None and not 1 <= channels <= self.max_channels:
            raise RowError(f"{channels} channels, expected 1 to {self.max_channels}")
