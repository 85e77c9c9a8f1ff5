import numpy as np
import pytest

from audiocur.dsp.levels import amplitude_db, frame_edges


def test_decibels_of_nothing_are_undefined():
    assert amplitude_db(0.0) is None
    assert amplitude_db(2.0) == pytest.approx(6.0206, abs=1e-4)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 384_000])
def test_edges_do_not_drift(rate_hz):
    edges = frame_edges(600 * rate_hz, 0.1, rate_hz)
    assert len(edges) == 6001
    assert edges[-1] == 600 * rate_hz
    assert np.abs(edges - np.arange(6001) * rate_hz / 10).max() <= 0.5


def test_last_frame():
    assert frame_edges(2500, 0.1, 10_000).tolist() == [0, 1000, 2000, 2500]
    assert frame_edges(2500, 0.1, 10_000, whole=True).tolist() == [0, 1000, 2000]


def test_no_samples_have_no_frames():
    assert frame_edges(0, 0.1, 44_100).tolist() == [0]


def test_frames_are_never_shorter_than_a_sample():
    assert frame_edges(3, 0.02, 8).tolist() == [0, 1, 2, 3]
