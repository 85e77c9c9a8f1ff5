from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from audiocur.errors import ConfigError, SourceError
from audiocur.records import TAGS
from audiocur.sources.demo import Demo
from audiocur.sources.synth.catalogue import tracks
from audiocur.sources.synth.library import TRUTH, VERSION

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    made = Demo(path=str(tmp_path_factory.mktemp("demo") / "library"))
    made.library()
    return made


@pytest.fixture(scope="module")
def truth(demo: Demo) -> dict[str, Facts]:
    return {Path(facts["uri"]).stem: facts for facts in demo.truth()}


def samples(demo: Demo, facts: Facts) -> NDArray[np.float32]:
    """Shape (channels, samples)."""
    path = demo.library() / facts["uri"]
    if path.suffix != ".m4a":
        return soundfile.read(path, dtype="float32", always_2d=True)[0].T
    with av.open(path) as file:
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_recording_is_listed_with_its_tags(demo: Demo, truth: dict[str, Facts]) -> None:
    listing = demo.list()
    assert {each.uri for each in listing.sources} == {facts["uri"] for facts in truth.values()}
    assert listing.ignored == {".json": 1}
    by_uri = {facts["uri"]: facts for facts in truth.values()}
    for source in map(demo.read_tags, listing.sources):
        assert source.problem is None
        assert {tag: getattr(source, tag) for tag in TAGS} == {tag: by_uri[source.uri][tag] for tag in TAGS}


def test_what_a_demo_must_hold(demo: Demo, truth: dict[str, Facts]) -> None:
    facts = truth.values()
    assert len(facts) >= 12
    assert {Path(each["uri"]).suffix for each in facts} >= {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"}
    lengths = [each["duration_s"] for each in facts if each["duration_s"] is not None]
    assert min(lengths) >= 10
    assert max(lengths) <= 60
    tempos = {each["tempo_bpm"] for each in facts} - {None}
    assert min(tempos) < 80
    assert max(tempos) > 135
    keys = {each["key"] for each in facts} - {None}
    assert len({key.split()[0] for key in keys}) >= 8
    assert {key.split()[1] for key in keys} == {"major", "minor"}
    assert len([each for each in facts if each["artist"] == "Lamplight Arcade"]) > 2
    assert {each["license"] for each in facts} == {"CC0-1.0", None}
    assert {each["expected"]["verdict"] for each in facts} == {"kept", "rejected", "failed"}
    assert sum(path.stat().st_size for path in demo.library().rglob("*")) < 60e6


@pytest.mark.parametrize("uri", [track.uri for track in tracks() if not track.cut] + ["Spoken/Programme Notes.flac"])
def test_files_are_what_the_truth_says(demo: Demo, truth: dict[str, Facts], uri: str) -> None:
    facts = truth[Path(uri).stem]
    found = samples(demo, facts)
    # Lossy codecs pad to whole frames: up to 2112 samples and one frame for AAC.
    padding = 0 if uri.endswith((".wav", ".flac", ".ogg")) else 3200
    assert found.shape[0] == facts["channels"]
    assert 0 <= found.shape[1] - round(facts["duration_s"] * facts["rate_hz"]) <= padding
    if facts["defect"] != "digital silence":
        assert np.sqrt(np.square(found).mean()) > 1e-3


def test_each_defect_is_there(demo: Demo, truth: dict[str, Facts]) -> None:
    by_defect = {
        facts["defect"]: samples(demo, facts)
        for facts in truth.values()
        if facts["defect"] not in (None, "not audio", "truncated")
    }
    assert not by_defect["digital silence"].any()
    assert np.array_equal(*by_defect["dual mono"])
    assert np.abs(by_defect["quiet"]).max() < 0.01
    assert (np.abs(by_defect["clipped"]) > 0.999).mean() > 0.01
    assert by_defect["DC offset"].mean(axis=1) == pytest.approx([0.12, 0.12], abs=0.005)
    spectrum = np.square(np.abs(np.fft.rfft(by_defect["low-passed at 4 kHz"][0])))
    hz = np.fft.rfftfreq(by_defect["low-passed at 4 kHz"].shape[1], 1 / 44_100)
    assert spectrum[hz > 4400].sum() < 1e-6 * spectrum.sum() < spectrum[(hz > 3000) & (hz < 3900)].sum()


def test_recordings_without_a_defect_have_none(demo: Demo, truth: dict[str, Facts]) -> None:
    for facts in truth.values():
        if facts["defect"] is None and facts["tempo_bpm"] is not None:
            found = samples(demo, facts)
            assert np.abs(found).max() < 0.95
            assert np.abs(found.mean(axis=1)).max() < 1e-3
            assert facts["layout"] == ("mono" if found.shape[0] == 1 else "stereo")
            if facts["layout"] == "stereo":
                assert 0.3 < np.corrcoef(found)[0, 1] < 0.95


def test_the_copy_is_exact_and_the_rest_differ(demo: Demo, truth: dict[str, Facts]) -> None:
    found = digests(demo.library())
    copy = truth["First Ferry (copy)"]
    assert found.pop(copy["uri"]) == found[copy["copy_of"]]
    assert len(set(found.values())) == len(found)


def test_the_truncated_file_ends_early(demo: Demo, truth: dict[str, Facts]) -> None:
    with soundfile.SoundFile(demo.library() / truth["Cut Short"]["uri"]) as file:
        file.read(round(0.4 * file.frames))
        with pytest.raises(soundfile.LibsndfileError, match="lost sync"):
            file.read()


def test_what_is_no_audio_cannot_be_opened(demo: Demo, truth: dict[str, Facts]) -> None:
    with pytest.raises(av.error.FFmpegError):
        av.open(demo.library() / truth["Liner Notes"]["uri"])


def test_words_are_where_the_truth_says(demo: Demo, truth: dict[str, Facts]) -> None:
    facts = truth["Programme Notes"]
    found = samples(demo, facts)[0]
    spoken = np.zeros(found.size, bool)
    for sentence in facts["speech"]:
        start, end = (round(sentence[bound] * facts["rate_hz"]) for bound in ("start_s", "end_s"))
        spoken[start:end] = True
        assert np.abs(found[start : start + 4000]).max() > 0.05
        assert np.abs(found[end - 4000 : end]).max() > 0.05
    assert np.abs(found[~spoken]).max() < 0.02
    assert [each["text"] for each in truth["Station Call"]["speech"]] == [each["text"] for each in facts["speech"][:2]]


def test_made_anew_by_two_runs_at_once_it_is_the_same_library(demo: Demo, tmp_path: Path) -> None:
    program = "import sys; from audiocur.sources.demo import Demo; print(len(Demo(path=sys.argv[1]).list().sources))"
    runs = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "library")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said == [f"{len(demo.truth())}\n"] * 2
    assert digests(tmp_path / "library") == digests(demo.library())
    assert [path.name for path in tmp_path.iterdir()] == ["library"]
    again = Demo(path=str(tmp_path / "library")).list().sources
    assert [(each.source_id, each.size, each.mtime_ns) for each in again] == [
        (each.source_id, each.size, each.mtime_ns) for each in demo.list().sources
    ]


def test_it_is_kept_in_the_cache_folder(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache/audiocur").mkdir(parents=True)
    (tmp_path / f"cache/audiocur/demo-{VERSION}-0").symlink_to(demo.library())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Demo().library() == tmp_path / f"cache/audiocur/demo-{VERSION}-0"
    monkeypatch.delenv("XDG_CACHE_HOME")
    (tmp_path / "cache").rename(tmp_path / ".cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Demo(limit=2).list().sources[0].path.startswith(bytes(tmp_path / ".cache/audiocur"))


def test_patterns_and_sample_apply(demo: Demo) -> None:
    path = demo.path
    assert len(Demo(path=path, limit=3).list().sources) == 3
    assert [each.uri for each in Demo(path=path, include=["Spoken"]).list().sources] == ["Spoken/Programme Notes.flac"]


def test_a_folder_of_something_else_is_left_alone(demo: Demo, tmp_path: Path) -> None:
    expected = f"; expected demo library {VERSION} of seed 0, or a folder that is not there yet"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/song.wav").write_bytes(b"precious")
    (tmp_path / "file").write_bytes(b"precious")
    for name in ("mine", "file"):
        with pytest.raises(SourceError) as caught:
            Demo(path=str(tmp_path / name)).list()
        assert str(caught.value) == f"source.path={tmp_path / name}: holds no {TRUTH} that can be read{expected}"
    assert (tmp_path / "mine/song.wav").read_bytes() == b"precious"
    with pytest.raises(
        SourceError, match=f"holds demo library {VERSION} of seed 0; expected demo library {VERSION} of seed 7"
    ):
        Demo(path=demo.path, seed=7).list()


def test_a_library_with_a_gap_is_told(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / TRUTH).write_text(json.dumps({"version": VERSION, "seed": 0, "recordings": [{"uri": "a.wav"}]}))
    with pytest.raises(SourceError, match=r"lacks a\.wav"):
        Demo(path=str(tmp_path)).list()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match="the demo library cannot be kept there"):
        Demo(path=str(tmp_path / "file/library")).list()


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed=-1: expected 0 or more"):
        Demo(seed=-1)
