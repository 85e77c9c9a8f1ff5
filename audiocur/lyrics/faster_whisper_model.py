"""What the ops that use faster-whisper share: its model, and transcripts of a batch of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from audiocur.audio import Samples
from audiocur.checkpoints import Checkpoint, HubFolder, OwnFile
from audiocur.errors import ConfigError, RunError, require
from audiocur.extras import extra
from audiocur.lyrics.listening import Listener
from audiocur.lyrics.transcript import Transcript
from audiocur.lyrics.windowed import Heard, Line, Window, transcripts
from audiocur.lyrics.windows import lines_of, windows
from audiocur.op import Device
from audiocur.records import Clip

WINDOW_S = 30.0
_TIME_STEP_S = 0.02
#: Where a text may begin at the latest, in those steps: Whisper's 1 s.
_LAST_INITIAL_TIME = 50
_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_FILES = (*_NEEDED, "preprocessor_config.json", "vocabulary.*")


class ComputeType(StrEnum):
    """What CTranslate2 computes in."""

    auto = "auto"  # float32 on a CPU, float16 on a GPU
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"
    int8 = "int8"
    int8_float16 = "int8_float16"


@dataclass(frozen=True, kw_only=True)
class FasterWhisperModel(Listener):
    """A Whisper in CTranslate2's format, by its size or by the path of a folder."""

    model: str = "base"
    compute_type: ComputeType = ComputeType.auto
    batch_windows: int = 16
    cut_search_s: float = 10.0
    language: str | None = None
    beam_size: int = 1
    max_tokens: int = 224

    window_s: ClassVar[float | None] = WINDOW_S

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.model), "model", self.model, "a size of Whisper, or the path of a folder")
        require(1 <= self.batch_windows <= 4096, "batch_windows", self.batch_windows, "a number of windows, 1 to 4096")
        require(0 <= self.cut_search_s <= 25, "cut_search_s", self.cut_search_s, "seconds, 0 to 25")
        require(1 <= self.beam_size <= 100, "beam_size", self.beam_size, "hypotheses, 1 to 100")
        require(1 <= self.max_tokens <= 224, "max_tokens", self.max_tokens, "tokens of a window, 1 to 224")

    def checkpoints(self) -> Sequence[Checkpoint]:
        with extra("faster-whisper", f"{self.name}=faster_whisper"):
            from faster_whisper.tokenizer import _LANGUAGE_CODES
            from faster_whisper.utils import _MODELS
        known = self.language is None or self.language in _LANGUAGE_CODES
        require(known, "language", self.language, f"one of {', '.join(_LANGUAGE_CODES)}, or null")
        if "/" in self.model:
            return (OwnFile(name=f"Whisper {self.model}", path=self.model),)
        if self.model not in _MODELS:
            raise ConfigError(f"model={self.model}: expected one of {', '.join(_MODELS)}, or the path of a folder")
        return (
            HubFolder(
                name=f"Whisper {self.model} for CTranslate2", licence="MIT", repo=_MODELS[self.model], files=_FILES
            ),
        )

    def load(self, device: Device) -> Any:
        (checkpoint,) = self.checkpoints()
        with extra("faster-whisper", f"{self.name}=faster_whisper"):
            from faster_whisper import WhisperModel
        folder = checkpoint.require()
        if missing := [name for name in _NEEDED if not Path(folder, name).is_file()]:
            # Without its tokeniser, the library would look for one on a hub.
            raise RunError(f"{folder}: expected a folder of CTranslate2's format; {', '.join(missing)} is missing")
        compute = self.compute_type.value
        if self.compute_type is ComputeType.auto:
            compute = "float16" if device.kind == "cuda" else "float32"
        return WhisperModel(
            str(folder),
            device=device.kind,
            compute_type=compute,
            cpu_threads=device.threads,
            local_files_only=True,
        )

    def heard(self, clips: Sequence[Clip], model: Any) -> list[Transcript]:
        """What is heard in each clip."""
        voiced = [clip.measures["voiced"] for clip in clips]
        cuts = [
            windows(self.sound(clip), parts, window_s=WINDOW_S, search_s=self.cut_search_s)
            for clip, parts in zip(clips, voiced, strict=True)
        ]

        def recognise(batch: Sequence[Window], languages: Sequence[str | None], leaders: Sequence[int]) -> list[Heard]:
            audio = [self.sound(clips[clip])[slice(*cuts[clip][at])] for clip, at in batch]
            return self._recognise(model, audio, languages, leaders)

        return transcripts(cuts, voiced, recognise, language=self.language, batch_windows=self.batch_windows)

    def _recognise(
        self, model: Any, audio: Sequence[Samples], languages: Sequence[str | None], leaders: Sequence[int]
    ) -> list[Heard]:
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        multilingual = model.model.is_multilingual
        features = np.stack([pad_or_trim(model.feature_extractor(samples)[..., :-1]) for samples in audio])
        encoded = model.encode(features)
        spoken = ["en"] * len(audio)
        if multilingual:
            found = model.model.detect_language(encoded) if None in languages else [[("", 0.0)]] * len(audio)
            spoken = [
                given or found[leader][0][0].strip("<|>") for given, leader in zip(languages, leaders, strict=True)
            ]
        tokenizers = {
            code: Tokenizer(model.hf_tokenizer, multilingual, task="transcribe", language=code) for code in set(spoken)
        }
        results = model.model.generate(
            encoded,
            [list(tokenizers[code].sot_sequence) for code in spoken],
            beam_size=self.beam_size,
            max_length=max(2 * self.max_tokens, self.max_tokens + len(tokenizers[spoken[0]].sot_sequence)),
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizers[spoken[0]], [-1]),
            max_initial_timestamp_index=_LAST_INITIAL_TIME,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [
            _window(tokenizers[code], code, result, samples)
            for code, result, samples in zip(spoken, results, audio, strict=True)
        ]


def _window(tokenizer: Any, language: str, result: Any, samples: Samples) -> Heard:
    tokens = result.sequences_ids[0]
    lines = lines_of(
        tokens, timestamp_begin=tokenizer.timestamp_begin, precision_s=_TIME_STEP_S, window_s=len(samples) / 16_000
    )
    texts = [[token for token in line if token < tokenizer.eot] for *_, line in lines]
    return Heard(
        lines=tuple(
            Line(start_s=start_s, end_s=end_s, text=tokenizer.decode(text), tokens=len(text))
            for (start_s, end_s, _), text in zip(lines, texts, strict=True)
            if tokenizer.decode(text).strip()
        ),
        language=language,
        # The library's score is a mean over the tokens; Whisper's counts the one that ends them too.
        logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
        no_speech_prob=result.no_speech_prob,
    )
