"""What all ops that use a Whisper share: its checkpoint, its parameters, and transcripts of a batch of clips."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from audiocur.checkpoints import Checkpoint, Download, OwnFile
from audiocur.errors import ConfigError, RunError, require
from audiocur.extras import extra
from audiocur.lyrics.gates import Gated
from audiocur.lyrics.hearing import Hearing
from audiocur.lyrics.transcript import Transcript
from audiocur.lyrics.whisper_decoding import WINDOW_S, decode, encode, heard_in
from audiocur.lyrics.windowed import Cut, Heard, Window, transcripts
from audiocur.lyrics.windows import windows
from audiocur.op import Device, Dtype, ModelOp
from audiocur.records import Clip

if TYPE_CHECKING:
    import torch

#: What a download takes, MB; sizes are not among what the library tells.
_SIZES_MB = {"tiny": 76, "base": 145, "small": 484, "medium": 1528, "large": 3087, "turbo": 1618}


@dataclass(frozen=True)
class Loaded:
    """A Whisper on its device, and what it computes in."""

    whisper: Any
    dtype: torch.dtype


@dataclass(frozen=True, kw_only=True)
class WhisperModel(ModelOp):
    """A Whisper by its size, or by the path of a checkpoint of openai-whisper's format."""

    model: str = "base"
    dtype: Dtype = Dtype.auto
    batch_windows: int = 16

    #: The part of it that is not needed, "encoder" or "decoder".
    without: ClassVar[str | None] = None
    window_s: ClassVar[float | None] = WINDOW_S

    def __post_init__(self) -> None:
        require(bool(self.model), "model", self.model, "a size of Whisper, or the path of a checkpoint")
        require(1 <= self.batch_windows <= 4096, "batch_windows", self.batch_windows, "a number of windows, 1 to 4096")

    def checkpoints(self) -> Sequence[Checkpoint]:
        if "/" in self.model or self.model.endswith(".pt"):
            return (OwnFile(name=f"Whisper {self.model}", path=self.model),)
        with extra("models", f"{self.name}=whisper"):
            from whisper import _MODELS
        if self.model not in _MODELS:
            raise ConfigError(f"model={self.model}: expected one of {', '.join(_MODELS)}, or the path of a checkpoint")
        url = _MODELS[self.model]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper"
        size = "turbo" if "turbo" in self.model else self.model.removesuffix(".en").split("-")[0]
        return (
            Download(
                name=f"Whisper {self.model}",
                size_mb=_SIZES_MB.get(size),
                licence="MIT",
                url=url,
                path=cache / url.rsplit("/", 1)[1],
                digest=url.split("/")[-2],
            ),
        )

    def load(self, device: Device) -> Loaded:
        (checkpoint,) = self.checkpoints()
        with extra("models", f"{self.name}=whisper"):
            import torch
            from whisper import _ALIGNMENT_HEADS
            from whisper.model import ModelDimensions, Whisper
        path = checkpoint.require()
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            model = Whisper(ModelDimensions(**content["dims"]))
            model.load_state_dict(content["model_state_dict"])
        except (pickle.UnpicklingError, EOFError, OSError) as error:
            raise RunError(f"{path}: expected a file of weights alone: {_first_line(error)}") from error
        except (KeyError, TypeError, RuntimeError) as error:
            raise RunError(f"{path}: expected a checkpoint of openai-whisper: {_first_line(error)}") from error
        if self.model in _ALIGNMENT_HEADS:
            model.set_alignment_heads(_ALIGNMENT_HEADS[self.model])
        if self.without:
            setattr(model, self.without, None)
        dtype: torch.dtype = getattr(torch, self.dtype.on(device))
        # Whisper's layers cast their weights on each call; once is enough. Its norms are computed in float32.
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Embedding):
                module.to(dtype)
        return Loaded(model.to(device.kind).eval(), dtype)


@dataclass(frozen=True, kw_only=True)
class WhisperWindows(WhisperModel, Hearing):
    """A Whisper that is given clips: in windows, cut where nobody sings."""

    cut_search_s: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.cut_search_s <= 25, "cut_search_s", self.cut_search_s, "seconds, 0 to 25")

    def cut(self, clip: Clip) -> list[Cut]:
        """The windows of a clip, in samples at 16 kHz."""
        return windows(self.sound(clip), clip.measures["voiced"], window_s=WINDOW_S, search_s=self.cut_search_s)


@dataclass(frozen=True, kw_only=True)
class WhisperText(WhisperModel, Gated):
    """A Whisper that writes down what it hears in windows."""

    language: str | None = None
    words: bool = False
    max_tokens: int = 224

    def __post_init__(self) -> None:
        WhisperModel.__post_init__(self)
        Gated.__post_init__(self)
        require(1 <= self.max_tokens <= 224, "max_tokens", self.max_tokens, "tokens of a window, 1 to 224")

    def checkpoints(self) -> Sequence[Checkpoint]:
        if self.language is not None:
            with extra("models", f"{self.name}=whisper"):
                from whisper.tokenizer import LANGUAGES
            require(self.language in LANGUAGES, "language", self.language, f"one of {', '.join(LANGUAGES)}, or null")
        return super().checkpoints()

    def transcripts(
        self,
        clips: Sequence[Clip],
        cuts: Sequence[Sequence[Cut]],
        features: Callable[[Sequence[Window]], torch.Tensor],
        model: Loaded,
    ) -> list[Transcript]:
        """What is heard in each clip.

        Args:
            clips: that the windows are of.
            cuts: the windows of each clip.
            features: gives the encoder's, shape (windows, 1500, width).
            model: as loaded.
        """
        import torch

        def recognise(batch: Sequence[Window], languages: Sequence[str | None], leaders: Sequence[int]) -> list[Heard]:
            encoded = features(batch)
            decoded = decode(model.whisper, encoded, languages=languages, leaders=leaders, max_tokens=self.max_tokens)
            lengths = [end - start for start, end in (cuts[clip][at] for clip, at in batch)]
            return [
                heard_in(model.whisper, result, of_window, samples=samples, words=self.words)
                for result, of_window, samples in zip(decoded, encoded, lengths, strict=True)
            ]

        with torch.inference_mode():
            return transcripts(
                cuts,
                [clip.measures["voiced"] for clip in clips],
                recognise,
                language=self.language,
                batch_windows=self.batch_windows,
            )


@dataclass(frozen=True, kw_only=True)
class WhisperWhole(WhisperWindows, WhisperText):
    """A Whisper, both its parts, from clips to text."""

    def heard(self, clips: Sequence[Clip], model: Loaded) -> list[Transcript]:
        """What is heard in each clip."""
        cuts = [self.cut(clip) for clip in clips]

        def features(batch: Sequence[Window]) -> torch.Tensor:
            windows = [self.sound(clips[clip])[slice(*cuts[clip][at])] for clip, at in batch]
            return encode(model.whisper, windows, model.dtype)

        return self.transcripts(clips, cuts, features, model)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
