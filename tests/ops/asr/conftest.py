"""A Whisper of two layers with random weights, in the real format, and clips for it."""

from pathlib import Path

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.records import Clip
from tests import checkpoints

RATE_HZ = 16_000


@pytest.fixture(scope="session")
def save_whisper():
    """Saves a checkpoint as openai-whisper's are."""
    pytest.importorskip("whisper")
    return checkpoints.save_whisper


@pytest.fixture(scope="session")
def checkpoint(save_whisper, tmp_path_factory) -> Path:
    return save_whisper(tmp_path_factory.mktemp("whisper") / "tiny.pt")


@pytest.fixture(scope="session")
def make_clip():
    """Makes a clip of noises, each second of another band and loudness, so that its windows differ."""

    def make(seconds, seed=0, voiced="everywhere", **measures):
        rng = np.random.default_rng(seed)
        samples = rng.normal(0, 0.05, round(seconds * RATE_HZ)).astype(np.float32)
        for start in range(0, len(samples), RATE_HZ):
            part, width = samples[start : start + RATE_HZ], int(rng.integers(1, 40))
            part[:] = np.convolve(part, np.ones(width) / width**0.5, mode="full")[: len(part)] * rng.uniform(0.1, 1)
        if voiced == "everywhere":
            voiced = [{"start_s": 0.0, "end_s": seconds}]
        return Clip(
            clip_id=f"{seed:024x}",
            start_sample=0,
            end_sample=len(samples),
            rate_hz=RATE_HZ,
            measures={"voiced": voiced, **measures},
            _audio=Audio(samples[None], RATE_HZ),
        )

    return make
