"""What odd recordings get from the whole chain of measures: nulls where a measure is undefined, and one reason."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.store.ledger import read_ledger

RNG = np.random.default_rng(0)
#: By name: samples of shape (samples, channels) and rate.
ODD = {
    "one sample": (np.full((1, 2), 0.1), 44_100),
    "a hundred samples": (RNG.normal(0, 0.1, (100, 1)), 44_100),
    "nothing but zeros": (np.zeros((44_100 * 6, 2)), 44_100),
    "8 kHz": (RNG.normal(0, 0.1, (8_000 * 6, 1)), 8_000),
    "384 kHz": (RNG.normal(0, 0.1, (384_000 * 5, 1)), 384_000),
    "768 kHz": (RNG.normal(0, 0.1, (768_000 * 3, 1)), 768_000),
    "six channels": (RNG.normal(0, 0.1, (48_000 * 5, 6)), 48_000),
    "a constant": (np.full((44_100 * 5, 2), 0.5), 44_100),
    "not finite": (np.where(np.arange(44_100 * 5) == 1000, np.nan, 0.1)[:, None], 44_100),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, list[dict[str, object]]]:
    """What the ledger says of each, from a process in which any warning is an error."""
    folder, output = (tmp_path_factory.mktemp(name) for name in ("odd", "run"))
    for name, (samples, rate_hz) in ODD.items():
        soundfile.write(folder / f"{name}.wav", samples, rate_hz, subtype="FLOAT")
    words = [f"source.path={folder}", f"output.path={output / 'run'}", "engine=local", "segment=whole", "report=false"]
    command = [sys.executable, "-W", "error", "-m", "audiocur", "recipe=music_gen", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    found: dict[str, list[dict[str, object]]] = {}
    for row in read_ledger(output / "run").to_pylist():
        found.setdefault(Path(str(row["uri"])).stem, []).append(row)
    return found


def clip(rows, name):
    (found,) = [row for row in rows[name] if row["clip_id"]]
    return found


def numbers(value):
    if isinstance(value, float):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, dict):
        yield from numbers(list(value.values()))


@pytest.mark.parametrize("name", [name for name in ODD if name != "not finite"])
def test_every_number_is_one_or_null(rows, name):
    row = clip(rows, name)
    assert all(math.isfinite(number) for value in row.values() for number in numbers(value))
    assert row["verdict"] in ("kept", "rejected")


def test_what_is_not_finite_fails_with_its_reason(rows):
    (row,) = rows["not finite"]
    assert row["verdict"] == "failed"
    assert "NaN or infinite" in row["reason"]


@pytest.mark.parametrize("name", ["one sample", "a hundred samples"])
def test_nothing_is_made_up_for_what_is_too_short(rows, name):
    row = clip(rows, name)
    undefined = (
        "loudness_lufs", "loudness_momentary_max_lufs", "loudness_short_term_max_lufs", "loudness_range_lu",
        "peak_to_loudness_db", "bandwidth_hz", "transcode_suspect", "music_ratio", "tempo_bpm", "tempo_confidence",
        "beats_s", "downbeats_s", "beats_per_bar", "key", "key_confidence", "tuning_cents", "hum_hz",
    )  # fmt: skip
    assert {column: row[column] for column in undefined} == dict.fromkeys(undefined)


def test_silence_has_no_level_no_pitch_and_no_rhythm(rows):
    row = clip(rows, "nothing but zeros")
    undefined = (
        "loudness_lufs", "loudness_momentary_max_lufs", "loudness_short_term_max_lufs", "loudness_range_lu",
        "true_peak_dbtp", "crest_factor_db", "peak_to_loudness_db", "bandwidth_hz", "transcode_suspect",
        "stereo_correlation", "side_mid_ratio_db", "balance_db", "stereo_image", "music_ratio", "tempo_bpm", "key",
        "spectral_centroid_hz", "hum_hz",
    )  # fmt: skip
    assert {column: row[column] for column in undefined} == dict.fromkeys(undefined)
    assert row["silence_ratio"] == 1.0


def test_one_channel_has_no_image(rows):
    row = clip(rows, "8 kHz")
    columns = ("stereo_correlation", "side_mid_ratio_db", "balance_db", "stereo_image")
    assert {column: row[column] for column in columns} == dict.fromkeys(columns)


@pytest.mark.parametrize(("name", "rate_hz"), [("8 kHz", 8_000), ("384 kHz", 384_000)])
def test_rates_far_apart_are_measured_alike(rows, name, rate_hz):
    row = clip(rows, name)
    assert row["source_rate_hz"] == rate_hz
    assert row["loudness_lufs"] is not None
    assert row["true_peak_dbtp"] is not None
    assert row["bandwidth_hz"] > 0.45 * rate_hz
