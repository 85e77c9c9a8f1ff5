import numpy as np
import pytest

from audiocur.dsp.dc import dc_offset
from audiocur.dsp.levels import levels


@pytest.mark.parametrize("offset", [-0.25, 0.0, 0.001, 0.5])
def test_offset_of_a_tone(offset):
    tone = offset + 0.3 * np.sin(2 * np.pi * 100 / 8000 * np.arange(80_000))
    assert dc_offset(levels(tone.astype(np.float32)[np.newaxis], 8000)) == pytest.approx(abs(offset), abs=1e-6)


def test_the_worst_channel_counts():
    samples = np.zeros((3, 100), np.float32)
    samples[1], samples[2] = 0.1, -0.2
    assert dc_offset(levels(samples, 8000)) == pytest.approx(0.2)


def test_no_samples():
    assert dc_offset(levels(np.zeros((2, 0), np.float32), 8000)) is None
