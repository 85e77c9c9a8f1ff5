"""Small checkpoints with random weights, in the formats of the large ones, to be loaded by the same path."""

from __future__ import annotations

from pathlib import Path


def save_clap(folder: Path, *, fused: bool = False, size: int = 512) -> Path:
    """A CLAP of two layers a side with random weights, and the files of its processor."""
    import torch
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    torch.manual_seed(0)
    config = transformers.ClapConfig(
        text_config={
            "vocab_size": 261,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 120,
        },
        audio_config={
            "window_size": 8,
            "num_mel_bins": 64,
            "spec_size": 256,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "patch_embeds_hidden_size": 16,
            "hidden_size": 32,
            "depths": [2, 2],
            "num_attention_heads": [2, 2],
            "num_hidden_layers": 2,
            "enable_fusion": fused,
            "aff_block_r": 4,
        },
        projection_dim=size,
    )
    model = transformers.ClapModel(config)
    model.eval()
    with torch.no_grad():
        # Random towers find all sounds much alike: what they share is taken off, so that clips lie far apart.
        noise = torch.randn(4, 4 if fused else 1, 1001, 64, generator=torch.Generator().manual_seed(0)) * 15 - 30
        shared = model.audio_model(input_features=noise, is_longer=torch.zeros(4, 1, dtype=bool)).pooler_output.mean(0)
        linear = model.audio_projection.linear1
        linear.bias.copy_(-linear.weight @ shared)
    model.save_pretrained(folder)
    # One token a byte: a byte-level alphabet, and no merges.
    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
    tokenizer = transformers.RobertaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    truncation = "fusion" if fused else "rand_trunc"
    extractor = transformers.ClapFeatureExtractor(truncation=truncation, frequency_min=50, frequency_max=14_000)
    if fused:  # one file for both, as transformers 5 writes it
        transformers.ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    else:  # a file each, as the published ones have it
        extractor.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


#: Of a Whisper, two layers a side.
TINY_WHISPER = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 32,
    "n_audio_head": 2,
    "n_audio_layer": 2,
    "n_vocab": 51865,
    "n_text_ctx": 448,
    "n_text_state": 32,
    "n_text_head": 2,
    "n_text_layer": 2,
}


def save_whisper(path: Path, seed: int = 0, **changes: int) -> Path:
    """A Whisper, saved as openai-whisper's are."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    dims = TINY_WHISPER | changes
    model = Whisper(ModelDimensions(**dims))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        # Large where text attends to sound, so that its words hang on what it hears.
        scale = 1.0 if "cross_attn" in name else 0.2
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale
    torch.save({"dims": dims, "model_state_dict": model.state_dict()}, path)
    return path
