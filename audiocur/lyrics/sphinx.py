"""What the ops that use pocketsphinx share: its decoder, and transcripts of the voiced stretches of clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiocur.audio import VOICE_RATE_HZ, Samples
from audiocur.errors import require
from audiocur.extras import extra
from audiocur.lyrics.listening import Listener
from audiocur.lyrics.transcript import Segment, Transcript, Word
from audiocur.lyrics.windowed import Cut
from audiocur.lyrics.windows import stretches, windows
from audiocur.op import Device
from audiocur.records import Clip

_FRAMES_HZ = 100


@dataclass(frozen=True, kw_only=True)
class Sphinx(Listener):
    """English by pocketsphinx 5 with the acoustic model, dictionary and trigrams it carries.

    It was made for speech at 16 kHz; on singing it writes nonsense. Source: Huggins-Daines et al. 2006.
    """

    max_gap_s: float = 1.0
    pad_s: float = 0.3
    max_s: float = 20.0
    #: Of five readings no line has less than 0.2; of a song 10 of 14 have less than 0.15, and hardly a word right.
    min_confidence: float | None = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.max_gap_s <= 10, "max_gap_s", self.max_gap_s, "seconds, 0 to 10")
        require(0 <= self.pad_s <= 1, "pad_s", self.pad_s, "seconds, 0 to 1")
        require(1 <= self.max_s <= 60, "max_s", self.max_s, "seconds, 1 to 60")

    def load(self, device: Device) -> Any:
        with extra("pocketsphinx", f"{self.name}=pocketsphinx"):
            from pocketsphinx import Decoder
        # Means over each utterance, not over all that was heard before.
        return Decoder(samprate=float(VOICE_RATE_HZ), cmn="batch", loglevel="FATAL")

    def heard(self, clips: Sequence[Clip], model: Any) -> list[Transcript]:
        """What is heard in each clip."""
        return [self._transcript(clip, model) for clip in clips]

    def _transcript(self, clip: Clip, decoder: Any) -> Transcript:
        mono = self.sound(clip)
        parts = stretches(clip.measures["voiced"], len(mono), max_gap_s=self.max_gap_s, pad_s=self.pad_s)
        cuts: list[Cut] = [
            (start + a, start + b)
            for start, end in parts
            for a, b in windows(mono[start:end], None, window_s=self.max_s, search_s=self.max_s / 2)
        ]
        heard = [_segment(decoder, mono[start:end], start / VOICE_RATE_HZ) for start, end in cuts]
        return Transcript(segments=tuple(segment for segment in heard if segment is not None), language="en")


def _segment(decoder: Any, mono_16k: Samples, start_s: float) -> Segment | None:
    """The words of an utterance, None where there are none."""
    pcm = np.clip(np.rint(mono_16k * 32767.0), -32768, 32767).astype("<i2")
    decoder.reinit_feat()  # its estimate of the noise would make words hang on what it heard before
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return None
    words = [
        Word(
            word=found.word.split("(")[0],  # "a(2)" is the second pronunciation of "a"
            start_s=start_s + found.start_frame / _FRAMES_HZ,
            end_s=start_s + (found.end_frame + 1) / _FRAMES_HZ,
            probability=min(1.0, found.prob),
        )
        for found in decoder.seg()
        if found.word[0] not in "<[+"  # silence and noises
    ]
    if not words:
        return None
    logs = [math.log(max(word.probability or 0.0, 1e-10)) for word in words]
    return Segment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=" ".join(word.word for word in words),
        logprob=sum(logs) / len(logs),
        tokens=len(words),
        words=tuple(words),
    )
