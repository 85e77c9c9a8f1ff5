"""Audiobox Aesthetics: how listeners would rate a clip."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from audiocur.checkpoints import Checkpoint
from audiocur.errors import ConfigError, RunError, require
from audiocur.extras import extra
from audiocur.op import Column, Device, Measures, ModelOp
from audiocur.published import hub_or_folder
from audiocur.records import Clip

SILENCE_DBFS = -70.0  # RMS; where the gate of BS.1770 lies
SOURCE = "Tjandra et al. 2025, Meta Audiobox Aesthetics"
_WEIGHTS = "model.safetensors"  # no pickle: it runs no code
_AXES = {"aesthetics_pq": "PQ", "aesthetics_pc": "PC", "aesthetics_ce": "CE", "aesthetics_cu": "CU"}


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory.

    Attributes:
        model: the library's AesMultiOutput.
        windowed: the library's own cutting into windows: samples, masks, weights, and whose they are.
        device: where the model is.
    """

    model: Any
    windowed: Callable[..., tuple[list[Any], list[Any], list[float], list[int]]]
    device: str

    def rating(self, axis: str, raw: float) -> float:
        """What the model says, on the scale that listeners used."""
        scale = self.model.target_transform[axis]
        return raw * float(scale["std"]) + float(scale["mean"])


@dataclass(frozen=True, kw_only=True)
class Audiobox(ModelOp):
    """Ratings from 1 to 10, as listeners would give them: production quality and complexity, enjoyment, usefulness.

    The clip is heard in mono at 16 kHz, in windows of 10 s, and rated by their mean, each weighted with its length, as
    the library does; so neither stereo nor anything above 8 kHz counts. In float32: the precision that the published
    checkpoint names has no effect in the library either, and ratings are comparable only so.
    """

    name = "aesthetics"
    window_s = 10.0

    model: str = "facebook/audiobox-aesthetics"
    revision: str | None = None

    writes = (
        Column("aesthetics_pq", pa.float32(), "", "production quality, 1 to 10, null for silence", SOURCE),
        Column("aesthetics_pc", pa.float32(), "", "production complexity, 1 to 10, null for silence", SOURCE),
        Column("aesthetics_ce", pa.float32(), "", "content enjoyment, 1 to 10, null for silence", SOURCE),
        Column("aesthetics_cu", pa.float32(), "", "content usefulness, 1 to 10, null for silence", SOURCE),
    )

    def __post_init__(self) -> None:
        require(bool(self.model), "model", self.model, "a repository of the model hub or a folder")

    def checkpoints(self) -> Sequence[Checkpoint]:
        return (self._weights(),)

    def load(self, device: Device) -> Loaded:
        with extra("aesthetics", "aesthetics=audiobox"):
            from audiobox_aesthetics.infer import make_inference_batch
            from audiobox_aesthetics.model.aes import AesMultiOutput
        folder = self._weights().require()
        if not (folder / _WEIGHTS).is_file():
            raise ConfigError(f"model={self.model}: expected {_WEIGHTS} in {folder}")
        try:
            with _old_torch():
                model = AesMultiOutput.from_pretrained(folder, local_files_only=True, strict=True)
        except Exception as error:  # of many kinds: a broken file, another architecture
            raise RunError(f"model={self.model}: {folder} cannot be loaded: {error}") from error
        if not model.target_transform:
            raise ConfigError(f"model={self.model}: expected target_transform in its config.json")
        return Loaded(model.eval().to(device.kind), make_inference_batch, device.kind)

    def prepare(self, clip: Clip) -> None:
        _ = clip.audio.mono_16k

    def measure_batch(self, clips: Sequence[Clip], model: Loaded) -> Sequence[Measures]:
        import torch

        rows: list[Measures] = [dict.fromkeys(_AXES) for _ in clips]
        sounding = [i for i, clip in enumerate(clips) if _sounds(clip)]
        if not sounding:
            return rows
        mono = [torch.tensor(clips[i].audio.mono_16k)[None] for i in sounding]
        windows, masks, shares, owners = model.windowed(mono)
        with torch.inference_mode(), _old_torch():
            heard = {"wav": torch.stack(windows).to(model.device), "mask": torch.stack(masks).to(model.device)}
            raw = {axis: values.double().cpu().numpy() for axis, values in model.model(heard).items()}
        share, owner = np.array(shares), np.array(owners)
        for at, i in enumerate(sounding):
            own = owner == at
            means = {axis: np.average(values[own], weights=share[own]) for axis, values in raw.items()}
            rows[i] = {column: model.rating(axis, float(means[axis])) for column, axis in _AXES.items()}
        return rows

    def _weights(self) -> Checkpoint:
        return hub_or_folder("Audiobox Aesthetics", self.model, self.revision, ("config.json", _WEIGHTS))


def _sounds(clip: Clip) -> bool:
    mono = clip.audio.mono_16k
    return len(mono) > 0 and float(np.mean(np.square(mono))) >= 10 ** (SILENCE_DBFS / 10)


@contextmanager
def _old_torch() -> Iterator[None]:
    """Round calls of the library, which is written for a torch that did not warn of what it does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.nn.utils.weight_norm` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
        yield
