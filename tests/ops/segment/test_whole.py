"""The span as one clip."""

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.ops.segment.whole import Whole
from audiocur.records import Source, Span


@pytest.mark.parametrize(("num_samples", "expected"), [(0, []), (1, [(100, 101)]), (5000, [(100, 5100)])])
def test_the_span_is_one_clip(num_samples, expected):
    span = Span(
        source=Source(source_id="0" * 16, uri="a.wav", path=b"a.wav"),
        rate_hz=8000,
        start_sample=100,
        num_samples=num_samples,
        audio=Audio(np.zeros((2, num_samples), np.float32), 8000),
    )
    Whole().apply(span)
    assert [(clip.start_sample, clip.end_sample) for clip in span.clips] == expected
    assert span.uncut_s == 0
