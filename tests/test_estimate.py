from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocur.config import job
from audiocur.errors import OutputError
from audiocur.estimate import check_disk, estimate
from audiocur.op import ClipOp
from audiocur.pipeline import Pipeline, Step
from audiocur.storage import open_store


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Thirty recordings of 20 s, and one that is none."""
    folder = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    for number in range(30):
        soundfile.write(folder / f"{number}.wav", rng.normal(0, 0.05, (44_100 * 20, 2)), 44_100)
    (folder / "x.mp3").write_text("x")
    return folder


def made(library, *words):
    return job([f"source.path={library}", "output.path=unused", "engine=local", *words])


def test_a_sample_tells_what_all_of_it_would_cost(library):
    recipe = made(library, "segment=window", "segment.length_s=10", "keep.bandwidth=", "keep.music=")
    sources = recipe.source.list().sources
    told = estimate(recipe, sources)
    assert (told.sources, told.sampled) == (31, 12)
    assert told.seconds == pytest.approx(600, rel=0.05)
    assert told.clips == pytest.approx(60, rel=0.05)
    assert told.kept == pytest.approx(60, rel=0.05)
    # Noise does not compress: nearly two bytes a sample.
    assert told.stored_bytes == pytest.approx(600 * 44_100 * 4 * 0.85, rel=0.15)
    assert 0 < told.cpu_s < 120


def test_what_the_disk_cannot_hold_is_refused(library):
    recipe = made(library, "keep.bandwidth=", "keep.music=")
    sources = recipe.source.list().sources
    check_disk(replace(recipe, output=open_store(library)), sources)
    with pytest.raises(OutputError, match=r"output\.path=/proc: about 0\.\d GB will be written, 0\.0 GB are free"):
        check_disk(replace(recipe, output=open_store("/proc")), sources)
    check_disk(replace(made(library, "pipeline=[decode,vad]"), output=open_store("/proc")), sources)


@dataclass(frozen=True, kw_only=True)
class Crash(ClipOp):
    """Ends its process on the third clip."""

    name = "crash"

    def measure(self, clip):
        import os
        import sys

        sys.crashes = getattr(sys, "crashes", 0) + 1
        if sys.crashes == 3:
            os.abort()
        return {}


def test_a_recording_that_crashes_costs_the_estimate_no_more_than_itself(library):
    recipe = made(library, "segment=whole", "pipeline=[decode,vad,segment]")
    pipeline = Pipeline((*recipe.pipeline.steps, Step("crash", Crash())))
    told = estimate(replace(recipe, pipeline=pipeline), recipe.source.list().sources)
    # Every second one crashes its process; the others are told of all the same.
    assert 4 <= told.sampled - told.unusable <= 8
    assert told.seconds == pytest.approx(600, rel=0.1)
