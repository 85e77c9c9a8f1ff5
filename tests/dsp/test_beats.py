"""Beats on curves of onset strength."""

import numpy as np
import pytest

from audiocur.dsp.beats import beat_frames


def pulses(at, length, noise=0.0):
    """Onsets three frames wide, at fractions of frames."""
    frames = np.arange(length)
    rises = sum(np.exp(-0.5 * np.square(frames - place)) for place in at)
    return rises + noise * np.random.default_rng(0).uniform(size=length)


@pytest.mark.parametrize("period", [11.3, 20.0, 37.7, 64.2])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_beats_fall_on_pulses_between_frames(period, noise):
    truth = np.arange(7.4, 850, period)
    found = beat_frames(pulses(truth, 861, noise), period)
    assert np.abs(found[:, np.newaxis] - truth).min(axis=1).max() < (0.2 if noise == 0 else 1.0)
    assert len(truth) - 1 <= len(found) <= len(truth) + 1


def test_a_beat_on_which_nothing_sounds_is_filled_in():
    truth = np.arange(10.0, 600, 20.0)
    sounding = np.delete(truth, [7, 12, 13])
    assert beat_frames(pulses(sounding, 620), 20.0) == pytest.approx(truth, abs=1.1)


def test_beats_follow_a_player_who_slows_down():
    truth = 10 + np.cumsum(np.linspace(18, 22, 40))
    found = beat_frames(pulses(truth, 900), 20.0)
    assert np.abs(found[:, np.newaxis] - truth).min(axis=1).max() < 1.0


def test_no_beats_before_the_first_and_after_the_last_onset():
    found = beat_frames(pulses(np.arange(200.0, 500, 20.0), 800), 20.0)
    assert found[0] == pytest.approx(200, abs=0.2)
    assert found[-1] == pytest.approx(480, abs=0.2)


def test_soft_offbeats_do_not_move_the_beat():
    truth = np.arange(10.0, 600, 20.0)
    rises = pulses(truth, 620) + 0.6 * pulses(truth + 10, 620)
    assert beat_frames(rises, 20.0) == pytest.approx(truth, abs=0.2)


@pytest.mark.parametrize("period", [3.0, 3.5, 500.0])
def test_extreme_periods(period):
    found = beat_frames(pulses([30.0, 400.0], 861), period)
    assert len(found) >= 1
    assert np.all(np.diff(found) > 0)
