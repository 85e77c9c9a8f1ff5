"""Stems by Hybrid Demucs: how much of a clip is vocals, and whether somebody is heard in them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soxr

from audiocur.audio import VOICE_RATE_HZ, Audio, Samples
from audiocur.checkpoints import Checkpoint, OwnFile, Tell
from audiocur.dsp.stems import Separate, chunk_starts, energy_ratios, separated
from audiocur.encoding import Format, encode
from audiocur.errors import ConfigError, RowError, RunError, require
from audiocur.extras import extra
from audiocur.op import Column, Device, Dtype, Measures, ModelOp
from audiocur.ops.measure.vad import Vad, voice_probabilities, voiced_regions
from audiocur.records import Clip

RATE_HZ = 44_100  # of the bundle
#: The stems whose energy is a column.
RATIOS = {
    "drums": "drums_energy_ratio",
    "bass": "bass_energy_ratio",
    "other": "other_energy_ratio",
    "vocals": "vocal_energy_ratio",
}


@dataclass(frozen=True)
class Separator:
    """A loaded network and the stems it gives."""

    separate: Separate
    stems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Asset(Checkpoint):
    """A file that torchaudio knows by a key, fetched by torchaudio itself into the cache of torch.hub."""

    key: str

    def found(self) -> Path | None:
        with extra("models", "separate=hdemucs"):
            import torch
        path = Path(torch.hub.get_dir()) / "torchaudio" / self.key  # as torchaudio.utils.download has it
        return path if path.is_file() else None

    def fetch(self, tell: Tell = lambda done_bytes: None) -> Path:
        with extra("models", "separate=hdemucs"):
            import torchaudio
        try:
            path = Path(torchaudio.utils._download_asset(self.key, progress=False))
            tell(path.stat().st_size)  # at its end: torchaudio does not say how far it is
        except (OSError, RuntimeError) as error:
            raise RunError(f"{self.name}: {self.key} cannot be fetched: {error}") from error
        return path


@dataclass(frozen=True, kw_only=True)
class Hdemucs(ModelOp):
    """Drums, bass, other and vocals by Hybrid Demucs (Défossez 2021, arXiv:2111.03600), and what share each has.

    The clip is taken apart at 44.1 kHz in stereo, in chunks that overlap and are cross-faded linearly. The vocal stem
    goes on to later ops as the feature ``vocals``: mono, float32, 16 kHz, shape (samples,).
    """

    name = "separate"
    makes = ("vocals",)
    window_s = 10.0  # chunks of one length, see `chunk_s`: clips of any length may share a batch

    checkpoint: str | None = field(default=None, metadata={"path": True, "hint": "a file of HDemucs weights"})
    chunk_s: float = 10.0
    overlap_s: float = 1.0
    batch_chunks: int = 4
    voice_threshold: float = 0.5
    store: bool = False
    # On cards with TF32 convolutions run in that anyway, and half precision adds noise to stems for little speed.
    dtype: Dtype = Dtype.float32

    writes = (
        *(
            Column(column, pa.float32(), "ratio", f"energy of the {stem} stem over that of all, null in silence")
            for stem, column in RATIOS.items()
        ),
        Column("vocals_voiced_ratio", pa.float32(), "ratio", "share of the clip with voice in its vocal stem"),
        Column("vocals_audio", pa.binary(), "", "the vocal stem as 44.1 kHz stereo FLAC, null unless separate.store"),
    )

    def __post_init__(self) -> None:
        require(1 <= self.chunk_s <= 600, "chunk_s", self.chunk_s, "seconds, 1 to 600")
        require(0 < self.overlap_s <= self.chunk_s / 2, "overlap_s", self.overlap_s, "seconds, up to half of chunk_s")
        require(self.batch_chunks >= 1, "batch_chunks", self.batch_chunks, "a number of chunks, at least 1")
        require(0.01 <= self.voice_threshold < 1, "voice_threshold", self.voice_threshold, "a probability, 0.01 to 1")

    def checkpoints(self) -> Sequence[Checkpoint]:
        if self.checkpoint is not None:
            return (OwnFile(name="separate.checkpoint", path=self.checkpoint),)
        with extra("models", "separate=hdemucs"):
            from torchaudio.pipelines import HDEMUCS_HIGH_MUSDB_PLUS as BUNDLE
        return (Asset(name="HDEMUCS_HIGH_MUSDB_PLUS", size_mb=335, key=BUNDLE._model_path),)

    def load(self, device: Device) -> Separator:
        """The network on the device.

        Raises:
            ConfigError: the checkpoint is missing, is more than weights, or does not fit the network.
        """
        (checkpoint,) = self.checkpoints()
        network = network_of(checkpoint.require())
        import torch

        network = network.to(device.kind).eval()
        dtype = getattr(torch, self.dtype.on(device))

        def separate(chunks: Samples) -> Samples:
            with (
                torch.inference_mode(),
                torch.autocast(device.kind, dtype=dtype, enabled=dtype is not torch.float32),
            ):
                stems: Samples = network(torch.from_numpy(chunks).to(device.kind)).float().cpu().numpy()
            return stems

        return Separator(separate, tuple(network.sources))

    def measure_batch(self, clips: Sequence[Clip], model: Separator) -> Sequence[Measures]:
        stems = separated(
            [stereo(clip.audio) for clip in clips],
            model.separate,
            stems=len(model.stems),
            chunk=self._samples(self.chunk_s),
            overlap=self._samples(self.overlap_s),
            batch=self.batch_chunks,
        )
        return [self._measures(clip, model.stems, of_clip) for clip, of_clip in zip(clips, stems, strict=True)]

    def computed_s(self, longest_s: float, clips: int) -> float:
        chunk, overlap = self._samples(self.chunk_s), self._samples(self.overlap_s)
        return len(chunk_starts(self._samples(longest_s), chunk, overlap)) * self.chunk_s * clips

    def _samples(self, seconds: float) -> int:
        return round(seconds * RATE_HZ)

    def _measures(self, clip: Clip, names: Sequence[str], stems: Samples) -> Measures:
        if not np.isfinite(stems).all():
            raise ArithmeticError(f"stems are not finite in {self.dtype}")
        ratios = dict(zip(names, energy_ratios(stems), strict=True))
        vocals = stems[names.index("vocals")]
        mono_16k: Samples = soxr.resample(vocals.mean(axis=0), RATE_HZ, VOICE_RATE_HZ)
        clip.features["vocals"] = mono_16k
        return {
            **{column: ratios.get(stem) for stem, column in RATIOS.items()},
            "vocals_voiced_ratio": voiced_ratio(mono_16k, self.voice_threshold),
            "vocals_audio": encode(Audio(vocals, RATE_HZ), Format.FLAC) if self.store else None,
        }


def network_of(path: Path) -> Any:
    """The network of a checkpoint: a state dict of the high-resolution one, or ``{"config": …, "state_dict": …}``.

    Raises:
        ConfigError: the file is more than weights, or they do not fit.
    """
    with extra("models", "separate=hdemucs"):
        import torch
        from torchaudio.models import HDemucs
        from torchaudio.pipelines import HDEMUCS_HIGH_MUSDB_PLUS as BUNDLE
    where = f"separate.checkpoint={path}"
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(f"{where}: no file of weights, and nothing else is loaded: {_line(error)}") from error
    try:
        if "state_dict" in kept:
            network = HDemucs(**kept["config"])
            network.load_state_dict(kept["state_dict"])
        else:
            network = BUNDLE._model_factory_func()
            network.load_state_dict(kept)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(f"{where}: its weights do not fit HDemucs: {_line(error)}") from error
    if "vocals" not in network.sources or network.audio_channels != 2:
        raise ConfigError(
            f"{where}: expected a stereo network with a stem named vocals, got {network.audio_channels} channels and "
            f"{', '.join(network.sources)}"
        )
    return network


def stereo(audio: Audio) -> Samples:
    """At 44.1 kHz, shape (2, samples); mono and surround as two equal channels.

    Raises:
        RowError: samples that are not finite.
    """
    samples = audio.samples if audio.channels == 2 else np.stack([audio.mono, audio.mono])
    if not np.isfinite(samples).all():
        raise RowError("the audio holds samples that are not finite")
    if audio.rate_hz == RATE_HZ:
        return samples
    resampled: Samples = soxr.resample(samples.T, audio.rate_hz, RATE_HZ).T
    return resampled


def voiced_ratio(mono_16k: Samples, threshold: float) -> float:
    """Share with voice, as `Vad` finds it in the whole mix."""
    vad = Vad(threshold=threshold)
    regions = voiced_regions(
        voice_probabilities(mono_16k),
        num_samples=len(mono_16k),
        threshold=vad.threshold,
        min_voiced=round(vad.min_voiced_s * VOICE_RATE_HZ),
        min_silence=round(vad.min_silence_s * VOICE_RATE_HZ),
        pad=round(vad.pad_s * VOICE_RATE_HZ),
    )
    return sum(end - start for start, end in regions) / max(1, len(mono_16k))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
