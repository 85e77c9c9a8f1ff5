"""faster-whisper: the same model in CTranslate2's format says the same as in openai-whisper."""

import json

import numpy as np
import pytest

from audiocur.checkpoints import HubFolder
from audiocur.errors import ConfigError, RunError
from audiocur.op import Device
from audiocur.ops.asr.faster_whisper import FasterWhisper
from audiocur.ops.asr.whisper import Whisper
from audiocur.ops.asr_check.faster_whisper import FasterWhisperCheck

torch = pytest.importorskip("torch")
pytest.importorskip("faster_whisper")
pytest.importorskip("whisper")

OPEN = {
    "min_voiced_ratio": None,
    "min_level_dbfs": None,
    "min_level_db": None,
    "max_repeats": None,
    "max_compression_ratio": None,
    "min_logprob": None,
    "max_no_speech_prob": None,
}


def byte_letters():
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2's)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return dict(zip(plain, map(chr, plain), strict=True)) | {byte: chr(256 + i) for i, byte in enumerate(others)}


def tokenizer_json():
    """Whisper's tokeniser in the format of the tokenizers package, and all its tokens in order."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from whisper.tokenizer import get_encoding

    encoding, letters = get_encoding("multilingual"), byte_letters()
    ranks = encoding._mergeable_ranks

    def text(token):
        return "".join(letters[byte] for byte in token)

    merges = [
        (text(token[:at]), text(token[at:]))
        for token in sorted(ranks, key=ranks.get)
        for at in range(1, len(token))
        if token[:at] in ranks and token[at:] in ranks
    ]
    vocabulary = {text(token): rank for token, rank in ranks.items()}
    specials = sorted(encoding._special_tokens, key=encoding._special_tokens.get)
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    return tokenizer, [*sorted(vocabulary, key=vocabulary.get), *specials]


def save_converted(checkpoint, folder):
    """Write a checkpoint of openai-whisper in CTranslate2's format."""
    from ctranslate2.converters.converter import Converter
    from ctranslate2.converters.utils import fuse_linear
    from ctranslate2.specs import common_spec
    from ctranslate2.specs.whisper_spec import WhisperSpec

    content = torch.load(checkpoint, weights_only=True)
    dims, weights = content["dims"], {name: tensor.numpy() for name, tensor in content["model_state_dict"].items()}
    tokenizer, tokens = tokenizer_json()

    def linear(name):
        spec = common_spec.LinearSpec()
        spec.weight, spec.bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
        return spec

    def plain(spec, name):
        spec.weight, spec.bias = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(spec, name):
        spec.gamma, spec.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def attention(spec, name, norm_name, *, cross):
        norm(spec.layer_norm, norm_name)
        query, key, value = (linear(f"{name}.{part}") for part in ("query", "key", "value"))
        key.bias = np.zeros_like(value.bias)
        for fused, parts in zip(spec.linear, [[query], [key, value]] if cross else [[query, key, value]], strict=False):
            fuse_linear(fused, parts)
        plain(spec.linear[-1], f"{name}.out")

    def layer(spec, name):
        attention(spec.self_attention, f"{name}.attn", f"{name}.attn_ln", cross=False)
        if f"{name}.cross_attn_ln.weight" in weights:
            attention(spec.attention, f"{name}.cross_attn", f"{name}.cross_attn_ln", cross=True)
        norm(spec.ffn.layer_norm, f"{name}.mlp_ln")
        plain(spec.ffn.linear_0, f"{name}.mlp.0")
        plain(spec.ffn.linear_1, f"{name}.mlp.2")

    class FromWhisper(Converter):
        def _load(self):
            spec = WhisperSpec(dims["n_audio_layer"], dims["n_audio_head"], dims["n_text_layer"], dims["n_text_head"])
            for conv in ("conv1", "conv2"):
                plain(getattr(spec.encoder, conv), f"encoder.{conv}")
            spec.encoder.position_encodings.encodings = weights["encoder.positional_embedding"]
            norm(spec.encoder.layer_norm, "encoder.ln_post")
            spec.decoder.embeddings.weight = weights["decoder.token_embedding.weight"]
            spec.decoder.projection.weight = weights["decoder.token_embedding.weight"]
            spec.decoder.position_encodings.encodings = weights["decoder.positional_embedding"]
            norm(spec.decoder.layer_norm, "decoder.ln")
            for part in ("encoder", "decoder"):
                for at, of_layer in enumerate(getattr(spec, part).layer):
                    layer(of_layer, f"{part}.blocks.{at}")
            spec.register_vocabulary(tokens)
            spec.config.suppress_ids = spec.config.suppress_ids_begin = []
            spec.config.lang_ids = list(range(50259, 50358))
            spec.config.alignment_heads = [[1, 0], [1, 1]]
            return spec

    FromWhisper().convert(str(folder), force=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": dims["n_mels"]}))
    return folder


@pytest.fixture(scope="session")
def folder(checkpoint, tmp_path_factory):
    return save_converted(checkpoint, tmp_path_factory.mktemp("ctranslate2") / "tiny")


@pytest.fixture(scope="module")
def op(folder):
    return FasterWhisper(model=str(folder), max_tokens=40, **OPEN)


@pytest.fixture(scope="module")
def model(op):
    return op.load(Device())


def test_it_hears_what_openai_whisper_hears(checkpoint, op, model, make_clip):
    clips = [make_clip(seconds, seed) for seed, seconds in enumerate([8.0, 5.0, 3.0])]
    whole = Whisper(model=str(checkpoint), max_tokens=40, **OPEN)
    theirs = whole.measure_batch(clips, whole.load(Device()))
    ours = op.measure_batch(clips, model)
    assert all(row["lyrics"] for row in ours)
    assert [row["lyrics"] for row in ours] == [row["lyrics"] for row in theirs]
    assert [row["language"] for row in ours] == [row["language"] for row in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one["asr_logprob"] == pytest.approx(other["asr_logprob"], rel=1e-2)
        assert one["asr_no_speech_prob"] == pytest.approx(other["asr_no_speech_prob"], rel=1e-2)


def test_a_clip_has_the_same_lyrics_alone_and_in_a_batch(op, model, make_clip):
    clips = [make_clip(seconds, seed) for seed, seconds in enumerate([40.0, 12.0, 3.0])]
    together = op.measure_batch(clips, model)
    assert [row["lyrics"] for row in together] == [op.measure_batch([clip], model)[0]["lyrics"] for clip in clips]
    assert all(row["lyrics"] for row in together)


def test_a_second_hearing_of_the_same_is_the_same(folder, op, model, make_clip):
    clip = make_clip(4.0)
    clip.measures |= op.measure_batch([clip], model)[0]
    check = FasterWhisperCheck(model=str(folder), max_tokens=40, **OPEN)
    assert check.measure_batch([clip], model)[0]["lyrics_edit_distance"] == 0


def test_a_folder_without_its_tokenizer_is_refused_and_nothing_is_looked_for(folder, tmp_path):
    for name in ("model.bin", "config.json"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(RunError, match=r"tokenizer\.json is missing"):
        FasterWhisper(model=str(tmp_path)).load(Device())


def test_a_size_is_a_repository_of_the_hub():
    (found,) = FasterWhisper(model="large-v3").checkpoints()
    assert isinstance(found, HubFolder)
    assert found.repo.endswith("large-v3")
    with pytest.raises(ConfigError, match="model=larg: expected one of"):
        FasterWhisper(model="larg").checkpoints()
    with pytest.raises(ConfigError, match="language=xx: expected one of"):
        FasterWhisper(language="xx").checkpoints()
