import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.dsp.levels import amplitude_db, frame_edges, levels


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


@pytest.mark.parametrize("rate_hz", [8, 8000, 11_025, 44_100, 384_000])
@pytest.mark.parametrize("num_samples", [1, 79, 80, 81, 8_000])
def test_levels_of_every_frame(rate_hz, num_samples):
    samples = np.random.default_rng(0).normal(0.2, 0.1, (3, num_samples)).astype(np.float32)
    found = levels(samples, rate_hz)
    assert found.mean == pytest.approx(samples.mean(axis=1, dtype=float), abs=1e-6)
    centred = samples - found.mean[:, np.newaxis]
    assert found.lengths.sum() == num_samples
    for at, start in enumerate(range(0, num_samples, found.frame)):
        frame = slice(start, start + found.frame)
        assert found.power[:, at] == pytest.approx(np.mean(np.square(centred[:, frame]), axis=1), rel=1e-3, abs=1e-9)
        assert found.common[at] == pytest.approx(np.mean(centred[0, frame] * centred[1, frame]), rel=1e-3, abs=1e-6)
        assert (found.highest[:, at] == samples[:, frame].max(axis=1)).all()
        assert (found.lowest[:, at] == samples[:, frame].min(axis=1)).all()
    assert found.channel_power == pytest.approx(np.mean(np.square(centred), axis=1), rel=1e-3, abs=1e-9)


def test_audio_keeps_its_levels_whatever_its_order_in_memory():
    samples = np.random.default_rng(0).normal(0, 0.1, (20_000, 2)).astype(np.float32)
    one, other = Audio(samples.T, 44_100), Audio(np.ascontiguousarray(samples.T), 44_100)
    assert one.levels is one.levels
    for name in ("mean", "power", "highest", "lowest", "common"):
        assert (getattr(one.levels, name) == getattr(other.levels, name)).all()


def test_levels_of_nothing():
    found = levels(np.zeros((2, 0), np.float32), 44_100)
    assert found.power.shape == (2, 0)
    assert found.mean.tolist() == [0, 0]
