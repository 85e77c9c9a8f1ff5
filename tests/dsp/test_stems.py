"""Chunks of a mix through a network that takes them apart: exact where the network is, and the same in every batch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur.dsp.stems import chunk_starts, energy_ratios, separated

SHARES = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def by_shares(chunks):
    """A network whose stems are known shares of the mix."""
    return chunks[:, None] * SHARES[:, None, None]


def noise(num_samples, seed=0, mean=0.0, deviation=0.1):
    samples = np.random.default_rng(seed).normal(0, deviation, (2, num_samples))
    return (samples - samples.mean() + mean).astype(np.float32) if num_samples else samples.astype(np.float32)


@given(st.integers(1, 500), st.integers(2, 60), st.data())
def test_chunks_cover_everything_and_no_more_than_needed(num_samples, chunk, data):
    overlap = data.draw(st.integers(1, chunk // 2))
    starts = chunk_starts(num_samples, chunk, overlap)
    assert starts[0] == 0
    assert all(0 < b - a <= chunk - overlap for a, b in pairwise(starts))
    assert starts[-1] + chunk == max(num_samples, chunk)
    assert len(starts) == 1 or (len(starts) - 1) * (chunk - overlap) + overlap < num_samples


@given(st.integers(1, 300), st.integers(2, 60), st.integers(1, 5), st.data())
@settings(deadline=None)
def test_cross_fades_add_up_to_one(num_samples, chunk, batch, data):
    overlap = data.draw(st.integers(1, chunk // 2))
    mix = noise(num_samples)
    (stems,) = separated([mix], by_shares, stems=4, chunk=chunk, overlap=overlap, batch=batch)
    assert stems.shape == (4, 2, num_samples)
    np.testing.assert_allclose(stems, mix * SHARES[:, None, None], atol=1e-6)


def test_a_cross_fade_is_linear():
    # The first chunk says 0 and the second 1, whatever they hear.
    def by_turn(chunks):
        return np.stack([np.full((1, *chunk.shape), i, np.float32) for i, chunk in enumerate(chunks)])

    mix = noise(16)
    (stems,) = separated([mix], by_turn, stems=1, chunk=10, overlap=4, batch=2)
    scale = mix.std(dtype=np.float64)
    expected = np.r_[np.zeros(6), np.arange(1, 5) / 5, np.ones(6)]
    np.testing.assert_allclose(stems[0, 0] / scale, expected, atol=1e-6)


def test_a_mix_without_its_mean_and_level_is_what_the_network_hears():
    heard = []

    def listening(chunks):
        heard.append(chunks)
        return by_shares(chunks)

    mix = noise(100, mean=0.3, deviation=1e-4)
    (stems,) = separated([mix], listening, stems=4, chunk=100, overlap=10, batch=1)
    assert heard[0].std() == pytest.approx(1, abs=1e-3)
    assert heard[0].mean() == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(stems.sum(axis=0), mix - np.float32(0.3), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_batches_change_nothing_and_are_full(batch):
    sizes = []

    def counting(chunks):
        sizes.append(len(chunks))
        return by_shares(chunks) + np.tanh(chunks)[:, None]

    mixes = [noise(250, 1), noise(99, 2), np.zeros((2, 70), np.float32), noise(0), noise(180, 3)]
    together = list(separated(mixes, counting, stems=4, chunk=100, overlap=20, batch=batch))
    num_chunks = 3 + 1 + 2
    assert sizes == [batch] * (num_chunks // batch) + [num_chunks % batch] * (num_chunks % batch > 0)
    for mix, stems in zip(mixes, together, strict=True):
        (alone,) = separated([mix], counting, stems=4, chunk=100, overlap=20, batch=100)
        np.testing.assert_array_equal(alone, stems)


@pytest.mark.parametrize("value", [0.0, 0.5, 1e-7])
def test_silence_is_not_heard(value):
    def never(chunks):
        raise AssertionError("heard silence")

    (stems,) = separated([np.full((2, 5000), value, np.float32)], never, stems=4, chunk=100, overlap=10, batch=2)
    assert stems.shape == (4, 2, 5000)
    assert not stems.any()


def test_energy_ratios_are_shares_of_the_whole():
    mix = noise(1000)
    (stems,) = separated([mix], by_shares, stems=4, chunk=300, overlap=50, batch=2)
    assert energy_ratios(stems) == pytest.approx(list(SHARES**2 / (SHARES**2).sum()), rel=1e-4)
