"""Where in a recording somebody speaks or sings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy

from audiocur.audio import VOICE_RATE_HZ, Samples
from audiocur.errors import RowError, require
from audiocur.op import Column, Measures, SpanOp
from audiocur.records import Clip, Span

FRAME = 512  # samples the model judges at a time, 32 ms
CONTEXT = 64  # samples before them that it hears as well
WINDOW = 256  # of the spectra it hears, every half of it
HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
BLOCK = 128  # frames a call: as quick as any; the state is carried over, so no result depends on it


@dataclass(frozen=True, kw_only=True)
class Vad(SpanOp):
    """Voice activity after Silero: the voiced intervals of a span, and how much of a clip they fill."""

    name = "vad"

    threshold: float = 0.5
    min_voiced_s: float = 0.25
    min_silence_s: float = 0.1
    pad_s: float = 0.03

    writes = (
        Column("voiced_ratio", pa.float32(), "ratio", "share of the clip in which there is voice"),
        Column(
            "voiced",
            pa.list_(pa.struct({"start_s": pa.float32(), "end_s": pa.float32()})),
            "s",
            "intervals with voice, from the clip's start",
        ),
    )

    def __post_init__(self) -> None:
        require(0.01 <= self.threshold < 1, "threshold", self.threshold, "a probability, 0.01 to 1")
        for key in ("min_voiced_s", "min_silence_s", "pad_s"):
            require(0 <= getattr(self, key) <= 60, key, getattr(self, key), "seconds, 0 to 60")

    def apply(self, span: Span) -> None:
        audio = span.require_audio()
        regions = voiced_regions(
            voice_probabilities(audio.mono_16k),
            num_samples=len(audio.mono_16k),
            threshold=self.threshold,
            min_voiced=round(self.min_voiced_s * VOICE_RATE_HZ),
            min_silence=round(self.min_silence_s * VOICE_RATE_HZ),
            pad=round(self.pad_s * VOICE_RATE_HZ),
        )
        span.annotations["voiced"] = [
            (start / VOICE_RATE_HZ, min(end / VOICE_RATE_HZ, audio.duration_s)) for start, end in regions
        ]

    def measure(self, span: Span, clip: Clip) -> Measures:
        clip_start_s = (clip.start_sample - span.start_sample) / clip.rate_hz
        voiced = [
            (max(0.0, start - clip_start_s), min(clip.duration_s, end - clip_start_s))
            for start, end in span.annotations["voiced"]
            if start - clip_start_s < clip.duration_s and end > clip_start_s
        ]
        return {
            "voiced_ratio": min(1.0, sum(end - start for start, end in voiced) / clip.duration_s),
            "voiced": [{"start_s": start, "end_s": end} for start, end in voiced],
        }


@cache
def _session() -> Any:
    """Silero's weights, one session a process; they lie here because their package brings torch, 4.7 GB, along.

    benchmarks/vad_model.py made the file: it begins at the spectra, and is several times as quick as Silero's own.
    """
    import onnxruntime  # only workers need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(__file__).parent / "data/silero_vad_16k_spectra.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def voice_probabilities(mono_16k: Samples) -> Samples:
    """Probability of voice in each frame of 32 ms, shape (ceil(samples / 512),); none for less than one frame."""
    if not np.isfinite(mono_16k).all():
        raise RowError("the audio holds samples that are not finite")  # the model takes them for silence
    if len(mono_16k) < FRAME:
        return np.zeros(0, np.float32)
    padded = np.pad(mono_16k, (CONTEXT, -len(mono_16k) % FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    probabilities = []
    for i in range(0, len(frames), BLOCK):
        inputs = {"spectra": _spectra(frames[i : i + BLOCK]), "h": hidden, "c": cell}
        values, hidden, cell = _session().run(["speech_probs", "hn", "cn"], inputs)
        probabilities.append(values)
    return np.concatenate(probabilities)


def _spectra(frames: Samples) -> Samples:
    """Four spectra of each frame and its context, each beside its neighbours; shape (4 * frames, 3 * 129)."""
    padded = np.pad(frames, ((0, 0), (0, CONTEXT)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, :: WINDOW // 2]
    bins = WINDOW // 2 + 1
    spectra = np.zeros((len(frames), 1 + 4 + 1, bins), np.float32)  # silence before the first and after the last
    np.abs(scipy.fft.rfft(windows * HANN, axis=-1), out=spectra[:, 1:5])
    beside = np.lib.stride_tricks.sliding_window_view(spectra.reshape(len(frames), -1), 3 * bins, axis=1)[:, ::bins]
    return beside.reshape(-1, 3 * bins)


def voiced_regions(
    probabilities: Samples, *, num_samples: int, threshold: float, min_voiced: int, min_silence: int, pad: int
) -> list[tuple[int, int]]:
    """Voiced stretches [start, end) at 16 kHz, as `get_speech_timestamps` of silero-vad 6.2 finds them.

    Voice begins where the probability reaches `threshold` and ends where it falls 0.15 below it and stays under
    `threshold` for `min_silence` samples. Stretches of `min_voiced` samples or less are dropped, the others grow by
    `pad` at either side, or by half the gap between two.
    """
    release = max(threshold - 0.15, 0.01)
    regions: list[tuple[int, int]] = []
    start = silent_from = None
    # Compared as arrays: float32 against float32, as the reference does.
    voiced, silent = (probabilities >= threshold).tolist(), (probabilities < release).tolist()
    for i, at in enumerate(range(0, len(probabilities) * FRAME, FRAME)):
        if voiced[i]:
            start, silent_from = at if start is None else start, None
        elif silent[i] and start is not None:
            silent_from = at if silent_from is None else silent_from
            if at - silent_from >= min_silence:
                if silent_from - start > min_voiced:
                    regions.append((start, silent_from))
                start = silent_from = None
    if start is not None and num_samples - start > min_voiced:
        regions.append((start, num_samples))
    pads = [pad, *(min(pad, (after - before) // 2) for (_, before), (after, _) in pairwise(regions)), pad]
    return [
        (max(0, start - before), min(num_samples, end + after))
        for (start, end), before, after in zip(regions, pads, pads[1:], strict=False)
    ]
