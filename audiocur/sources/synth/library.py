"""Writing the demo library, and the truth about it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from audiocur.records import TAGS
from audiocur.sources.synth import treatments
from audiocur.sources.synth.catalogue import LICENSE, Track, tracks
from audiocur.sources.synth.files import write_audio, write_tags
from audiocur.sources.synth.song import render

#: Raised whenever the files would come out otherwise.
VERSION = 2
TRUTH = "truth.json"

_WRITTEN_AT_S = 1_735_689_600  # one time of change for all files, so that a library made anew is the same library
_FACTS = ("rate_hz", "channels", "duration_s", "layout", "tempo_bpm", "key", "speech", "defect", "copy_of", "expected")
# Verdicts of a recipe for music that has a keep rule against each fault: "kept" is a recording of which something is,
# `why` the columns that the rules against it judge.
_KEPT: dict[str, Any] = {"verdict": "kept", "why": []}
_FAILED: dict[str, Any] = {"verdict": "failed", "why": []}


def write_library(folder: Path, seed: int) -> None:
    """Write all recordings and, last, the truth about them.

    Args:
        folder: an empty folder.
        seed: decides keys, exact tempos, harmonies and melodies.
    """
    catalogue = list(tracks())
    tonics = np.concatenate([np.random.default_rng([seed, turn]).permutation(12) for turn in range(2)])
    truth = [
        _write_track(folder, track, int(tonic), np.random.default_rng([seed, 2, index]))
        for index, (track, tonic) in enumerate(zip(catalogue, tonics, strict=False))
    ]
    truth.append(_write_speech(folder))
    truth.append(_write_copy(folder, truth[0]))
    truth.append(_write_notes(folder))
    for entry in truth:
        os.utime(folder / entry["uri"], (_WRITTEN_AT_S, _WRITTEN_AT_S))
    _write_json(folder / TRUTH, {"version": VERSION, "seed": seed, "recordings": truth})


def _write_track(folder: Path, track: Track, tonic: int, rng: np.random.Generator) -> dict[str, Any]:
    song = track.song(tonic, rng)
    samples = track.treatment(render(song, track.rate_hz, rng), track.rate_hz)
    path = folder / track.uri
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, samples, track.rate_hz, subtype=track.subtype)
    if track.sidecar:
        _write_json(path.with_suffix(".json"), track.tags())
    write_tags(path, {"title": "Track 13"} if track.sidecar else track.tags())
    if track.cut:
        os.truncate(path, path.stat().st_size // 2)
    music = track.treatment is not treatments.silent
    spoken = track.treatment is treatments.announced
    return _entry(
        track.uri,
        track.tags(),
        rate_hz=track.rate_hz,
        channels=samples.shape[0],
        duration_s=None if track.cut else samples.shape[1] / track.rate_hz,
        layout=_layout(track, samples.shape[0]),
        tempo_bpm=song.tempo_bpm if music else None,
        key=song.key if music else None,
        speech=_sentences(treatments.FIRST_WORD_S) if spoken else [],
        defect=track.defect,
        expected=_expected(track),
    )


def _expected(track: Track) -> dict[str, Any]:
    if track.cut:
        return _FAILED
    return {"verdict": "rejected", "why": list(track.why)} if track.why else _KEPT


def _layout(track: Track, channels: int) -> str:
    if track.treatment is treatments.dual_mono:
        return "dual mono"
    return "mono" if channels == 1 else "stereo"


def _write_speech(folder: Path) -> dict[str, Any]:
    """The spoken words twice, with pauses, and nothing else."""
    rate_hz, starts_s = 16_000, (0.5, 10.0)
    words = treatments.speech(rate_hz)
    samples = np.zeros((1, 19 * rate_hz), np.float32)
    for start_s in starts_s:
        start = round(start_s * rate_hz)
        samples[0, start : start + words.size] = words
    uri = "Spoken/Programme Notes.flac"
    tags = {"title": "Programme Notes", "artist": "Spoken", "genre": "Speech", "license": LICENSE}
    (folder / uri).parent.mkdir()
    write_audio(folder / uri, samples, rate_hz)
    write_tags(folder / uri, tags)
    return _entry(
        uri,
        tags,
        rate_hz=rate_hz,
        channels=1,
        duration_s=samples.shape[1] / rate_hz,
        layout="mono",
        speech=[sentence for start_s in starts_s for sentence in _sentences(start_s)],
        expected={"verdict": "rejected", "why": ["music_ratio", "bandwidth_hz"]},
    )


def _write_copy(folder: Path, original: Mapping[str, Any]) -> dict[str, Any]:
    uri = "Backup/First Ferry (copy).flac"
    (folder / uri).parent.mkdir()
    shutil.copyfile(folder / original["uri"], folder / uri)
    return {**original, "uri": uri, "defect": "exact copy", "copy_of": original["uri"]}


def _write_notes(folder: Path) -> dict[str, Any]:
    """A file that is a recording by its name alone."""
    uri = "Orrin Vale/Liner Notes.mp3"
    (folder / uri).write_text("Recorded at home on a rainy Sunday. Thanks to the neighbours.\n" * 20, encoding="utf-8")
    return _entry(uri, {}, speech=[], defect="not audio", expected=_FAILED)


def _sentences(shift_s: float) -> list[dict[str, Any]]:
    return [
        {"start_s": round(start_s + shift_s, 3), "end_s": round(end_s + shift_s, 3), "text": text}
        for start_s, end_s, text in treatments.SENTENCES
    ]


def _entry(uri: str, tags: Mapping[str, str], **facts: Any) -> dict[str, Any]:
    """What the truth says of a recording; null where there is nothing to say."""
    return {"uri": uri} | {tag: tags.get(tag) for tag in TAGS} | {name: facts.get(name) for name in _FACTS}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
