"""Bar lines of recordings, and clips between them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocur.audio import Audio
from audiocur.dsp.barlines import bar_clips, bar_lines, before_attack

RATE_HZ = 22_050
CHORDS = ((220, 262, 330), (175, 220, 262), (262, 330, 392), (196, 247, 294))


def band(bars, bpm, *, beats=4, lead_in_s=0.0):
    """A bass drum on the first beat, chords on all, and the bar lines in seconds."""
    beat_s = 60 / bpm
    samples = np.zeros(round((bars * beats * beat_s + lead_in_s + 0.5) * RATE_HZ))
    t = np.arange(round(beat_s * RATE_HZ)) / RATE_HZ
    for beat in range(bars * beats):
        sound = sum(np.sin(2 * np.pi * hz * t) for hz in CHORDS[beat // beats % 4]) * 0.1 * np.exp(-6 * t)
        if beat % beats == 0:
            sound = sound + 0.4 * np.sin(2 * np.pi * 60 * t) * np.exp(-12 * t)
        start = round((lead_in_s + beat * beat_s) * RATE_HZ)
        samples[start : start + len(t)] += sound
    return samples, lead_in_s + np.arange(bars) * beats * beat_s


def lines_s(samples):
    return [
        [line / RATE_HZ for line in run] for run in bar_lines(Audio(samples[np.newaxis].astype(np.float32), RATE_HZ))
    ]


@pytest.mark.parametrize(("bpm", "beats"), [(96, 4), (131, 4), (150, 3)])
def test_lines_fall_a_little_before_the_first_beats_of_bars(bpm, beats):
    samples, truth_s = band(round(100 * bpm / 60 / beats), bpm, beats=beats, lead_in_s=1.3)
    (found_s,) = lines_s(samples)
    assert found_s[1:-1] == pytest.approx(truth_s[-len(found_s) :][1:-1] - 0.005, abs=0.004)
    assert len(found_s) >= len(truth_s) - 2


def test_a_change_of_tempo_begins_another_run():
    fast, slow = band(32, 150), band(32, 100)
    runs = lines_s(np.concatenate([fast[0], slow[0]]))
    gaps = [np.median(np.diff(run)) for run in runs]
    assert gaps[0] == pytest.approx(1.6, abs=0.01)
    assert gaps[-1] == pytest.approx(2.4, abs=0.01)
    assert all(before[-1] < after[0] for before, after in itertools.pairwise(runs))


@pytest.mark.parametrize("seconds", [0.1, 30, 90])
def test_noise_has_no_bars(seconds):
    assert lines_s(np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE_HZ))) == []


def test_before_the_attack_and_not_through_it():
    samples = 0.01 * np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32)
    samples[:, 20_000:21_000] += 0.5
    for off_s in (-0.02, 0.0, 0.015, 0.04):
        at = before_attack(samples, 44_100, 20_000 / 44_100 + off_s)
        assert 20_000 - 0.008 * 44_100 <= at <= 20_000 - 0.002 * 44_100


def test_before_the_beat_where_nothing_rises():
    hum = np.sin(np.arange(44_100) / 30).astype(np.float32)[np.newaxis]
    assert before_attack(hum, 44_100, 0.5) == pytest.approx(0.495 * 44_100, abs=45)
    assert before_attack(hum, 44_100, 0.0) == 0
    assert before_attack(hum[:, :1], 44_100, 0.0) == 0
    assert before_attack(hum, 44_100, 1.5) <= 44_100


def clips_s(seconds, runs_s, **limits):
    limits = {"min_s": 5, "max_s": 30, "bars": 4} | limits
    hum = np.ones((1, round(seconds * 1000)), np.float32)
    runs = [[round(at * 1000) for at in run] for run in runs_s]
    return [(start / 1000, end / 1000) for start, end in bar_clips(hum, 1000, runs, **limits)]


def test_clips_hold_multiples_of_the_wanted_number_of_bars():
    lines = np.arange(0, 101, 2.0)
    clips = clips_s(100, [lines])
    assert clips[0][0] == 0
    assert clips[-1][1] == 100
    assert sum((end - start) % 8 == 0 for start, end in clips) >= len(clips) - 1
    assert clips_s(96, [np.arange(0, 97, 2.0)], bars=12) == [(0, 24), (24, 48), (48, 72), (72, 96)]


def test_bars_too_long_for_four_of_them_come_singly():
    clips = clips_s(80, [np.arange(0, 81, 8.0)], min_s=5, max_s=15)
    assert clips == [(start, start + 8) for start in range(0, 80, 8)]


def test_what_lies_before_and_after_the_bars_is_in_clips_too():
    clips = clips_s(43, [np.arange(2, 41, 2.0)])
    assert clips[0][0] == 0
    assert clips[-1][1] == 43
    assert all(before[1] == after[0] for before, after in itertools.pairwise(clips))
    assert all((start - 2) % 2 == 0 for start, _ in clips[1:])


def test_without_bars_clips_end_where_it_is_quiet():
    samples = np.ones((1, 20_000), np.float32)
    samples[:, 9_000:9_100] = 0
    assert [end for _, end in bar_clips(samples, 1000, [], min_s=5, max_s=12, bars=4)] == [
        pytest.approx(9050, abs=50),
        20_000,
    ]


@settings(deadline=None, max_examples=60)
@given(
    seconds=st.floats(0, 120),
    starts=st.lists(st.floats(0, 100), max_size=3),
    bar_s=st.floats(0.6, 8),
    count=st.integers(3, 20),
    bars=st.integers(1, 8),
)
def test_clips_tile_whatever_is_long_enough(seconds, starts, bar_s, count, bars):
    runs, after = [], 0.0
    for start in sorted(starts):
        run = np.round(max(start, after) + bar_s * np.arange(count), 3)
        run = run[run <= seconds]
        if len(run) >= 3:
            runs.append(run)
            after = run[-1] + 0.5
    clips = clips_s(seconds, runs, bars=bars)
    assert all(5 <= round(end - start, 6) <= 30 for start, end in clips)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(clips))
    covered = sum(end - start for start, end in clips)
    assert covered == pytest.approx(round(seconds * 1000) / 1000 if seconds >= 5 else 0, abs=0.002)
