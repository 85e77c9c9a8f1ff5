"""Tags, embedding and similarity to a text, by CLAP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audiocur.checkpoints import Checkpoint, OwnFile
from audiocur.errors import ConfigError, RunError, require
from audiocur.extras import extra
from audiocur.op import Column, Device, Dtype, Measures, ModelOp
from audiocur.published import hub_or_folder
from audiocur.records import Clip
from audiocur.vocabularies import Vocabulary, path_of, shipped, vocabulary

if TYPE_CHECKING:
    import torch

RATE_HZ = 48_000
SILENCE_DBFS = -70.0  # RMS; where the gate of BS.1770 lies
SIZE = 512  # of an embedding, as every published CLAP has it
SOURCE = "Wu et al. 2023, Large-scale contrastive language-audio pretraining"

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory, and the texts it has read.

    Attributes:
        model, extractor: transformers' ClapModel and ClapFeatureExtractor.
        scale: of a similarity before it becomes a probability, as the model learned it.
        texts: of each vocabulary, unit vectors of shape (words, 512).
        prompt: a unit vector of shape (512,), null without prompt.
    """

    model: Any
    extractor: Any
    scale: float
    texts: Sequence[tuple[Vocabulary, Vectors]]
    prompt: Vectors | None


@dataclass(frozen=True, kw_only=True)
class Clap(ModelOp):
    """Tags chosen by CLAP from vocabularies, its embedding of the clip, and how well the clip fits a text.

    A clip is heard in mono at 48 kHz, in windows of 10 s that cover all of it and overlap evenly where its length is no
    multiple of that; one shorter than 10 s is repeated, as in training. The embedding is the mean of theirs, so it does
    not depend on chance, as the random window of the reference does. Of each vocabulary those words become tags that
    the model gives `min_probability` among their rivals and whose texts have `min_similarity` to the clip.
    """

    name = "tag"
    window_s = 10.0

    model: str = "laion/larger_clap_music"
    revision: str | None = None
    vocabularies: list[str] = field(default_factory=lambda: ["genre", "mood", "instrument", "vocals"])
    prompt: str | None = None
    min_probability: float = 0.2
    min_similarity: float = 0.0
    dtype: Dtype = Dtype.auto

    writes = (
        Column("tags", pa.list_(pa.string()), "", "words chosen, the vocabularies' in turn, empty for silence", SOURCE),
        Column(
            "clap_tags",
            pa.list_(
                pa.struct(
                    [
                        ("vocabulary", pa.string()),
                        ("tag", pa.string()),
                        ("probability", pa.float32()),
                        ("similarity", pa.float32()),
                    ]
                )
            ),
            "",
            "each tag's probability in its vocabulary, and cosine of its text and the clip",
            SOURCE,
        ),
        Column("clap_embedding", pa.list_(pa.float32(), SIZE), "", "unit vector, null for silence", SOURCE),
        Column("clap_similarity", pa.float32(), "", "cosine of prompt and clip, null without prompt and for silence"),
    )

    def __post_init__(self) -> None:
        require(bool(self.model), "model", self.model, "a repository of the model hub or a folder")
        require(0 <= self.min_probability <= 1, "min_probability", self.min_probability, "a probability, 0 to 1")
        require(-1 <= self.min_similarity <= 1, "min_similarity", self.min_similarity, "a cosine, -1 to 1")
        require(self.prompt is None or bool(self.prompt.strip()), "prompt", self.prompt, "a text, or null")
        read = [vocabulary(name).name for name in self.vocabularies]
        require(len(set(read)) == len(read), "vocabularies", self.vocabularies, "each of them once")

    def checkpoints(self) -> Sequence[Checkpoint]:
        own = [name for name in self.vocabularies if name not in shipped()]
        return self._weights(), *(OwnFile(name=f"vocabulary {path_of(name).stem}", path=name) for name in own)

    def load(self, device: Device) -> Loaded:
        with extra("models", "tag=clap"):
            import torch
            import transformers
        model, processor = self._opened(transformers)
        tokenizer, extractor = processor.tokenizer, processor.feature_extractor
        if model.config.projection_dim != SIZE:
            raise ConfigError(
                f"model={self.model}: expected embeddings of {SIZE} numbers, not {model.config.projection_dim}"
            )
        if extractor.sampling_rate != RATE_HZ or extractor.max_length_s != self.window_s:
            raise ConfigError(f"model={self.model}: expected a model that hears {self.window_s:g} s at {RATE_HZ} Hz")
        # Texts are read once: in full precision, before the model is made smaller.
        vocabularies = [vocabulary(name) for name in self.vocabularies]
        texts = [(each, _read(model, tokenizer, list(each.texts.values()))) for each in vocabularies]
        prompt = _read(model, tokenizer, [self.prompt])[0] if self.prompt is not None else None
        scale = math.exp(model.logit_scale_a.item())
        dtype = getattr(torch, self.dtype.on(device))
        return Loaded(model.to(device.kind, dtype), extractor, scale, texts, prompt)

    def prepare(self, clip: Clip) -> None:
        _ = clip.audio.mono_at(RATE_HZ)

    def measure_batch(self, clips: Sequence[Clip], model: Loaded) -> Sequence[Measures]:
        heard = [_windows(clip.audio.mono_at(RATE_HZ), model.extractor) for clip in clips]
        windows = [window for each in heard for window in each]
        embedded = iter(_hear(model, np.stack(windows)) if windows else ())
        return [self._measures([next(embedded) for _ in each], model) for each in heard]

    def _weights(self) -> Checkpoint:
        return hub_or_folder("CLAP", self.model, self.revision, ("*.json", "*.txt", *_WEIGHTS))

    def _opened(self, transformers: Any) -> tuple[Any, Any]:
        """ClapModel, in float32, and ClapProcessor."""
        transformers.utils.logging.disable_progress_bar()
        folder = self._weights().require()
        if not any((folder / file).is_file() for file in _WEIGHTS):
            raise ConfigError(f"model={self.model}: expected {' or '.join(_WEIGHTS)} in {folder}")
        try:
            model, found = transformers.ClapModel.from_pretrained(
                folder, local_files_only=True, weights_only=True, dtype="float32", output_loading_info=True
            )
            processor = transformers.ClapProcessor.from_pretrained(folder, local_files_only=True)
        except UnpicklingError as error:  # torch would advise to trust it
            raise RunError(f"model={self.model}: {folder} is refused: it holds more than weights, as code") from error
        except Exception as error:  # of many kinds: a broken file, another architecture
            raise RunError(f"model={self.model}: {folder} cannot be loaded: {error}") from error
        # What is missing is random numbers by now.
        missing = [name for name, _ in model.named_parameters() if name in found["missing_keys"]]
        if missing:
            raise RunError(f"model={self.model}: {folder} lacks {len(missing)} weights, {missing[0]} for one")
        return model.eval(), processor

    def _measures(self, windows: Sequence[Vectors], model: Loaded) -> Measures:
        if not windows:
            return {"tags": [], "clap_tags": [], "clap_embedding": None, "clap_similarity": None}
        embedding = _unit(np.mean(windows, axis=0))
        chosen = [found for each, texts in model.texts for found in self._chosen(each, texts @ embedding, model.scale)]
        return {
            "tags": list(dict.fromkeys(found["tag"] for found in chosen)),
            "clap_tags": chosen,
            "clap_embedding": embedding.tolist(),
            "clap_similarity": None if model.prompt is None else float(model.prompt @ embedding),
        }

    def _chosen(self, words: Vocabulary, similarities: Vectors, scale: float) -> Iterator[Mapping[str, Any]]:
        probabilities = np.exp(scale * (similarities - similarities.max()))
        probabilities /= probabilities.sum()
        names = list(words.texts)
        for i in np.argsort(-similarities, kind="stable")[: words.most]:
            probability, similarity = float(probabilities[i]), float(similarities[i])
            if probability >= self.min_probability and similarity >= self.min_similarity:
                yield {
                    "vocabulary": words.name,
                    "tag": names[i],
                    "probability": probability,
                    "similarity": similarity,
                }


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def _read(model: Any, tokenizer: Any, texts: Sequence[str]) -> Vectors:
    """Texts as unit vectors, shape (texts, 512)."""
    import torch

    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    longest, most = tokens["input_ids"].shape[1], model.config.text_config.max_position_embeddings - 2
    if longest > most:
        raise ConfigError(f"prompt or text of a vocabulary: {longest} tokens, expected at most {most}")
    with torch.inference_mode():
        read = model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    return _unit(_vectors(read))


def _hear(model: Loaded, windows: Vectors) -> Vectors:
    """Windows of shape (windows, samples) as unit vectors, shape (windows, 512)."""
    import torch

    weights = model.model.logit_scale_a
    with torch.inference_mode():
        mel = _log_mel(torch.from_numpy(windows).to(weights.device), model.extractor)[:, None]
        fused = model.model.config.audio_config.enable_fusion
        # A model that fuses a long clip with its parts hears four copies of a short one; none is longer than a window.
        heard = model.model.get_audio_features(
            input_features=(mel.repeat(1, 4, 1, 1) if fused else mel).to(weights.dtype),
            is_longer=torch.zeros(len(windows), 1, dtype=torch.bool, device=weights.device),
        )
    return _unit(_vectors(heard))


def _vectors(features: Any) -> Vectors:
    vectors: Vectors = features.pooler_output.float().cpu().numpy()  # after the projection
    return vectors


def _windows(mono: Vectors, extractor: Any) -> Sequence[Vectors]:
    """Stretches of 10 s that cover the clip; none where it is silent."""
    samples = int(extractor.nb_max_samples)
    if not len(mono) or np.mean(np.square(mono)) < 10 ** (SILENCE_DBFS / 10):
        return []
    if len(mono) < samples:
        times = {"repeatpad": samples // len(mono), "repeat": samples // len(mono) + 1}.get(extractor.padding, 1)
        repeated = np.tile(mono, times)[:samples]
        return [np.pad(repeated, (0, samples - len(repeated)))]
    starts = np.linspace(0, len(mono) - samples, math.ceil(len(mono) / samples)).astype(int)
    return [mono[start : start + samples] for start in starts]


def _log_mel(windows: torch.Tensor, extractor: Any) -> torch.Tensor:
    """What transformers' ClapFeatureExtractor makes of them, for all at once and where the model is.

    Args:
        windows: shape (windows, samples).
        extractor: its parameters.

    Returns:
        Power in dB, shape (windows, frames, bands), float32.
    """
    import torch

    # In float64, as there: of a loud tone, float32 leaves more between the partials than the floor of -100 dB.
    n_fft = extractor.fft_window_size
    hann = torch.hann_window(n_fft, dtype=torch.float64, device=windows.device)
    spectrum = torch.stft(
        windows.double(), n_fft, extractor.hop_length, window=hann, pad_mode="reflect", return_complex=True
    )
    power = spectrum.real.float().square() + spectrum.imag.float().square()  # (windows, bins, frames)
    # Which of its two banks it uses follows from how the model was trained to truncate.
    bank = extractor.mel_filters if extractor.truncation == "fusion" else extractor.mel_filters_slaney
    mel = power.transpose(1, 2) @ torch.from_numpy(bank).to(power)
    return 10 * torch.log10(mel.clamp(min=1e-10))
