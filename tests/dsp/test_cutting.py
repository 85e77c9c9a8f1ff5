"""Where recordings are cut: known pauses, and what must hold for any recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur.dsp.cutting import best_clips, quiet_clips, rms

FRAME = 4


def tiles(clips, num_samples):
    return [0, *(end for _, end in clips)] == [*(start for start, _ in clips), num_samples]


def test_rms_of_known_frames():
    samples = np.array([[1, -1, 0, 0, 0.5], [1, -1, 0, 0, -0.5]], np.float32)
    assert rms(samples, 2).tolist() == [1.0, 0.0, 0.5]


def test_rms_of_opposite_phase_is_not_silence():
    tone = np.sin(np.arange(1000) / 5, dtype=np.float32)
    np.testing.assert_allclose(rms(np.stack([tone, -tone]), 100), rms(tone[None], 100), rtol=1e-6)


def test_rms_of_nothing_is_empty():
    assert rms(np.zeros((2, 0), np.float32), 10).shape == (0,)


def test_cuts_lie_in_the_pauses():
    rate_hz = 8000
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 60 * rate_hz)).astype(np.float32)
    for pause_s in (9.0, 21.0, 40.0, 52.0):
        noise[:, int(pause_s * rate_hz) : int((pause_s + 0.2) * rate_hz)] *= 0.001
    clips = quiet_clips(noise, rate_hz, [], min_s=5, max_s=20)
    assert tiles(clips, noise.shape[1])
    cuts_s = [end / rate_hz for _, end in clips[:-1]]
    np.testing.assert_allclose(cuts_s, [9.1, 21.1, 40.1, 52.1][: len(cuts_s)], atol=0.1)
    assert len(cuts_s) >= 3


def test_one_more_cut_in_a_rest_is_preferred_to_one_in_a_note():
    amplitude = np.full(600, 0.3)
    amplitude[[150, 350]] = 0.003
    clips = best_clips(amplitude, frame_samples=10, num_samples=6000, voiced=[], min_samples=1000, max_samples=3000)
    assert clips == [(0, 1505), (1505, 3505), (3505, 6000)]


def test_silence_is_cut_no_oftener_than_need_be():
    clips = best_clips(np.zeros(100), frame_samples=10, num_samples=1000, voiced=[], min_samples=50, max_samples=300)
    assert len(clips) == 4
    assert tiles(clips, 1000)


def test_a_long_voiced_interval_is_torn_once_at_its_quietest():
    amplitude = np.full(100, 0.2)
    amplitude[[33, 52]] = 0.1, 0.05
    clips = best_clips(
        amplitude, frame_samples=10, num_samples=1000, voiced=[(0, 1000)], min_samples=100, max_samples=600
    )
    assert clips == [(0, 525), (525, 1000)]


def test_one_tear_is_preferred_to_two_quieter_ones():
    amplitude = np.full(100, 0.5)
    amplitude[[25, 75]] = 0
    clips = best_clips(
        amplitude, frame_samples=10, num_samples=1000, voiced=[(0, 1000)], min_samples=100, max_samples=600
    )
    assert len(clips) == 2
    clips = best_clips(amplitude, frame_samples=10, num_samples=1000, voiced=[], min_samples=100, max_samples=600)
    assert clips == [(0, 255), (255, 755), (755, 1000)]


@pytest.mark.parametrize(("loud_frame", "expected"), [(10, (0, 300)), (30, (100, 400))])
def test_a_clip_beside_an_uncut_stretch_keeps_its_quieter_end(loud_frame, expected):
    amplitude = np.full(40, 0.1)
    amplitude[loud_frame] = 0.9
    args = {"frame_samples": 10, "num_samples": 400, "min_samples": 250, "max_samples": 300}
    assert best_clips(amplitude, voiced=[(100, 300)], **args) == [expected]


def test_a_gap_of_one_sample_can_be_cut():
    args = {"frame_samples": 10, "num_samples": 1000, "min_samples": 200, "max_samples": 600}
    assert best_clips(np.ones(100), voiced=[(0, 503), (504, 1000)], **args) in ([(0, n), (n, 1000)] for n in (503, 504))
    assert best_clips(np.ones(100), voiced=[(0, 503), (503, 1000)], **args) == [(0, 503), (503, 1000)]


def test_what_cannot_be_tiled_is_left_uncut_rather_than_torn():
    voiced = [(0, 20), (30, 325)]  # 2 s and 29.5 s: too long together, and the first too short alone
    clips = best_clips(np.ones(33), frame_samples=10, num_samples=325, voiced=voiced, min_samples=50, max_samples=300)
    assert clips == [(25, 325)]


@pytest.mark.parametrize("num_samples", [0, 1, 99])
def test_shorter_than_a_clip_gives_none(num_samples):
    assert quiet_clips(np.ones((1, num_samples), np.float32), 100, [], min_s=1, max_s=2) == []


@pytest.mark.parametrize("num_samples", [100, 101, 199, 200, 201, 202, 399, 400, 401])
def test_tight_bounds_tile_to_the_sample(num_samples):
    clips = quiet_clips(np.ones((1, num_samples), np.float32), 100, [], min_s=1, max_s=2)
    assert tiles(clips, num_samples)
    assert all(100 <= end - start <= 200 for start, end in clips)


def test_a_recording_of_just_the_least_length_is_a_clip():
    assert 0.07 * 100 > 7
    assert quiet_clips(np.ones((1, 7), np.float32), 100, [], min_s=0.07, max_s=0.14) == [(0, 7)]


@st.composite
def recordings(draw):
    """A recording of random loudness with random voiced intervals, and bounds that are at least a factor of 2 apart."""
    lengths = draw(st.lists(st.integers(1, 150), max_size=24))
    edges = np.cumsum(lengths).tolist()
    voiced = list(zip(edges[0::2], edges[1::2], strict=False))
    num_samples = (edges[-1] if edges else 0) + draw(st.integers(1, 150))
    min_samples = draw(st.integers(1, 120))
    max_samples = draw(st.integers(2 * min_samples, 500))
    seed = draw(st.integers(0, 2**32 - 1))
    amplitude = np.random.default_rng(seed).choice([0.0, 0.01, 0.1, 1.0], -(-num_samples // FRAME))
    return amplitude, {
        "frame_samples": FRAME,
        "num_samples": num_samples,
        "voiced": voiced,
        "min_samples": min_samples,
        "max_samples": max_samples,
    }


@settings(deadline=None)
@given(recordings())
def test_clips_are_in_order_in_bounds_and_tear_nothing_that_fits(recording):
    amplitude, args = recording
    clips = best_clips(amplitude, **args)
    bounds = [0, *(bound for clip in clips for bound in clip), args["num_samples"]]
    assert bounds == sorted(bounds)
    assert all(args["min_samples"] <= end - start <= args["max_samples"] for start, end in clips)
    torn = [(a, b) for a, b in args["voiced"] for cut in bounds if a < cut < b]
    assert all(b - a > args["max_samples"] for a, b in torn)
    assert best_clips(amplitude.copy(), **args) == clips


@settings(deadline=None)
@given(recordings())
def test_without_voice_nothing_is_left_over(recording):
    amplitude, args = recording
    clips = best_clips(amplitude, **{**args, "voiced": []})
    assert tiles(clips, args["num_samples"]) if args["num_samples"] >= args["min_samples"] else clips == []


@settings(deadline=None)
@given(recordings())
def test_a_partition_that_spares_all_phrases_is_found(recording):
    """Every place is tried here; ten frames of slack are what the coarser candidates may cost a clip."""
    amplitude, args = recording
    num_samples, slack = args["num_samples"], 10 * FRAME
    allowed = np.ones(num_samples + 1, bool)
    for start, end in args["voiced"]:
        allowed[start + 1 : end] = False
    reached = np.zeros(num_samples + 1, bool)
    reached[0] = True
    for i in range(1, num_samples + 1):
        window = reached[max(0, i - args["max_samples"] + slack) : max(0, i - args["min_samples"] - slack + 1)]
        reached[i] = allowed[i] and window.any()
    if reached[-1]:
        assert tiles(best_clips(amplitude, **args), num_samples)
