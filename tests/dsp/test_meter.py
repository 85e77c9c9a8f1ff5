"""Bars of beats whose accents are known."""

import numpy as np
import pytest

from audiocur.audio import Audio
from audiocur.dsp.meter import bars
from audiocur.dsp.tempo import onset_strength

RATE_HZ = 22_050
CHORDS = ((220, 262, 330), (175, 220, 262), (262, 330, 392), (196, 247, 294))
BEAT_S = 0.5


def played(beats, sounds, gain=1.0):
    """What `sounds` plays on each beat, as (delay in beats, Hz, length in s)."""
    samples = np.zeros(round((beats + 1) * BEAT_S * RATE_HZ))
    for beat in range(beats):
        for delay, hz, length_s in sounds(beat):
            t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
            start = round((beat + delay + 0.2) * BEAT_S * RATE_HZ)
            room = samples[start : start + len(t)]
            room += (0.2 * np.sin(2 * np.pi * hz * t) * np.exp(-6 * t))[: len(room)]
    audio = Audio((gain * samples[np.newaxis]).astype(np.float32), RATE_HZ)
    spectrogram = audio.spectrogram
    onsets = onset_strength(spectrogram)
    return bars(spectrogram, onsets.whole, onsets.low, (np.arange(beats) + 0.2) * BEAT_S * spectrogram.frame_rate_hz)


def chords(meter, first):
    """A new chord on every first beat."""
    return lambda beat: [(0, hz, 0.5) for hz in CHORDS[(beat - first) // meter % 4]]


@pytest.mark.parametrize(("meter", "first"), [(4, 0), (4, 1), (4, 3), (3, 0), (3, 2)])
def test_bars_begin_where_the_harmony_changes(meter, first):
    found = played(32, chords(meter, first))
    assert (found.beats, found.first) == (meter, first)
    assert 0.5 <= found.likelihood <= 1


@pytest.mark.parametrize(("meter", "first"), [(4, 2), (3, 1)])
def test_bars_begin_where_the_bass_drum_is(meter, first):
    found = played(32, lambda beat: [(0, 60, 0.3)] if beat % meter == first else [(0, 900, 0.2)])
    assert (found.beats, found.first) == (meter, first)


@pytest.mark.parametrize("first", [0, 1])
def test_two_beats_of_triplets_are_six_eight(first):
    def sounds(beat):
        yield from ((third / 3, hz, 0.15) for third in range(3) for hz in CHORDS[(beat - first) // 2 % 4])
        if beat % 2 == first:
            yield 0, 60, 0.3

    found = played(32, sounds)
    assert (found.beats, found.first) == (2, first)


def test_the_same_on_every_beat_is_undecided():
    assert played(32, lambda beat: [(0, 900, 0.2)]) is None


def test_a_few_beats_are_undecided():
    assert played(7, chords(4, 0)) is None
    assert played(16, chords(4, 0)) is not None


def test_level_does_not_matter():
    loud, faint = (played(32, chords(4, 1), gain=gain) for gain in (1.0, 0.01))
    assert loud is not None
    assert faint[:2] == loud[:2]
