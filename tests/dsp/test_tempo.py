"""Tempo and beats of rendered drums and chords."""

import numpy as np
import pytest
import soxr

from audiocur.audio import Audio
from audiocur.dsp.tempo import Tempo, onset_strength, tempo

RATE_HZ = 44_100


def kick(rng):
    t = np.arange(RATE_HZ // 4) / RATE_HZ
    return 0.9 * np.sin(2 * np.pi * (50 * t + 1.3 * (1 - np.exp(-30 * t)))) * np.exp(-12 * t)


def snare(rng):
    t = np.arange(RATE_HZ // 5) / RATE_HZ
    return 0.5 * rng.standard_normal(len(t)) * np.exp(-20 * t) + 0.3 * np.sin(2 * np.pi * 190 * t) * np.exp(-25 * t)


def hat(rng):
    t = np.arange(RATE_HZ // 16) / RATE_HZ
    return 0.2 * np.diff(rng.standard_normal(len(t)), prepend=0) * np.exp(-70 * t)


def pluck(midi, seconds):
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hz = 440 * 2 ** ((midi - 69) / 12)
    tone = sum(np.sin(2 * np.pi * hz * h * t) / h**1.3 for h in range(1, 7))
    return 0.15 * tone * np.exp(-3 * t) * np.minimum(1, t / 0.004)


CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))

# What sounds on beat i of length b: (delay in beats, samples).
STYLES = {
    "clicks": lambda i, b, rng: [(0, 3 * hat(rng))],
    "drums": lambda i, b, rng: [(0, snare(rng) if i % 2 else kick(rng)), (0, hat(rng))],
    "eighths": lambda i, b, rng: [(0, snare(rng) if i % 2 else kick(rng)), (0, hat(rng)), (0.5, hat(rng))],
    "chords": lambda i, b, rng: [(0, pluck(note, b)) for note in CHORDS[i // 4 % 4]],
    "waltz": lambda i, b, rng: (
        [(0, pluck(note, b / 2)) for note in CHORDS[i // 3 % 4]]
        if i % 3
        else [(0, 2 * pluck(CHORDS[i // 3 % 4][0] - 12, b))]
    ),
    "band": lambda i, b, rng: [
        (0, snare(rng) if i % 2 else kick(rng)),
        *((0, pluck(note, b)) for note in (CHORDS[i // 4 % 4][0] - 24, *CHORDS[i // 4 % 4])),
    ],
}


def render(bpm, style, seconds=20.0, first_beat_s=0.3137, jitter_s=0.0):
    """Audio and its beats, in seconds."""
    rng = np.random.default_rng(0)
    samples = 0.001 * rng.standard_normal(round(seconds * RATE_HZ))
    beats_s = np.arange(first_beat_s, seconds, 60 / bpm)
    beats_s += jitter_s * rng.standard_normal(len(beats_s))
    for i, beat_s in enumerate(beats_s):
        for delay, sound in STYLES[style](i, 60 / bpm, rng):
            start = round((beat_s + delay * 60 / bpm) * RATE_HZ)
            room = samples[start : start + len(sound)]
            room += sound[: len(room)]
    return (0.7 * samples / np.abs(samples).max()).astype(np.float32), beats_s


def of(samples, rate_hz=RATE_HZ, **limits):
    return tempo(Audio(np.atleast_2d(samples).astype(np.float32), rate_hz).spectrogram, **limits)


@pytest.mark.parametrize("bpm", [60, 72.5, 88, 100, 113.7, 120, 135, 150, 165.3, 180])
@pytest.mark.parametrize("style", ["clicks", "drums", "chords", "waltz", "band"])
def test_known_tempo(style, bpm):
    samples, beats_s = render(bpm, style)
    found = of(samples)
    if style in ("clicks", "drums") and bpm > 160:  # nothing but the beat, and fast: every second one may be it
        found = found if found.bpm > 160 else of(samples, min_bpm=100)
    assert found.bpm == pytest.approx(bpm, rel=0.001)
    assert found.confidence > 0.5
    nearest_s = np.array([np.abs(np.array(found.beats_s) - beat_s).min() for beat_s in beats_s[1:-1]])
    assert nearest_s.max() < 0.03
    assert len(found.beats_s) <= len(beats_s) + 1


@pytest.mark.parametrize("bpm", [88.5, 100, 120, 140, 170])
def test_even_eighths(bpm):
    assert of(render(bpm, "eighths")[0]).bpm == pytest.approx(bpm, rel=0.001)


@pytest.mark.parametrize("style", ["clicks", "drums", "eighths", "chords", "band"])
@pytest.mark.parametrize("bpm", [60, 88, 120, 180])
def test_the_beat_is_the_tempo_or_the_first_alternative(style, bpm):
    found = of(render(bpm, style)[0])
    likeliest = [found.bpm, *found.alternatives_bpm[:1]]
    assert min(abs(other / bpm - 1) for other in likeliest) < 0.001


def test_alternatives_are_levels_within_the_limits():
    found = of(render(120, "drums")[0], min_bpm=50, max_bpm=200)
    assert found.bpm == pytest.approx(120, rel=0.001)
    assert found.alternatives_bpm == pytest.approx([60], rel=0.001)
    assert of(render(100, "waltz")[0]).alternatives_bpm == []


def test_bars_of_what_has_bars():
    for style, beats in (("chords", 4), ("band", 4), ("waltz", 3)):
        samples, beats_s = render(113.7, style)
        found = of(samples)
        assert found.beats_per_bar == beats
        downbeats_s = beats_s[::beats]
        assert [np.abs(downbeats_s - at_s).min() < 0.03 for at_s in found.downbeats_s] == [True] * len(
            found.downbeats_s
        )
        assert len(found.downbeats_s) >= len(downbeats_s) - 2
        assert set(found.downbeats_s) <= set(found.beats_s)


def test_bars_of_clicks_are_undecided():
    found = of(render(120, "clicks")[0])
    assert found.beats_per_bar is None
    assert found.downbeats_s is None
    assert found.beats_s


def test_even_eighths_in_slow_music_may_be_taken_for_the_beat():
    assert of(render(60, "eighths")[0]).bpm == pytest.approx(120, rel=0.001)
    assert of(render(60, "eighths")[0], max_bpm=100).bpm == pytest.approx(60, rel=0.001)


@pytest.mark.parametrize("style", ["clicks", "drums", "band"])
def test_a_human_pulse(style):
    found = of(render(113.7, style, jitter_s=0.015)[0])
    assert found.bpm == pytest.approx(113.7, rel=0.005)
    assert found.confidence > 0.2


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 48_000, 384_000])
def test_any_rate(rate_hz):
    samples, _ = render(113.7, "band", seconds=8)
    found = of(soxr.resample(samples, RATE_HZ, rate_hz), rate_hz)
    assert found.bpm == pytest.approx(113.7, rel=0.002)


def test_level_does_not_matter():
    samples, _ = render(96, "band", seconds=10)
    assert of(samples / 32).bpm == pytest.approx(of(samples).bpm, rel=1e-6)
    assert of(samples / 32).confidence == pytest.approx(of(samples).confidence, abs=1e-3)


def test_no_beats_in_the_silence_around():
    samples, beats_s = render(120, "drums", seconds=12)
    found = of(np.concatenate([np.zeros(4 * RATE_HZ), samples, np.zeros(4 * RATE_HZ)]))
    assert found.bpm == pytest.approx(120, rel=0.001)
    assert found.beats_s[0] == pytest.approx(4 + beats_s[0], abs=0.03)
    assert found.beats_s[-1] == pytest.approx(4 + beats_s[-1], abs=0.03)


@pytest.mark.parametrize("bits", [16, 12])
def test_rounding_does_not_matter(bits):
    samples, _ = render(96, "band", seconds=10)
    found, rounded = of(samples), of(np.round(samples * 2 ** (bits - 1)) / 2 ** (bits - 1))
    assert rounded.bpm == pytest.approx(found.bpm, rel=1e-4)
    assert rounded.beats_s == pytest.approx(found.beats_s, abs=0.01)
    assert rounded.downbeats_s == pytest.approx(found.downbeats_s, abs=0.01)


@pytest.mark.parametrize("seconds", [5, 10, 20])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_has_no_clear_pulse(seed, seconds):
    found = of(np.random.default_rng(seed).normal(0, 0.1, seconds * RATE_HZ))
    assert found.confidence is None or found.confidence < 0.15
    assert found.beats_per_bar is None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(10 * RATE_HZ),
        np.full(10 * RATE_HZ, 0.5),
        0.5 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(10 * RATE_HZ)),
        np.eye(1, 10 * RATE_HZ, 5 * RATE_HZ)[0],
        render(120, "clicks", seconds=3.9)[0],
        np.ones(1),
    ],
    ids=["silence", "dc", "steady tone", "one click", "too short", "one sample"],
)
def test_undefined(samples):
    assert of(samples) == Tempo()


def test_frames_too_far_apart_for_a_beat():
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 8000)).astype(np.float32)
    assert tempo(Audio(noise, 400).spectrogram) == Tempo() == (None,) * 6


def test_onsets_are_where_energy_rises():
    samples = np.zeros((1, 4 * RATE_HZ), np.float32)
    for start in (RATE_HZ, 2 * RATE_HZ, 3 * RATE_HZ):
        samples[0, start : start + RATE_HZ // 2] = 0.5 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(RATE_HZ // 2))
    spectrogram = Audio(samples, RATE_HZ).spectrogram
    strength = onset_strength(spectrogram).whole
    for start_s in (1, 2, 3):
        around = slice(
            round((start_s - 0.2) * spectrogram.frame_rate_hz), round((start_s + 0.2) * spectrogram.frame_rate_hz)
        )
        peak_s = (around.start + strength[around].argmax()) / spectrogram.frame_rate_hz
        assert peak_s == pytest.approx(start_s, abs=0.03)


@pytest.mark.parametrize("seconds", [4.1, 5.0, 10.0])
def test_one_onset_has_no_tempo(seconds):
    click = np.zeros((1, round(seconds * 44_100)), np.float32)
    click[0, click.shape[1] // 2] = 1.0
    assert tempo(Audio(click, 44_100).spectrogram).bpm is None
