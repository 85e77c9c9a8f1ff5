"""CLAP on small random checkpoints in the real format; transformers' own preparation is what ours is held against."""

from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from audiocur.audio import Audio
from audiocur.checkpoints import HubFolder, OwnFile
from audiocur.errors import ConfigError, RunError
from audiocur.op import Device, Dtype
from audiocur.ops.tag.clap import RATE_HZ, Clap, _log_mel
from audiocur.records import Clip
from audiocur.vocabularies import vocabulary
from tests.checkpoints import save_clap

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

CPU = Device()


@dataclass(frozen=True)
class Reference:
    """The checkpoint as transformers loads it."""

    model: object
    processor: object

    def hears(self, mono: np.ndarray) -> np.ndarray:
        features = self.processor.feature_extractor(mono, sampling_rate=RATE_HZ, return_tensors="pt")
        return unit(self.model.get_audio_features(input_features=features["input_features"]))[0]

    def reads(self, *texts: str) -> np.ndarray:
        return unit(self.model.get_text_features(**self.processor.tokenizer(texts, padding=True, return_tensors="pt")))


def unit(features) -> np.ndarray:
    vectors = features.pooler_output.detach().float().numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def reference(checkpoint) -> Reference:
    return Reference(
        transformers.ClapModel.from_pretrained(checkpoint).eval(),
        transformers.ClapProcessor.from_pretrained(checkpoint),
    )


@pytest.fixture(scope="module")
def op(checkpoint) -> Clap:
    return Clap(model=str(checkpoint), min_probability=0.0, min_similarity=-1.0, prompt="high quality music")


@pytest.fixture(scope="module")
def loaded(op):
    return op.load(CPU)


def tones(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """A chord that changes every half second, in faint noise, at 48 kHz."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    notes = rng.uniform(80, 4000, (int(seconds * 2) + 1, 3))[(time_s * 2).astype(int)]
    chord = np.sin(2 * np.pi * notes * time_s[:, None]).mean(axis=1)
    return (level * chord + 0.001 * rng.normal(size=len(time_s))).astype(np.float32)


def clip_of(mono: np.ndarray, rate_hz: int = RATE_HZ) -> Clip:
    audio = Audio(np.atleast_2d(mono).astype(np.float32), rate_hz)
    return Clip(clip_id="c", start_sample=0, end_sample=audio.num_samples, rate_hz=rate_hz, _audio=audio)


def measured(op, loaded, *monos):
    rows = op.measure_batch([clip_of(mono) for mono in monos], loaded)
    for row in rows:
        assert row.keys() == {column.name for column in op.writes}
        for column in op.writes:
            pa.scalar(row[column.name], column.type)
    return rows


def embedding_of(row) -> np.ndarray:
    return np.array(row["clap_embedding"], np.float32)


@pytest.mark.parametrize("seconds", [10.0, 3.0, 0.4, 9.99])
def test_a_clip_of_one_window_is_heard_as_transformers_hears_it(op, loaded, reference, seconds):
    mono = tones(seconds)
    (row,) = measured(op, loaded, mono)
    np.testing.assert_allclose(embedding_of(row), reference.hears(mono), atol=1e-5)


def test_a_longer_clip_is_the_mean_of_windows_that_cover_it(op, loaded, reference):
    mono = tones(25)
    (row,) = measured(op, loaded, mono)
    heard = [reference.hears(mono[round(at * RATE_HZ) :][: 10 * RATE_HZ]) for at in (0, 7.5, 15)]
    mean = np.mean(heard, axis=0)
    np.testing.assert_allclose(embedding_of(row), mean / np.linalg.norm(mean), atol=1e-5)
    assert row == measured(op, loaded, mono)[0], "no chance in it"


def test_clips_sound_different(op, loaded):
    rows = measured(op, loaded, tones(10, seed=1), tones(10, seed=2))
    assert embedding_of(rows[0]) @ embedding_of(rows[1]) < 0.99
    assert rows[0]["clap_similarity"] != pytest.approx(rows[1]["clap_similarity"], rel=0.01)


@pytest.mark.parametrize("fused", [False, True])
def test_log_mel_is_that_of_transformers(fused):
    extractor = transformers.ClapFeatureExtractor(truncation="fusion" if fused else "rand_trunc")
    band_limited = tones(10, level=0.9)
    band_limited[:] = np.fft.irfft(np.where(np.arange(240_001) < 60_000, np.fft.rfft(band_limited), 0))
    for mono in (band_limited, tones(10), np.zeros(480_000, np.float32)):
        expected = extractor(mono, sampling_rate=RATE_HZ, return_tensors="np")["input_features"][0, 0]
        ours = _log_mel(torch.from_numpy(mono)[None], extractor)[0].numpy()
        np.testing.assert_allclose(ours, expected, atol=2e-3)  # dB


def test_a_batch_changes_nothing(op, loaded):
    monos = [tones(25, 1), tones(12, 2), tones(10, 3), tones(2, 4)]
    together = measured(op, loaded, *monos)
    for mono, row in zip(monos, together, strict=True):
        (alone,) = measured(op, loaded, mono)
        np.testing.assert_allclose(embedding_of(row), embedding_of(alone), rtol=op.rtol, atol=1e-5)
        assert row["clap_similarity"] == pytest.approx(alone["clap_similarity"], rel=op.rtol, abs=1e-5)
        assert row["tags"] == alone["tags"]


def test_the_prompt_is_compared_with_the_clip(op, loaded, reference):
    (row,) = measured(op, loaded, tones(10))
    assert row["clap_similarity"] == pytest.approx(
        embedding_of(row) @ reference.reads("high quality music")[0], abs=1e-5
    )


def test_without_prompt_there_is_no_similarity(op):
    without = replace(op, prompt=None, vocabularies=["vocals"])
    (row,) = measured(without, without.load(CPU), tones(5))
    assert row["clap_similarity"] is None
    assert row["tags"]


def test_tags_are_the_likeliest_words_of_each_vocabulary(op, loaded, reference):
    (row,) = measured(op, loaded, tones(10))
    expected = []
    scale = reference.model.logit_scale_a.exp().item()
    for name in op.vocabularies:
        read = vocabulary(name)
        logits = scale * reference.reads(*read.texts.values()) @ embedding_of(row)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        best = np.argsort(-logits)[: read.most]
        expected += [(name, list(read.texts)[i], probabilities[i], logits[i] / scale) for i in best]
    for found, (name, tag, probability, similarity) in zip(row["clap_tags"], expected, strict=True):
        assert (found["vocabulary"], found["tag"]) == (name, tag)
        assert found["probability"] == pytest.approx(probability, rel=1e-3)
        assert found["similarity"] == pytest.approx(similarity, abs=1e-5)
    assert row["tags"] == [tag for _, tag, _, _ in expected]


@pytest.mark.parametrize("key", ["probability", "similarity"])
def test_what_is_not_sure_is_left_out(op, loaded, key):
    (every,) = measured(op, loaded, tones(10))
    values = sorted(found[key] for found in every["clap_tags"])
    stricter = replace(op, **{f"min_{key}": (values[3] + values[4]) / 2})
    (row,) = measured(stricter, loaded, tones(10))
    assert row["clap_tags"] == [found for found in every["clap_tags"] if found[key] >= values[4]]
    assert len(row["tags"]) == len(values) - 4


def test_a_word_of_two_vocabularies_is_one_tag(op, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("text: It is {}.\nmost: 2\nwords: [loud, soft]\n")
    own = replace(op, vocabularies=[str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")])
    (row,) = measured(own, own.load(CPU), tones(5))
    assert sorted(row["tags"]) == ["loud", "soft"]
    assert [found["vocabulary"] for found in row["clap_tags"]] == ["one", "one", "two", "two"]


@pytest.mark.parametrize("mono", [np.zeros(48_000), 1e-4 * np.ones(48_000), np.zeros(0), np.array([1.0])[:0]])
def test_silence_has_neither_tags_nor_embedding(op, loaded, mono):
    rows = measured(op, loaded, mono, tones(3))
    assert rows[0] == {"tags": [], "clap_tags": [], "clap_embedding": None, "clap_similarity": None}
    assert rows[1] == measured(op, loaded, tones(3))[0]


def test_odd_clips_are_heard(op, loaded):
    stereo = np.stack([tones(3, 1), tones(3, 2)])
    for clip in (clip_of(np.ones(1) * 0.5), clip_of(stereo), clip_of(tones(2), 8000), clip_of(np.ones(9), 384_000)):
        op.prepare(clip)
        (row,) = op.measure_batch([clip], loaded)
        assert np.linalg.norm(row["clap_embedding"]) == pytest.approx(1, abs=1e-5)


def test_a_model_that_fuses_is_heard_without_chance(tmp_path):
    op = Clap(model=str(save_clap(tmp_path, fused=True)), vocabularies=["vocals"])
    loaded = op.load(CPU)
    monos = [tones(25, 1), tones(4, 2)]
    first, again = measured(op, loaded, *monos), measured(op, loaded, *monos)
    assert first == again
    (alone,) = measured(op, loaded, monos[1])
    np.testing.assert_allclose(embedding_of(first[1]), embedding_of(alone), atol=1e-5)


@pytest.mark.parametrize(("dtype", "cosine"), [(Dtype.float16, 0.99), (Dtype.bfloat16, 0.95)])
def test_half_the_precision_is_about_the_same(op, loaded, dtype, cosine):
    half = replace(op, dtype=dtype, vocabularies=[])
    model = half.load(CPU)
    assert str(model.model.dtype) == f"torch.{dtype}"
    (row,), (exact,) = measured(half, model, tones(10)), measured(op, loaded, tones(10))
    assert embedding_of(row) @ embedding_of(exact) > cosine
    assert row["clap_embedding"] != exact["clap_embedding"]


def test_weights_of_torch_are_loaded_as_weights(op, loaded, checkpoint, reference, tmp_path):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    torch.save(reference.model.state_dict(), tmp_path / "pytorch_model.bin")
    own = replace(op, model=str(tmp_path))
    (row,), (expected,) = measured(own, own.load(CPU), tones(3)), measured(op, loaded, tones(3))
    np.testing.assert_allclose(embedding_of(row), embedding_of(expected), atol=1e-5)
    assert row["tags"] == expected["tags"]


def test_a_file_that_would_run_code_is_refused(op, checkpoint, tmp_path):
    folder, touched = tmp_path / "clap", tmp_path / "touched"
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").unlink()

    class Payload:
        def __reduce__(self):
            return (Path.touch, (touched,))

    torch.save({"weights": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(RunError, match="is refused: it holds more than weights"):
        replace(op, model=str(folder)).load(CPU)
    assert not touched.exists()
    pickle.loads(pickle.dumps(Payload()))
    assert touched.exists(), "the payload would have worked"


def test_a_checkpoint_that_does_not_fit_is_refused(op, checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="expected embeddings of 512 numbers, not 256"):
        replace(op, model=str(save_clap(tmp_path / "small", size=256))).load(CPU)
    shutil.copytree(checkpoint, tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"expected model.safetensors or pytorch_model.bin"):
        replace(op, model=str(tmp_path / "empty")).load(CPU)
    shutil.copytree(checkpoint, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(RunError, match="cannot be loaded"):
        replace(op, model=str(tmp_path / "broken")).load(CPU)


def test_weights_that_are_missing_are_not_made_up(op, checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    weights = safetensors.load_file(tmp_path / "model.safetensors")
    del weights["text_projection.linear1.weight"], weights["text_projection.linear2.weight"]
    safetensors.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"lacks 2 weights, text_projection\.linear1\.weight for one"):
        replace(op, model=str(tmp_path)).load(CPU)


def test_without_transformers_it_says_what_to_install(op, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"tag=clap needs transformers: pip install 'audiocur\[models\]'"):
        op.load(CPU)


def test_a_prompt_too_long_to_read_is_refused(op):
    with pytest.raises(ConfigError, match="expected at most 118"):
        replace(op, prompt="music " * 30).load(CPU)


def test_what_it_is_loaded_from(checkpoint, tmp_path):
    (own,) = Clap(model=str(checkpoint)).checkpoints()
    assert isinstance(own, OwnFile)
    assert own.require() == checkpoint
    (hub,) = Clap().checkpoints()
    assert isinstance(hub, HubFolder)
    assert (hub.repo, len(hub.revision), hub.licence) == ("laion/larger_clap_music", 40, "Apache-2.0")
    assert Clap(revision="refs/pr/1").checkpoints()[0].revision == "refs/pr/1"
    assert Clap(model="someone/else").checkpoints()[0].revision == "main"
    with pytest.raises(ConfigError, match="expected a file or folder at"):
        Clap(model=str(tmp_path / "none")).checkpoints()[0].require()
    (tmp_path / "era.yaml").write_text("text: It is {}.\nmost: 1\nwords: [loud, soft]\n")
    words = Clap(vocabularies=["mood", str(tmp_path / "era.yaml")]).checkpoints()[1:]
    assert [checkpoint.require() for checkpoint in words] == [tmp_path / "era.yaml"]


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"model": ""}, "model"),
        ({"min_probability": 1.5}, "min_probability"),
        ({"min_similarity": -2.0}, "min_similarity"),
        ({"prompt": " "}, "prompt"),
        ({"vocabularies": ["mood", "mood"]}, "vocabularies"),
        ({"vocabularies": ["moods"]}, "vocabularies"),
    ],
)
def test_parameters_out_of_range(parameters, key):
    with pytest.raises(ConfigError, match=f"^{key}="):
        Clap(**parameters)
