"""Audiobox Aesthetics on a small random checkpoint in the real format, held against the library's own predictor."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from audiocur.audio import Audio
from audiocur.checkpoints import HubFolder, OwnFile
from audiocur.errors import ConfigError, RunError
from audiocur.op import Device
from audiocur.ops.aesthetics.audiobox import Audiobox
from audiocur.records import Clip

torch = pytest.importorskip("torch")
aes = pytest.importorskip("audiobox_aesthetics.model.aes")
infer = pytest.importorskip("audiobox_aesthetics.infer")

CPU = Device()
SCALES = {"CE": (5.0, 1.5), "CU": (5.5, 1.4), "PC": (3.5, 1.8), "PQ": (6.5, 1.1)}
COLUMNS = {"aesthetics_pq", "aesthetics_pc", "aesthetics_ce", "aesthetics_cu"}


@pytest.fixture(scope="module")
def small():
    """The library's only architecture, with fewer and smaller layers, for as long as the tests run."""
    patch = pytest.MonkeyPatch()
    settings = dict(vars(aes.DEFAULT_AUDIO_CFG)) | {
        "encoder_layers": 2,
        "encoder_embed_dim": 32,
        "encoder_ffn_embed_dim": 64,
        "encoder_attention_heads": 2,
        "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2",
        "conv_pos": 16,
        "conv_pos_groups": 2,
    }
    patch.setattr(aes, "DEFAULT_AUDIO_CFG", aes.WavLMConfig(settings))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def checkpoint(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audiobox")
    torch.manual_seed(0)
    scales = {axis: {"mean": mean, "std": std} for axis, (mean, std) in SCALES.items()}
    with pytest.warns(FutureWarning, match="weight_norm"):  # theirs; our op keeps it to itself
        model = aes.AesMultiOutput(nth_layer=3, precision="bf16", target_transform=scales)
    with torch.no_grad():  # as far from one another as ratings are
        for layers in model.proj_layer.values():
            layers[0].weight.normal_(0, 1)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def op(checkpoint) -> Audiobox:
    return Audiobox(model=str(checkpoint))


@pytest.fixture(scope="module")
def loaded(op):
    return op.load(CPU)


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Notes in noise, at 16 kHz, so that the library's own resampling has nothing to do."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    notes = rng.uniform(80, 4000, int(seconds * 2) + 1)[(time_s * 2).astype(int)]
    return (0.1 * np.sin(2 * np.pi * notes * time_s) + 0.01 * rng.normal(size=len(time_s))).astype(np.float32)


def clip_of(samples: np.ndarray, rate_hz: int = 16_000) -> Clip:
    audio = Audio(np.atleast_2d(samples).astype(np.float32), rate_hz)
    return Clip(clip_id="c", start_sample=0, end_sample=audio.num_samples, rate_hz=rate_hz, _audio=audio)


def measured(op, loaded, *samples):
    rows = op.measure_batch([clip_of(each) for each in samples], loaded)
    for row in rows:
        assert row.keys() == COLUMNS == {column.name for column in op.writes}
        for column in op.writes:
            pa.scalar(row[column.name], column.type)
    return rows


def test_ratings_are_those_of_the_library(op, loaded, checkpoint, monkeypatch):
    with pytest.warns(FutureWarning, match="weight_norm"):
        local = aes.AesMultiOutput.from_pretrained(checkpoint)
    monkeypatch.setattr(infer.AesMultiOutput, "from_pretrained", lambda repository: local)
    predictor = infer.initialize_predictor()
    clips = [music(25, 1), music(10, 2), music(3, 3)]
    with pytest.warns(UserWarning, match="mismatched key_padding_mask"):
        theirs = predictor.forward([{"path": torch.from_numpy(each)[None], "sample_rate": 16_000} for each in clips])
    for row, expected in zip(measured(op, loaded, *clips), theirs, strict=True):
        for axis, rating in expected.items():
            assert row[f"aesthetics_{axis.lower()}"] == pytest.approx(rating, rel=1e-5)
    assert len({round(value, 3) for row in measured(op, loaded, *clips) for value in row.values()}) == 12


def test_a_batch_changes_nothing(op, loaded):
    clips = [music(25, 1), music(12, 2), music(10, 3), music(2, 4)]
    together = measured(op, loaded, *clips)
    for clip, row in zip(clips, together, strict=True):
        (alone,) = measured(op, loaded, clip)
        assert row == pytest.approx(alone, rel=op.rtol)
    assert together == measured(op, loaded, *clips), "no chance in it"


def test_stereo_is_rated_as_its_mean_and_at_any_rate(op, loaded):
    left, right = music(5, 1), music(5, 2)
    stereo, mono = op.measure_batch([clip_of(np.stack([left, right])), clip_of((left + right) / 2)], loaded)
    assert stereo == pytest.approx(mono, rel=1e-5)
    clip = clip_of(music(5), 44_100)
    op.prepare(clip)
    (row,) = op.measure_batch([clip], loaded)
    assert all(np.isfinite(value) for value in row.values())


@pytest.mark.parametrize("samples", [np.zeros(16_000), 1e-4 * np.ones(16_000), np.zeros(0)])
def test_silence_is_not_rated(op, loaded, samples):
    rows = measured(op, loaded, samples, music(3))
    assert set(rows[0].values()) == {None}
    assert rows[1] == measured(op, loaded, music(3))[0]
    assert measured(op, loaded, samples) == rows[:1]


def test_the_shortest_clips_are_rated(op, loaded):
    for samples in (np.ones(1) * 0.5, music(10.0001)):
        (row,) = measured(op, loaded, samples)
        assert all(np.isfinite(value) for value in row.values())


def test_what_it_is_loaded_from(checkpoint, tmp_path):
    (own,) = Audiobox(model=str(checkpoint)).checkpoints()
    assert isinstance(own, OwnFile)
    assert own.require() == checkpoint
    (hub,) = Audiobox().checkpoints()
    assert isinstance(hub, HubFolder)
    assert (hub.repo, len(hub.revision), hub.licence) == ("facebook/audiobox-aesthetics", 40, "CC-BY-4.0")
    assert Audiobox(revision="main").checkpoints()[0].revision == "main"
    with pytest.raises(ConfigError, match="expected a file or folder at"):
        Audiobox(model=str(tmp_path / "none")).checkpoints()[0].require()


def test_a_file_that_would_run_code_is_not_opened(op, checkpoint, tmp_path):
    folder, touched = tmp_path / "audiobox", tmp_path / "touched"
    folder.mkdir()
    shutil.copy(checkpoint / "config.json", folder)

    class Payload:
        def __reduce__(self):
            return (Path.touch, (touched,))

    torch.save({"weights": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"expected model\.safetensors"):
        replace(op, model=str(folder)).load(CPU)
    shutil.copy(folder / "pytorch_model.bin", folder / "model.safetensors")
    with pytest.raises(RunError, match="cannot be loaded"):
        replace(op, model=str(folder)).load(CPU)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Payload()))
    assert touched.exists(), "the payload would have worked"


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"target_transform": None}, ConfigError, "expected target_transform"),
        ({"nth_layer": 5}, RunError, "cannot be loaded"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(op, checkpoint, tmp_path, config, error, said):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(written | config))
    with pytest.raises(error, match=said):
        replace(op, model=str(tmp_path)).load(CPU)


def test_without_the_library_it_says_what_to_install(op, monkeypatch):
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics.infer", None)
    with pytest.raises(ConfigError, match=r"needs audiobox_aesthetics\.infer: pip install 'audiocur\[aesthetics\]'"):
        op.load(CPU)


def test_it_names_what_it_is_loaded_from():
    with pytest.raises(ConfigError, match=r"^model="):
        Audiobox(model="")
