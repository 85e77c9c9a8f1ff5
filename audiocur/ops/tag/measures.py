"""Tags from what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from audiocur.errors import require
from audiocur.op import ClipOp, Column, Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class MeasuresTag(ClipOp):
    """Plain words for what the measures say of a clip; what is not sure is left out."""

    name = "tag"

    instrumental_max_voiced: float = 0.05
    voice_min_voiced: float = 0.3
    min_tempo_confidence: float = 0.2
    slow_max_bpm: float = 76.0
    fast_min_bpm: float = 140.0
    min_key_confidence: float = 0.6
    wide_min_side_mid_db: float = -6.0
    dark_max_hz: float = 300.0
    bright_min_hz: float = 2000.0
    quiet_max_lufs: float = -28.0
    loud_min_lufs: float = -12.0

    reads = (
        "voiced_ratio",
        "loudness_lufs",
        "tempo_bpm",
        "tempo_confidence",
        "key",
        "key_confidence",
        "stereo_image",
        "side_mid_ratio_db",
        "spectral_centroid_hz",
    )
    writes = (Column("tags", pa.list_(pa.string()), "", "words for what was measured, empty for silence"),)

    def __post_init__(self) -> None:
        for key in (
            "instrumental_max_voiced",
            "voice_min_voiced",
            "min_tempo_confidence",
            "min_key_confidence",
        ):
            require(0 <= getattr(self, key) <= 1, key, getattr(self, key), "a number from 0 to 1")
        for low, high in (
            ("instrumental_max_voiced", "voice_min_voiced"),
            ("slow_max_bpm", "fast_min_bpm"),
            ("dark_max_hz", "bright_min_hz"),
            ("quiet_max_lufs", "loud_min_lufs"),
        ):
            require(getattr(self, low) < getattr(self, high), low, getattr(self, low), f"less than {high}")

    def measure(self, clip: Clip) -> Measures:
        measures = clip.measures
        if measures["loudness_lufs"] is None:  # silence is no music without voices
            return {"tags": []}
        return {
            "tags": [
                *self._voice(measures),
                *self._tempo(measures),
                *self._key(measures),
                *self._image(measures),
                *_either(measures["spectral_centroid_hz"], (self.dark_max_hz, "dark"), (self.bright_min_hz, "bright")),
                *_either(measures["loudness_lufs"], (self.quiet_max_lufs, "quiet"), (self.loud_min_lufs, "loud")),
            ]
        }

    def _voice(self, measures: Measures) -> Iterator[str]:
        # The detector hears speech; it does not tell it from singing, and misses some of that.
        low, high = (self.instrumental_max_voiced, "instrumental"), (self.voice_min_voiced, "voice")
        return _either(measures["voiced_ratio"], low, high)

    def _tempo(self, measures: Measures) -> Iterator[str]:
        bpm, confidence = measures["tempo_bpm"], measures["tempo_confidence"]
        if bpm is not None and confidence is not None and confidence >= self.min_tempo_confidence:
            yield from _either(bpm, (self.slow_max_bpm, "slow"), (self.fast_min_bpm, "fast"))
            yield f"{bpm:.0f} BPM"

    def _key(self, measures: Measures) -> Iterator[str]:
        key, confidence = measures["key"], measures["key_confidence"]
        if key is not None and confidence is not None and confidence >= self.min_key_confidence:
            yield key

    def _image(self, measures: Measures) -> Iterator[str]:
        image, side_mid_db = measures["stereo_image"], measures["side_mid_ratio_db"]
        if image in (None, "dual mono"):
            yield "mono"
        elif image == "stereo" and side_mid_db is not None and side_mid_db >= self.wide_min_side_mid_db:
            yield "wide stereo"


def _either(value: float | None, low: tuple[float, str], high: tuple[float, str]) -> Iterator[str]:
    if value is not None and value <= low[0]:
        yield low[1]
    if value is not None and value >= high[0]:
        yield high[1]
