"""A small library that is measured in a moment, with ops whose columns are of every type that rules judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from audiocur.errors import RowError
from audiocur.op import ClipOp, Column, Device, ModelOp
from audiocur.records import Clip

RATE_HZ = 4000
SECONDS = 16


@dataclass(frozen=True, kw_only=True)
class Heard(ClipOp):
    """Measures of every type, some null; it fails on some clips."""

    name = "heard"
    writes = (
        Column("level_db", pa.float32(), "dB", "null where it is quiet"),
        Column("sign_changes", pa.int32(), "", "how often"),
        Column("bright", pa.bool_(), "", "many of them"),
        Column("mood", pa.string(), "", "null where it is undecided"),
        Column("moods", pa.list_(pa.string()), "", "all that fit"),
    )

    def measure(self, clip: Clip) -> dict[str, Any]:
        samples = clip.audio.samples[0].astype(np.float64)
        changes = int((np.diff(np.signbit(samples))).sum())
        level = float(np.sqrt((samples**2).mean()))
        if changes % 11 == 0:
            raise RowError("nothing to be made of it")
        moods = [mood for mood, number in (("calm", 2), ("grim, and slow", 3), ("gay", 5)) if changes % number == 0]
        return {
            "level_db": None if level < 0.02 else 20 * np.log10(level),
            "sign_changes": changes,
            "bright": changes > RATE_HZ // 4,
            "mood": moods[0] if moods else None,
            "moods": moods,
        }


@dataclass(frozen=True, kw_only=True)
class Fussy(ClipOp):
    """Fails on some clips, after all has been measured."""

    name = "fussy"

    def measure(self, clip: Clip) -> dict[str, Any]:
        if clip.measures["sign_changes"] % 13 == 0:
            raise RowError("not to be borne")
        return {}


@dataclass(frozen=True, kw_only=True)
class Guess(ModelOp):
    """A model: a guess for most clips, none for some; `fails` decides whether there are some that it fails on."""

    name = "guess"
    writes = (
        Column("guess", pa.float32(), "", "null where it has none"),
        Column("guessed", pa.string(), "", "the same as a text"),
    )
    fails: bool = False

    def load(self, device: Device) -> float:
        return 100.0

    def measure_batch(self, clips: Sequence[Clip], model: float) -> list[dict[str, Any]]:
        return [self._guessed(float(np.abs(clip.audio.samples).sum()) * 1000 % model) for clip in clips]

    def _guessed(self, number: float) -> dict[str, Any]:
        if self.fails and number < 20:
            raise RowError("no idea")
        return {"guess": None if number > 80 else number, "guessed": None if number > 80 else f"{int(number) // 20}"}


def write_library(folder: Path) -> Path:
    """Three recordings of noise that comes and goes, and one that is none; returns their manifest."""
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for number in range(3):
        rng = np.random.default_rng(number)
        levels = np.repeat(10 ** rng.uniform(-2.2, -0.4, 2 * SECONDS), RATE_HZ // 2)
        noise = rng.normal(0, 1, SECONDS * RATE_HZ)
        smooth = np.convolve(noise, np.ones(number + 1) / (number + 1), "same")
        soundfile.write(folder / f"{number}.wav", (levels * smooth).clip(-1, 1), RATE_HZ)
        rows.append({"path": f"{number}.wav", "year": 1970 + number, "rating": number / 3, "label": "ab"[number % 2]})
    (folder / "broken.wav").write_bytes(b"RIFF")
    rows += [{"path": "broken.wav", "year": None, "rating": None, "label": None}]
    rows[2] |= {"year": None, "rating": None}
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    return manifest
