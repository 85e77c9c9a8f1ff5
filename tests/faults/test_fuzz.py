"""Recordings damaged in every way there is, put through a whole run: each is accounted for, and none ends anything.

The damage is seeded. ``AUDIOCUR_FUZZ_SEED=7 AUDIOCUR_FUZZ_FILES=5000 pytest -m faults tests/faults/test_fuzz.py`` goes
on hunting elsewhere; the damaged files of a failed test stay in its temporary folder.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
import soundfile

from audiocur.store.ledger import read_ledger

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("AUDIOCUR_FUZZ_SEED", "0"))
FILES = int(os.environ.get("AUDIOCUR_FUZZ_FILES", "650"))
TIMEOUT_S = 240 + FILES // 2  # many times what it takes on two cores

#: What the parts of containers are called: near these stand the lengths, rates and counts that a reader believes.
LANDMARKS = re.compile(
    rb"RIFF|RF64|ds64|fmt |fact|data|LIST|FORM|COMM|SSND|caff|desc|pakt|\.snd|hdrl|strh|strf|idx1|DSD |wvpk|TTA1"
    rb"|FLV\x01|fLaC|OggS|\x01vorbis|\x05vorbis|OpusHead|ID3|APETAGEX|Xing|Info|LAME|[\xff][\xf1\xf3\xfb\xfd]|\x0b\x77"
    rb"|ftyp|moov|mvhd|mdhd|stsd|stts|stsc|stsz|stco|mp4a|esds|alac|moof|tfhd|trun|mdat|\x00\x00\x01[\xba\xbb\xc0]"
    rb"|\x1a\x45\xdf\xa3|\x2a\xd7\xb1|\xb6\xa9|\x63\xa2|\xe1|\xae|\x1f\x43\xb6\x75"  # Matroska
    rb"|\xa1\xdc\xab\x8c|\x91\x07\xdc\xb7|\x40\x9e\x69\xf8"  # ASF
)
EXTREMES = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 44_100, 0x7FFF_FFFF, 0x8000_0000,
            0xFFFF_FFFE, 0xFFFF_FFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip

#: Where RIFF, QuickTime, CAF and Matroska name a codec, and some of the names that libav has a decoder for.
CODEC = re.compile(rb"(?<=fmt .{4})..|(?<=strf.{4})..|(?<=stsd.{12})....|(?<=desc.{16})....|A_[A-Z0-9/]{3,}", re.DOTALL)
CODECS = [
    *(number.to_bytes(2, "little") for number in (2, 3, 6, 0x11, 0x31, 0x42, 0x50, 0x55, 0x75, 0xFF, 0x161, 0x162)),
    *b"alac ima4 QDM2 MAC6 samr ac-3 Opus fLaC twos ulaw fl64 agsm owma".split(),
    *b"A_AC3 A_DTS A_MPEG/L2 A_MPEG/L3 A_VORBIS A_OPUS A_TTA1 A_WAVPACK4 A_MLP A_FLAC".split(),
]

Mutation = Callable[[bytearray, random.Random], bytes | bytearray]


def extreme(rng: random.Random) -> bytes:
    """An integer at the edge of its range, or one that is near what stood there only by chance."""
    width = rng.choice((1, 2, 2, 4, 4, 4, 8))
    number = rng.choice(EXTREMES) if rng.random() < 0.8 else rng.getrandbits(8 * width)
    return (number & (1 << 8 * width) - 1).to_bytes(width, rng.choice(("big", "little")))


def stretch(data: bytearray, rng: random.Random) -> tuple[int, int]:
    """Where a block of the data begins and ends: short ones as often as long ones."""
    length = min(len(data), int(2 ** rng.uniform(0, 15)))
    start = rng.randrange(len(data) - length + 1)
    return start, start + length


def overwritten(data: bytearray, at: int, new: bytes) -> bytearray:
    """The same data, as long as before."""
    return (data[:at] + new + data[at + len(new) :])[: len(data)]


def truncated(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(min(len(data), rng.choice((64, 4096, len(data)))) + 1)]


def beheaded(data: bytearray, rng: random.Random) -> bytearray:
    return data[rng.randrange(min(len(data), rng.choice((64, 4096, len(data)))) + 1) :]


def flipped(data: bytearray, rng: random.Random) -> bytearray:
    within = min(len(data), rng.choice((256, 4096, len(data))))
    for _ in range(rng.choice((1, 3, 30, 1000))):
        data[rng.randrange(within)] ^= 1 << rng.randrange(8)
    return data


def blotted(data: bytearray, rng: random.Random) -> bytearray:
    start, end = stretch(data, rng)
    return overwritten(data, start, rng.choice((bytes, lambda n: b"\xff" * n, rng.randbytes))(end - start))


def shortened(data: bytearray, rng: random.Random) -> bytearray:
    start, end = stretch(data, rng)
    return data[:start] + data[end:]


def repeated(data: bytearray, rng: random.Random) -> bytearray:
    start, end = stretch(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 5)) + data[end:]


def swapped(data: bytearray, rng: random.Random) -> bytearray:
    (a, b), (c, d) = sorted((stretch(data, rng), stretch(data, rng)))
    return data[:a] + data[max(b, c) : d] + data[b:c] + data[a:b] + data[max(b, d) :]


def lying_header(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = overwritten(data, rng.randrange(min(len(data), rng.choice((64, 200)))), extreme(rng))
    return data


def lying_field(data: bytearray, rng: random.Random) -> bytearray:
    marks = [match.span() for match in LANDMARKS.finditer(data)]
    for start, end in rng.choices(marks, k=rng.choice((1, 1, 2, 5))) if marks else ():
        data = overwritten(data, max(0, rng.choice((start - 4, end + int(2 ** rng.uniform(0, 6)) - 1))), extreme(rng))
    return data


def renamed_codec(data: bytearray, rng: random.Random) -> bytearray:
    named = list(CODEC.finditer(data))
    if not named:
        return lying_field(data, rng)
    old = rng.choice(named)
    matroska = old[0].startswith(b"A_")
    name = rng.choice(
        [new for new in CODECS if matroska == new.startswith(b"A_") and (matroska or len(new) == len(old[0]))]
    )
    return overwritten(data, old.start(), name[: len(old[0])].ljust(len(old[0]), b"\0"))


MUTATIONS: tuple[Mutation, ...] = (
    *(truncated, beheaded, flipped, blotted, shortened, repeated, swapped),
    *(lying_header, lying_field, lying_field, renamed_codec),
)
SIDECARS = (b"", b"{", b'{"title": "\xff"}', b"[1, 2]", b'{"artist": 1e999, "title": {"a": [null]}}', b"\x00" * 100)


def damaged(seeds: dict[str, bytes], rng: random.Random) -> tuple[str, bytes]:
    """A name that says what was done to which recording, and what is left of it."""
    name = rng.choice(list(seeds))
    data, done = bytearray(seeds[name]), []
    for mutate in rng.choices(MUTATIONS, k=rng.choice((1, 1, 1, 2, 3))):
        if data:
            data = bytearray(mutate(data, rng))
            done.append(mutate.__name__)
    if rng.random() < 0.1:
        data += seeds[rng.choice(list(seeds))]
        done.append("joined")
    suffix = Path(rng.choice(list(seeds)) if rng.random() < 0.1 else name).suffix
    return f"{name.replace('.', '-')} {' '.join(done)}{suffix}", bytes(data)


@pytest.fixture
def library(fuzz_seeds: dict[str, bytes], tmp_path: Path) -> Path:
    """The whole recordings in one folder, the damaged ones in another, some of them with sidecars."""
    print(f"AUDIOCUR_FUZZ_SEED={SEED} AUDIOCUR_FUZZ_FILES={FILES}")
    folder = tmp_path / "library"
    (folder / "whole").mkdir(parents=True)
    (folder / "damaged").mkdir()
    for name, data in fuzz_seeds.items():
        (folder / "whole" / name).write_bytes(data)
    for number in range(FILES):
        rng = random.Random(f"{SEED} {number}")
        name, data = damaged(fuzz_seeds, rng)
        path = folder / "damaged" / f"{number:04} {name}"
        path.write_bytes(data)
        if rng.random() < 0.05:
            path.with_suffix(".json").write_bytes(rng.choice((json.dumps({"artist": "Bo"}).encode(), *SIDECARS)))
    return folder


def curate(library: Path, output: Path) -> None:
    parts = ["keep.bandwidth=", "keep.music=", "decode.span_s=3", "segment.min_s=1", "segment.max_s=2.5"]
    words = ["recipe=music_gen", f"source.path={library}", f"output.path={output}", *parts]
    done = subprocess.run([sys.executable, "-m", "audiocur", *words], capture_output=True, text=True, timeout=TIMEOUT_S)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert (output / "report.html").stat().st_size > 100_000
    assert "Traceback" not in printed


def check_spans(spans: list[dict[str, Any]]) -> None:
    """The spans of one source, in order: all there, one behind the other, up to its end or to where it failed."""
    assert [row["span_id"].rpartition("-")[2] for row in spans] == [str(index) for index in range(len(spans))]
    assert len(spans) >= max(row["expected_spans"] for row in spans)
    assert any(row["last"] for row in spans) or spans[-1]["verdict"] == "failed"
    for before, after in pairwise(spans):
        if before["last"]:
            assert after["verdict"] == "failed" or (after["last"] and after["duration_s"] == 0)
        elif "failed" not in (before["verdict"], after["verdict"]):
            assert before["end_sample"] == after["start_sample"]
    assert len({row["content_sha256"] for row in spans if row["content_sha256"]}) <= 1


def check_clips(span: dict[str, Any], clips: list[dict[str, Any]]) -> None:
    """The clips of one span lie in it, and with what was left uncut they add up to it."""
    assert span["verdict"] == "done" or not clips
    for clip in clips:
        assert span["start_sample"] <= clip["start_sample"] < clip["end_sample"] <= span["end_sample"]
        assert clip["verdict"] in ("kept", "rejected", "failed")
    if span["verdict"] == "done":
        cut_s = sum(clip["duration_s"] for clip in clips)
        assert cut_s + span["uncut_s"] == pytest.approx(span["duration_s"], abs=1e-6)


def check_shards(output: Path, clips: list[dict[str, Any]]) -> None:
    """What is kept is stored once, and holds as many samples as the ledger says."""
    kept = {clip["clip_id"]: clip["end_sample"] - clip["start_sample"] for clip in clips if clip["verdict"] == "kept"}
    shards = (
        pyarrow.dataset.dataset(output / "clips", format="parquet").to_table(columns=["clip_id", "audio"]).to_pylist()
    )
    assert len(shards) == len(kept)
    assert {row["clip_id"]: soundfile.info(io.BytesIO(row["audio"]["bytes"])).frames for row in shards} == kept


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_every_damaged_recording_is_accounted_for(library: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    curate(library, output)
    rows = read_ledger(output).to_pylist()
    spans = [row for row in rows if row["clip_id"] is None]
    spans.sort(key=lambda row: (row["uri"], int(row["span_id"].partition("-")[2])))
    clips = [row for row in rows if row["clip_id"] is not None]

    listed = {str(path.relative_to(library)) for path in library.rglob("*.*") if path.suffix != ".json"}
    assert {row["uri"] for row in spans} == listed
    for _, of_source in groupby(spans, key=lambda row: row["uri"]):
        check_spans(list(of_source))
    for span in spans:
        check_clips(span, [clip for clip in clips if clip["span_id"] == span["span_id"]])
    check_shards(output, clips)

    failed = [row for row in rows if row["verdict"] == "failed"]
    assert all(row["reason"] for row in failed)
    assert [row for row in rows if row["unexpected"]] == []
    assert [row for row in failed if row["reason"].startswith("crashed")] == []

    # Otherwise all of this may have been about nothing.
    assert [row for row in failed if row["uri"].startswith("whole/")] == []
    assert len({row["uri"] for row in failed}) > FILES / 4
    assert len({clip["uri"] for clip in clips if clip["verdict"] == "kept"}) > FILES / 4
