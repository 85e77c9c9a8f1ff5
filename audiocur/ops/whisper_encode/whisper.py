"""Whisper's encoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiocur.lyrics.whisper_decoding import encode
from audiocur.lyrics.whisper_model import Loaded, WhisperWindows
from audiocur.op import Measures
from audiocur.records import Clip


@dataclass(frozen=True, kw_only=True)
class WhisperEncode(WhisperWindows):
    """Whisper's encoder, for `whisper_decode` on another device: features of fixed size, and where windows lie.

    It makes ``whisper``, shape (windows, 1500, width), float16 or float32, and ``whisper_cuts``, shape (windows, 2),
    start and end in samples at 16 kHz.
    """

    name = "whisper_encode"
    reads = ("voiced",)
    makes = ("whisper", "whisper_cuts")
    without = "decoder"

    def measure_batch(self, clips: Sequence[Clip], model: Loaded) -> Sequence[Measures]:
        import torch

        cuts = [self.cut(clip) for clip in clips]
        windows = [self.sound(clip)[start:end] for clip, cut in zip(clips, cuts, strict=True) for start, end in cut]
        # NumPy has no bfloat16.
        dtype = torch.float32 if model.dtype is torch.bfloat16 else model.dtype
        dims = model.whisper.dims
        features = torch.empty((len(windows), dims.n_audio_ctx, dims.n_audio_state), dtype=dtype)
        with torch.inference_mode():
            for at in range(0, len(windows), self.batch_windows):
                part = slice(at, at + self.batch_windows)
                features[part] = encode(model.whisper, windows[part], model.dtype).to("cpu", dtype)
        at = 0
        for clip, cut in zip(clips, cuts, strict=True):
            clip.features["whisper"] = features[at : at + len(cut)].numpy()
            clip.features["whisper_cuts"] = np.array(cut, np.int64).reshape(-1, 2)
            at += len(cut)
        return [{} for _ in clips]
