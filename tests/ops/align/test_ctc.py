"""Times of words: tiny CTC models with random weights, saved and loaded as the large ones are."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchaudio", reason="the extra `models` is not installed")
pytest.importorskip("transformers", reason="the extra `models` is not installed")

import torch
import torchaudio
from torchaudio.pipelines._wav2vec2.impl import Wav2Vec2FABundle
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Model

from audiocur.audio import Audio
from audiocur.dsp.ctc_alignment import Letters
from audiocur.errors import ConfigError, RowError
from audiocur.op import Device, Dtype
from audiocur.ops.align.ctc import Acoustic, Ctc
from audiocur.records import Clip

RATE_HZ = 16_000
VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4} | {
    letter: i for i, letter in enumerate("ETAONIHSRDLUMWCFGYPBVK'XJQZ", 5)
}
CONFIG = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16, 16, 16, 16, 16),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "pad_token_id": 0,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}


def save(folder, model=Wav2Vec2ForCTC, vocabulary=VOCABULARY, **config):
    torch.manual_seed(0)
    model(Wav2Vec2Config(**(CONFIG | config))).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return str(folder)


@pytest.fixture(scope="module", params=["layer", "group"])
def folder(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp("ctc"), feat_extract_norm=request.param)


@pytest.fixture
def tiny_mms(tmp_path, monkeypatch):
    """MMS_FA with two narrow layers: its weights lie as torchaudio keeps them, in the shape that it downloads."""
    large = torchaudio.pipelines.MMS_FA
    params = large._params | {
        "extractor_conv_layer_config": [(16, kernel, stride) for _, kernel, stride in _convolutions(large)],
        "encoder_embed_dim": 32,
        "encoder_pos_conv_kernel": 16,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 64,
    }
    torch.manual_seed(0)
    weights = torchaudio.models.wav2vec2_model(**params).state_dict()
    for key in ("aux.weight", "aux.bias"):  # fairseq has three more rows, which torchaudio takes out
        weights[key] = torch.cat([weights[key][:1], torch.full_like(weights[key][:3], 9), weights[key][1:]])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(weights, tmp_path / "hub" / "checkpoints" / "model.pt")
    fields = {"_labels": large._labels, "_sample_rate": 16_000, "_normalize_waveform": True, "_model_type": "Wav2Vec2"}
    bundle = Wav2Vec2FABundle(large._path, params, **fields)
    monkeypatch.setattr(torchaudio.pipelines, "MMS_FA", bundle)
    return bundle


def _convolutions(bundle):
    return bundle._params["extractor_conv_layer_config"]


def clip(lyrics, seconds=2.0, seed=0, rate_hz=RATE_HZ):
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = 0.1 * np.sin(2 * np.pi * (100 + 50 * np.sin(5 * t)) * t) + rng.normal(0, 0.05, len(t))
    audio = Audio(samples.astype(np.float32)[None], rate_hz)
    clip = Clip(clip_id="0" * 24, start_sample=0, end_sample=len(t), rate_hz=rate_hz, _audio=audio)
    clip.measures["lyrics"] = lyrics
    return clip


def run(op, *clips):
    return op.measure_batch(clips, op.load(Device()))


def test_every_word_has_its_time_in_order(folder):
    op = Ctc(checkpoint=folder)
    (measures,) = run(op, clip("Hello, it's me — 99 times!", rate_hz=44_100))
    assert measures.keys() == {column.name for column in op.writes}
    words = measures["aligned_words"]
    assert [word["word"] for word in words] == ["Hello,", "it's", "me", "—", "99", "times!"]
    unsung = {"start_s": None, "end_s": None, "score": None}
    assert words[3:5] == [{"word": "—"} | unsung, {"word": "99"} | unsung]
    sung = [word for word in words if word["score"] is not None]
    times = [time for word in sung for time in (word["start_s"], word["end_s"])]
    assert times == sorted(times)
    assert all(word["start_s"] < word["end_s"] for word in sung)
    assert times[0] >= 0
    assert times[-1] <= 2.0
    assert measures["alignment_score"] == pytest.approx(np.mean([word["score"] for word in sung]))
    assert 0 < measures["alignment_score"] < 1


@pytest.mark.parametrize("lyrics", [None, "", " ", "99 — 东京"])
def test_without_lyrics_in_its_letters_there_is_nothing_to_align(folder, lyrics):
    assert run(Ctc(checkpoint=folder), clip(lyrics)) == [{"aligned_words": None, "alignment_score": None}]


@pytest.mark.parametrize("seconds", [0.5, 0.03, 1 / RATE_HZ])
def test_lyrics_that_do_not_fit_into_the_clip_have_no_times(folder, seconds):
    lyrics = "too many words to be sung in so short a time"
    assert run(Ctc(checkpoint=folder), clip(lyrics, seconds)) == [{"aligned_words": None, "alignment_score": None}]


def test_no_clip_depends_on_its_batch(folder):
    op = Ctc(checkpoint=folder)
    clips = [clip("hello world", 3.0), clip(None, 2.5), clip("me again", 2.1, 1), clip("a", 0.4, 2)]
    together = run(op, *clips)
    for each, measures in zip(clips, together, strict=True):
        (alone,) = run(op, each)
        assert near(alone["alignment_score"], measures["alignment_score"], op.rtol)
        for one, many in zip(alone["aligned_words"] or [], measures["aligned_words"] or [], strict=True):
            assert one["word"] == many["word"]
            assert all(near(one[key], many[key], op.rtol) for key in ("start_s", "end_s", "score"))


TONES_HZ = {"a": 500.0, "b": 1000.0, "c": 2000.0}


def hears_tones(waveforms, lengths):
    """Logits of a model that knows three tones and silence, in windows of 25 ms every 20 ms."""
    windows = waveforms.unfold(1, 400, 320) * torch.hann_window(400)
    bins = [round(hz * 400 / RATE_HZ) for hz in TONES_HZ.values()]
    levels = torch.fft.rfft(windows).abs()[..., bins]
    return torch.cat([torch.full_like(levels[..., :1], 20.0), levels], dim=-1)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_words_are_timed_where_they_sound(rate_hz):
    sung = {"a": (0.5, 0.7), "b": (0.7, 0.9), "c": (1.4, 1.6)}
    t = np.arange(3 * rate_hz) / rate_hz
    samples = sum(np.sin(2 * np.pi * TONES_HZ[x] * t) * ((t >= on) & (t < off)) for x, (on, off) in sung.items())
    heard = clip("Ab, c!", 3.0, rate_hz=rate_hz)
    heard.audio.samples[0] = 0.3 * samples
    letters = Letters({letter: i for i, letter in enumerate(TONES_HZ, 1)}, blank=0)
    model = Acoustic(hears_tones, letters, ((400, 320),), normalises=True, pads=True)
    short = clip("c", 1.0, rate_hz=rate_hz)
    ab, c = Ctc().measure_batch([heard, short], model)[0]["aligned_words"]
    assert (ab["start_s"], ab["end_s"]) == (pytest.approx(0.5, abs=0.025), pytest.approx(0.9, abs=0.025))
    assert (c["start_s"], c["end_s"]) == (pytest.approx(1.4, abs=0.025), pytest.approx(1.6, abs=0.025))
    assert min(ab["score"], c["score"]) > 0.9


def near(one, other, rtol):
    return one is other is None or one == pytest.approx(other, rel=rtol)


def test_emissions_are_those_of_transformers_own_pipeline(folder):
    heard = clip("x", 1.7).audio.mono_16k
    model = Wav2Vec2ForCTC.from_pretrained(folder).eval()
    inputs = Wav2Vec2FeatureExtractor()(heard, sampling_rate=RATE_HZ, return_tensors="pt")
    with torch.inference_mode():
        expected = torch.log_softmax(model(inputs.input_values).logits[0], -1)
    (emission,) = Ctc(checkpoint=folder).load(Device()).emissions([heard])
    torch.testing.assert_close(emission, expected, atol=1e-4, rtol=1e-4)


def test_a_waveform_is_not_normalised_where_the_checkpoint_says_so(folder, tmp_path):
    plain = tmp_path / "plain"
    save(plain)
    (plain / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False, "sampling_rate": RATE_HZ}))
    heard = clip("x", 1.0).audio.mono_16k
    model = Wav2Vec2ForCTC.from_pretrained(plain).eval()
    with torch.inference_mode():
        expected = torch.log_softmax(model(torch.from_numpy(heard)[None]).logits[0], -1)
    (emission,) = Ctc(checkpoint=str(plain)).load(Device()).emissions([heard])
    torch.testing.assert_close(emission, expected, atol=1e-4, rtol=1e-4)


def test_mms_gives_what_torchaudios_own_aligner_gives(tiny_mms):
    lyrics = "It's me again"
    heard = clip(lyrics)
    (measures,) = run(Ctc(), heard)
    waveform = torch.from_numpy(heard.audio.mono_16k)[None]
    with torch.inference_mode():
        emission, _ = tiny_mms.get_model(with_star=False)(waveform)
    spans = tiny_mms.get_aligner()(emission[0], tiny_mms.get_tokenizer()(lyrics.lower().split()))
    frame_s = 2.0 / emission.shape[1]
    for word, own in zip(measures["aligned_words"], spans, strict=True):
        assert word["start_s"] == pytest.approx(own[0].start * frame_s)
        assert word["end_s"] == pytest.approx(own[-1].end * frame_s)
        score = sum(span.score * len(span) for span in own) / sum(map(len, own))
        assert word["score"] == pytest.approx(score, rel=1e-3)


def test_mms_does_not_depend_on_its_batch(tiny_mms):
    op = Ctc()
    model = op.load(Device())
    waveforms = [clip("x", seconds, i).audio.mono_16k for i, seconds in enumerate((2.0, 1.3, 0.5))]
    for waveform, batched in zip(waveforms, model.emissions(waveforms), strict=True):
        (alone,) = model.emissions([waveform])
        assert len(alone) == model.frames(len(waveform))
        torch.testing.assert_close(batched, alone, atol=1e-4, rtol=1e-3)


def test_mms_is_looked_for_in_torchs_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (checkpoint,) = Ctc().checkpoints()
    assert checkpoint.url.startswith("https://")
    assert checkpoint.path == tmp_path / "hub" / "checkpoints" / "model.pt"
    with pytest.raises(ConfigError, match=r"MMS_FA is not on this machine.*1,262 MB"):
        Ctc().load(Device())


def test_samples_that_are_not_finite_are_the_clips_fault(folder):
    broken = clip("hello")
    broken.audio.samples[0, 100] = np.nan
    with pytest.raises(RowError, match="not finite"):
        run(Ctc(checkpoint=folder), broken)


def test_a_clip_without_lyrics_is_not_even_decoded(folder):
    silent = Clip(clip_id="0" * 24, start_sample=0, end_sample=1, rate_hz=RATE_HZ)  # to decode it would raise
    silent.measures["lyrics"] = None
    Ctc(checkpoint=folder).prepare(silent)
    silent.measures["lyrics"] = "la"
    with pytest.raises(RuntimeError, match="no audio"):
        Ctc(checkpoint=folder).prepare(silent)


def test_half_precision_is_near(folder):
    (exact,), (near,) = (
        run(Ctc(checkpoint=folder, dtype=d), clip("hello world")) for d in (Dtype.float32, Dtype.bfloat16)
    )
    assert near["alignment_score"] == pytest.approx(exact["alignment_score"], rel=0.2)
    assert near != exact


@pytest.mark.parametrize(
    ("module", "needs"), [("torchaudio.pipelines", "torchaudio"), ("transformers", "transformers")]
)
def test_without_the_extra_it_says_what_to_install(folder, monkeypatch, module, needs):
    monkeypatch.setitem(sys.modules, module, None)
    op = Ctc(checkpoint=folder) if needs == "transformers" else Ctc()
    with pytest.raises(ConfigError, match=rf"align.* needs {needs}.*: pip install 'audiocur\[models\]'"):
        op.load(Device())


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_folder_that_would_run_code_is_refused(tmp_path):
    folder = tmp_path / "evil"
    save(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Payload(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"align: .*evil holds no weights"):
        Ctc(checkpoint=str(folder)).load(Device())
    assert not (tmp_path / "ran").exists()


def test_code_that_comes_with_a_folder_is_not_run(tmp_path):
    folder = tmp_path / "evil"
    save(folder)
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCTC": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"align: .*evil holds no weights"):
        Ctc(checkpoint=str(folder)).load(Device())
    assert not (tmp_path / "ran").exists()


def test_an_mms_file_that_would_run_code_is_refused(tiny_mms, tmp_path):
    path = tmp_path / "hub" / "checkpoints" / "model.pt"
    torch.save({"aux.weight": Payload(tmp_path / "ran")}, path)
    with pytest.raises(ConfigError, match=r"model.pt holds no weights"):
        Ctc().load(Device())
    path.write_bytes(pickle.dumps(Payload(tmp_path / "ran"), protocol=2))
    with pytest.raises(ConfigError, match=r"model.pt holds no weights"):
        Ctc().load(Device())
    assert not (tmp_path / "ran").exists()


def test_a_model_before_its_fine_tuning_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no lm_head\..* in it"):
        Ctc(checkpoint=save(tmp_path / "bare", Wav2Vec2Model)).load(Device())


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("vocab.json", None, "vocab.json"),
        ("vocab.json", "{", "Expecting"),
        ("vocab.json", '{"eng": {"a": 1}}', "does not name the ids"),
        ("vocab.json", '{"a": 99}', "does not name the ids"),
        ("preprocessor_config.json", '{"sampling_rate": 8000}', "it hears 8000 Hz"),
        ("config.json", None, "holds no weights"),
        ("model.safetensors", "no weights", "holds no weights"),
    ],
)
def test_folders_that_do_not_fit_are_refused(tmp_path, name, content, problem):
    folder = tmp_path / "ctc"
    save(folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(ConfigError, match=f"align: .*{problem}"):
        Ctc(checkpoint=str(folder)).load(Device())
