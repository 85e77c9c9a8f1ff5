"""The sound of a clip is that which the ops heard, whether it is stored or cut from its recording again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur import KeepRule
from audiocur.encoding import Format, encode
from audiocur.engine.local import LocalEngine
from audiocur.errors import OutputError, SourceError
from audiocur.inspect.opened import open_run
from audiocur.inspect.sound import LINEAGE, Sounds, StoredSound
from audiocur.job import Job
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.run import run

CUT = Decode(span_s=4) >> Window(length_s=1.5, min_s=0.5) >> Loudness()
PIPELINE = CUT >> Encode(bits=24)
FILES = {
    "sixteen.wav": {"subtype": "PCM_16"},
    "album/twenty four.flac": {"subtype": "PCM_24"},
    "beyond.wav": {"subtype": "FLOAT"},
    "loud.ogg": {"subtype": "VORBIS"},
    "loud.mp3": {"subtype": "MPEG_LAYER_III"},
}


def noise(seconds: float, rate_hz: int, channels: int, seed: int = 0):
    """Shape (samples, channels); its second half is too soft for the rule below."""
    samples = np.random.default_rng(seed).normal(0, 0.5, (round(seconds * rate_hz), channels)).clip(-0.999, 0.999)
    samples[len(samples) // 2 :] *= 0.001
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A library in several formats, and two runs over it."""
    home = tmp_path_factory.mktemp("home")
    for number, (name, kind) in enumerate(FILES.items()):
        path = home / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = noise(9.3, (44_100, 48_000, 22_050, 44_100, 44_100)[number], 1 + number % 2, number)
        if name == "beyond.wav":
            samples *= 1.7
        with soundfile.SoundFile(
            path, "w", (44_100, 48_000, 22_050, 44_100, 44_100)[number], samples.shape[1], **kind
        ) as file:
            for at in range(0, len(samples), 4096):  # libsndfile's Vorbis encoder overflows the stack on more
                file.write(samples[at : at + 4096])
    made(home, PIPELINE, "run")
    made(home, CUT, "measured")
    return home


def made(home, pipeline, name, **keep) -> Path:
    rules = keep or {"loud": KeepRule(column="loudness_lufs", min=-40)}
    run(Job.of(pipeline, home / "library", home / name, keep=rules, engine=LocalEngine()))
    return home / name


@pytest.fixture
def copy(home, tmp_path) -> Path:
    """The library and its run to spoil; the library keeps its times."""
    shutil.copytree(home / "library", tmp_path / "library")
    return made(tmp_path, PIPELINE, "run").parent


def clips(opened):
    return [row for row in opened.parts.table().to_pylist() if row["clip_id"]]


def rejected(row):
    return {**row, "verdict": "rejected"}


def test_stored_and_cut_again_it_is_the_same_to_the_quantisation(home):
    opened = open_run(home / "run")
    sounds = Sounds(opened)
    kept = [row for row in clips(opened) if row["verdict"] == "kept"]
    assert {row["uri"] for row in kept} == FILES.keys()
    assert {row["span_id"][-2:] for row in kept} == {"-0", "-1"}
    for row in kept:
        stored, again = sounds.of(row), sounds.of(rejected(row))
        assert stored.rate_hz == again.rate_hz == row["source_rate_hz"]
        assert (
            stored.samples.shape
            == again.samples.shape
            == (row["source_channels"], row["end_sample"] - row["start_sample"])
        )
        assert np.abs(stored.samples - again.samples).max() <= 2**-23
        assert np.abs(again.samples).max() > 0.1


def test_what_exceeded_full_scale_comes_scaled_as_the_ops_heard_it(home):
    opened = open_run(home / "run")
    for name in ("beyond.wav", "loud.ogg", "loud.mp3"):
        rows = [row for row in clips(opened) if row["uri"] == name and row["span_id"].endswith("-0")]
        assert {row["gain_db"] for row in rows} == {rows[0]["gain_db"]}
        assert rows[0]["gain_db"] < -0.1
        peak = max(np.abs(Sounds(opened).of(rejected(row)).samples).max() for row in rows)
        assert peak <= 1 + 2**-20
        assert name != "beyond.wav" or peak > 0.999


def test_a_rejected_clip_is_the_recording_itself(home):
    opened = open_run(home / "run")
    rows = [row for row in clips(opened) if row["verdict"] == "rejected" and row["uri"] == "sixteen.wav"]
    assert rows
    truth, rate_hz = soundfile.read(home / "library/sixteen.wav", dtype="float32", always_2d=True)
    for row in rows:
        audio = Sounds(opened).of({name: row[name] for name in LINEAGE})
        assert audio.rate_hz == rate_hz
        assert np.array_equal(audio.samples, truth[row["start_sample"] : row["end_sample"]].T)


@pytest.mark.parametrize("cut_again", [False, True])
def test_a_stretch_is_that_stretch_of_the_whole(home, cut_again):
    opened = open_run(home / "run")
    sounds = Sounds(opened)
    for row in clips(opened):
        if row["verdict"] != "kept" or row["start_s"] == 0:
            continue
        row = rejected(row) if cut_again else row
        whole, rate_hz = sounds.of(row).samples, row["source_rate_hz"]
        for start_s, length_s in ((0, 0.5), (0.25, 0.5), (0.7, None), (1.2, 99), (99, 1), (0, 0)):
            end_s = 99 if length_s is None else start_s + length_s
            expected = whole[
                :, round(start_s * rate_hz) : round(start_s * rate_hz) + round((end_s - start_s) * rate_hz)
            ]
            assert np.array_equal(sounds.of(row, start_s, length_s).samples, expected)


def test_a_run_that_stores_no_audio_is_heard_from_its_recordings(home):
    stores, measures = open_run(home / "run"), open_run(home / "measured")
    by_id = {row["clip_id"]: row for row in clips(stores)}
    kept = [row for row in clips(measures) if row["verdict"] == "kept"]
    assert kept
    for row in kept:
        assert Sounds(measures).stored(row) is None
        heard = Sounds(measures).of(row).samples
        assert np.array_equal(heard, Sounds(stores).of(rejected(by_id[row["clip_id"]])).samples)


def test_what_is_stored_is_given_as_it_is_stored(home):
    opened = open_run(home / "run")
    row = next(row for row in clips(opened) if row["verdict"] == "kept")
    stored = Sounds(opened).stored(row)
    assert stored.extension == "flac"
    assert stored.data == encode(Sounds(opened).of(rejected(row)), Format.FLAC, bits=24)


def test_recordings_are_listed_once_for_many_clips(home, monkeypatch):
    opened = open_run(home / "run")
    calls = []
    find = type(opened.job.source).find
    monkeypatch.setattr(type(opened.job.source), "find", lambda self, ids: calls.append(set(ids)) or find(self, ids))
    sounds = Sounds(opened)
    rows = clips(opened)
    sounds.look_up(rows)
    assert calls == [{row["source_id"] for row in rows if row["verdict"] == "rejected"}]
    for row in rows:
        sounds.of(row)
    assert len(calls) == 1


def one_rejected(copy, name="sixteen.wav"):
    opened = open_run(copy / "run")
    row = next(row for row in clips(opened) if row["verdict"] == "rejected" and row["uri"] == name)
    return Sounds(opened), row


def test_a_recording_that_is_gone_is_told_in_one_line(copy):
    sounds, row = one_rejected(copy)
    (copy / "library/sixteen.wav").unlink()
    with pytest.raises(OutputError) as told:
        sounds.of(row)
    assert str(told.value) == f"sixteen.wav: not in source.path={copy}/library any more"


def test_a_library_that_is_gone_is_told_in_one_line(copy):
    sounds, row = one_rejected(copy)
    shutil.rmtree(copy / "library")
    with pytest.raises(SourceError, match=r"no such folder$"):
        sounds.of(row)


@pytest.mark.parametrize("longer", [0, 1000])
def test_a_recording_with_other_content_is_told_in_one_line(copy, longer):
    sounds, row = one_rejected(copy)
    samples, rate_hz = soundfile.read(copy / "library/sixteen.wav", dtype="float32", always_2d=True)
    samples = np.concatenate([-samples, samples[:longer]])
    soundfile.write(copy / "library/sixteen.wav", samples, rate_hz)
    with pytest.raises(OutputError) as told:
        sounds.of(row)
    assert str(told.value) == "sixteen.wav: has changed since it was worked through"


def test_a_recording_that_was_merely_copied_is_still_heard(copy):
    sounds, row = one_rejected(copy)
    before = Sounds(sounds.run).of(row).samples
    os.utime(copy / "library/sixteen.wav", ns=(1, 1))
    assert np.array_equal(sounds.of(row).samples, before)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_recording_that_may_not_be_read_is_told_in_one_line(copy):
    sounds, row = one_rejected(copy)
    (copy / "library/sixteen.wav").chmod(0)
    with pytest.raises(OutputError, match=r"^sixteen\.wav: [^\n]*permission"):
        sounds.of(row)


def test_a_link_that_leads_nowhere_is_told_in_one_line(copy):
    sounds, row = one_rejected(copy)
    (copy / "library/sixteen.wav").unlink()
    (copy / "library/sixteen.wav").symlink_to(copy / "nowhere.wav")
    with pytest.raises(OutputError, match=r"^sixteen\.wav: [^\n]+$") as told:
        sounds.of(row)
    assert "changed" not in str(told.value)


def test_a_shard_that_was_lost_meanwhile_is_told_in_one_line(copy):
    opened = open_run(copy / "run")
    row = next(row for row in clips(opened) if row["verdict"] == "kept")
    sounds = Sounds(opened)
    part = next(part for part in opened.parts.parts if row["span_id"] in {span.span_id for span in part.spans})
    shard = copy / "run" / part.shard.name
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OutputError, match=r"cannot be read \([^\n]+\): audiocur verify tells more$"):
        sounds.of(row)
    shard.unlink()
    with pytest.raises(OutputError, match=r"cannot be read \([^\n]+\): audiocur verify tells more$"):
        sounds.of(row)


def test_a_clip_that_its_shard_lacks_is_told_in_one_line(home):
    opened = open_run(home / "run")
    row = next(row for row in clips(opened) if row["verdict"] == "kept")
    with pytest.raises(OutputError, match=f"lacks clip {'0' * 24}: audiocur verify tells more$"):
        Sounds(opened).of({**row, "clip_id": "0" * 24})


def test_stored_audio_that_is_damaged_is_told_in_one_line(home):
    opened = open_run(home / "run")
    row = next(row for row in clips(opened) if row["verdict"] == "kept")
    sounds = Sounds(opened)
    whole = sounds.stored(row).data
    for data in (b"", b"no sound", whole[:30]):
        with pytest.raises(OutputError, match=f"the audio of clip {row['clip_id']} is damaged: audiocur verify"):
            sounds.decoded(row, StoredSound(data, "flac"))
