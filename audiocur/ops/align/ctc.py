"""When each word of the lyrics is sung, by forced alignment with a CTC model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from audiocur.audio import VOICE_RATE_HZ, Samples
from audiocur.checkpoints import Checkpoint, Download, OwnFile
from audiocur.dsp.ctc_alignment import Letters, Placed, frames_needed, line, place
from audiocur.errors import ConfigError, RowError
from audiocur.extras import extra
from audiocur.op import Column, Device, Dtype, Measures, ModelOp
from audiocur.records import Clip

if TYPE_CHECKING:
    from torch import Tensor

NULL: Measures = {"aligned_words": None, "alignment_score": None}


@dataclass(frozen=True)
class Acoustic:
    """A CTC model on 16 kHz audio.

    Attributes:
        forward: waveforms of shape (batch, samples), padded with zeros, and their lengths in samples, to logits of
            shape (batch, frames, ids).
        letters: what it emits.
        convolutions: kernel and stride of each that it hears through, in samples of the layer before.
        normalises: it expects waveforms of zero mean and unit variance.
        pads: its numbers do not depend on the padding; one that normalises over time hears each clip alone.
    """

    forward: Callable[[Tensor, Tensor], Tensor]
    letters: Letters
    convolutions: tuple[tuple[int, int], ...]
    normalises: bool
    pads: bool

    def frames(self, num_samples: int) -> int:
        """Frames it emits for so many samples."""
        for kernel, stride in self.convolutions:
            num_samples = max(0, (num_samples - kernel) // stride + 1)
        return num_samples

    def emissions(self, waveforms: Sequence[Samples]) -> list[Tensor]:
        """Log-probabilities of each, shape (frames, ids), float32 on the CPU."""
        import torch

        if not self.pads and len(waveforms) > 1:
            return [emission for waveform in waveforms for emission in self.emissions([waveform])]
        heard = [_normalised(waveform) if self.normalises else waveform for waveform in waveforms]
        lengths = torch.tensor([len(waveform) for waveform in heard])
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(waveform) for waveform in heard], batch_first=True)
        with torch.inference_mode():
            emitted = torch.log_softmax(self.forward(padded, lengths).float(), dim=-1).cpu()
        return [row[: self.frames(len(waveform))] for row, waveform in zip(emitted, heard, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Ctc(ModelOp):
    """Times of the words of `lyrics`: torchaudio's forced alignment with MMS_FA, or with any CTC model of transformers.

    MMS_FA (Pratap et al. 2023, arXiv:2305.13516) knows the letters a to z and the apostrophe, for 1,130 languages:
    accents are taken off, and words in other scripts have no times unless they are romanised first.
    """

    name = "align"
    reads = ("lyrics",)

    checkpoint: str | None = field(
        default=None, metadata={"path": True, "hint": "a folder of a CTC model as transformers saves it"}
    )
    dtype: Dtype = Dtype.auto

    writes = (
        Column(
            "aligned_words",
            pa.list_(
                pa.struct({"word": pa.string(), "start_s": pa.float32(), "end_s": pa.float32(), "score": pa.float32()})
            ),
            "s",
            "words of the lyrics with times from the clip's start and probability, null where a word has no letters "
            "the model knows; null as a whole without lyrics and where they do not fit into the clip",
            "Pratap et al. 2023",
        ),
        Column(
            "alignment_score", pa.float32(), "probability", "mean score of the aligned words, null with aligned_words"
        ),
    )

    def checkpoints(self) -> Sequence[Checkpoint]:
        if self.checkpoint is not None:
            return (OwnFile(name="align.checkpoint", path=self.checkpoint),)
        with extra("models", "align=ctc"):
            import torch
            from torchaudio.pipelines import MMS_FA
        path = Path(torch.hub.get_dir()) / "checkpoints" / MMS_FA._path.rsplit("/", 1)[-1]
        return (Download(name="MMS_FA", size_mb=1262, licence="CC-BY-NC 4.0", url=MMS_FA._path, path=path),)

    def load(self, device: Device) -> Acoustic:
        """The model on the device.

        Raises:
            ConfigError: the checkpoint is missing, is more than weights, or is no CTC model on 16 kHz audio.
        """
        with extra("models", "align=ctc"):
            import torch
            import torchaudio  # noqa: F401 - its absence must be told before any work
        (checkpoint,) = self.checkpoints()
        path = checkpoint.require()
        dtype = getattr(torch, self.dtype.on(device))
        if self.checkpoint is None:
            return _mms(path, device.kind, dtype)
        return _transformers(path, device.kind, dtype)

    def prepare(self, clip: Clip) -> None:
        if clip.measures["lyrics"]:
            _ = clip.audio.mono_16k

    def measure_batch(self, clips: Sequence[Clip], model: Acoustic) -> Sequence[Measures]:
        texts = [(clip.measures["lyrics"] or "").split() for clip in clips]
        spelt = [[model.letters.spell(word) for word in text] for text in texts]
        heard = [
            i for i, clip in enumerate(clips) if any(spelt[i]) and _fits(spelt[i], model, len(clip.audio.mono_16k))
        ]
        measures = [NULL] * len(clips)
        if heard:
            emissions = model.emissions([_finite(clips[i].audio.mono_16k) for i in heard])
            for i, emission in zip(heard, emissions, strict=True):
                placed = place(emission, spelt[i], model.letters)
                seconds = len(clips[i].audio.mono_16k) / VOICE_RATE_HZ
                measures[i] = _measures(texts[i], placed, seconds / len(emission)) if placed else NULL
        return measures


def _fits(words: Sequence[Sequence[int]], model: Acoustic, num_samples: int) -> bool:
    ids, _ = line(words, model.letters.delimiter)
    return frames_needed(ids) <= model.frames(num_samples)


def _measures(words: Sequence[str], placed: Sequence[Placed | None], frame_s: float) -> Measures:
    scores = [place.score for place in placed if place]
    return {
        "aligned_words": [
            {"word": word, "start_s": place.start * frame_s, "end_s": place.end * frame_s, "score": place.score}
            if place
            else {"word": word, "start_s": None, "end_s": None, "score": None}
            for word, place in zip(words, placed, strict=True)
        ],
        "alignment_score": sum(scores) / len(scores),
    }


@contextmanager
def _reading(path: Path, *errors: type[Exception]) -> Iterator[None]:
    caught: tuple[type[Exception], ...] = (
        pickle.UnpicklingError,
        EOFError,
        RuntimeError,
        OSError,
        ValueError,
        KeyError,
        *errors,
    )
    try:
        yield
    except caught as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"align: {path} holds no weights of a CTC model that can be loaded: {said}") from error


def _mms(path: Path, device: str, dtype: Any) -> Acoustic:
    """MMS_FA as torchaudio loads it, from the file in the cache of torch.hub."""
    from torchaudio.pipelines import MMS_FA

    with _reading(path):
        wrapped = MMS_FA.get_model(with_star=False, dl_kwargs={"map_location": "cpu", "weights_only": True})
    # The wrapper normalises a whole batch at once, padding included; what it wraps is fed clip by clip normalised.
    model = wrapped.model.to(device, dtype).eval()

    def forward(waveforms: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = model(waveforms.to(device, dtype), lengths.to(device))[0]
        return logits

    layers = tuple((layer.kernel_size, layer.stride) for layer in model.feature_extractor.conv_layers)
    return Acoustic(forward, Letters.of(MMS_FA.get_dict(star=None), blank=0), layers, normalises=True, pads=True)


def _transformers(folder: Path, device: str, dtype: Any) -> Acoustic:
    """A folder that transformers saved: config.json, vocab.json, weights, and preprocessor_config.json if need be."""
    with extra("models", "align.checkpoint"):
        from safetensors import SafetensorError
        from transformers import AutoModelForCTC
        from transformers.utils import logging
    quiet: Any = logging.disable_progress_bar  # which has no types
    quiet()
    with _reading(folder, SafetensorError):
        vocabulary: Mapping[str, Any] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        features = folder / "preprocessor_config.json"
        settings = json.loads(features.read_text(encoding="utf-8")) if features.exists() else {}
        model, found = AutoModelForCTC.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
        if missing := [*sorted(found["missing_keys"]), *map(str, found["mismatched_keys"])]:
            raise ValueError(f"no {missing[0]} in it")  # before its fine-tuning: the letters would be random
        config = model.config
        if model.main_input_name != "input_values" or not hasattr(config, "conv_kernel"):
            raise ValueError(f"a {config.model_type} does not hear waveforms")
        if not all(isinstance(i, int) and 0 <= i < config.vocab_size for i in vocabulary.values()):
            raise ValueError("its vocab.json does not name the ids that it emits")
        if settings.get("sampling_rate", VOICE_RATE_HZ) != VOICE_RATE_HZ:
            raise ValueError(f"it hears {settings['sampling_rate']} Hz, expected {VOICE_RATE_HZ}")
    model = model.to(device, dtype).eval()
    # One that normalises its first layer over time takes no mask, and would hear the padding.
    pads = config.feat_extract_norm == "layer"

    def forward(waveforms: Tensor, lengths: Tensor) -> Tensor:
        import torch

        mask = (torch.arange(waveforms.shape[1]) < lengths[:, None]).long().to(device) if pads else None
        logits: Tensor = model(waveforms.to(device, dtype), attention_mask=mask).logits
        return logits

    layers = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
    letters = Letters.of(vocabulary, blank=config.pad_token_id)
    return Acoustic(forward, letters, layers, normalises=settings.get("do_normalize", True), pads=pads)


def _normalised(waveform: Samples) -> Samples:
    """Zero mean and unit variance, as transformers' feature extractor has it."""
    normalised: Samples = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
    return normalised


def _finite(waveform: Samples) -> Samples:
    if not np.isfinite(waveform).all():
        raise RowError("the audio holds samples that are not finite")
    return waveform
