"""The instruments of the demo library: additive and FM synthesis, one note or hit at a time, mono, peaks near 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from audiocur.audio import Samples

#: A pitched instrument: frequency, length and sampling rate to samples.
Instrument = Callable[[float, float, int], Samples]


def electric_piano(hz: float, length_s: float, rate_hz: int) -> Samples:
    """A tine piano: two-operator FM whose brightness dies away before the tone does, and a short metallic attack."""
    t = _times(length_s + 0.12, rate_hz)
    brightness = 1.6 * np.exp(-3.5 * t) + 0.15
    tone = np.sin(_phase(hz, t) + brightness * np.sin(_phase(hz, t))) * np.exp(-t * (0.9 + hz / 700))
    tine = np.sin(_phase(min(hz * 9, 0.4 * rate_hz), t)) * np.exp(-18 * t) if hz < 900 else 0.0
    return _shaped(0.85 * tone + 0.2 * tine, length_s, rate_hz, attack_s=0.003, release_s=0.12)


def pluck(hz: float, length_s: float, rate_hz: int) -> Samples:
    """A plucked string: harmonics of a string pulled at a fifth of its length, the upper ones fading first."""
    t = _times(length_s + 0.15, rate_hz)
    k = _harmonics(hz, 14, rate_hz)
    weights = np.sin(np.pi * k * 0.21) / k
    decay = np.exp(-t * (1.4 + 0.55 * k) * (0.6 + hz / 500))
    tone = (weights * decay * np.sin(k * _phase(hz, t))).sum(0)
    return _shaped(tone, length_s, rate_hz, attack_s=0.002, release_s=0.15)


def pad(hz: float, length_s: float, rate_hz: int) -> Samples:
    """A soft string section: three voices a few cents apart, slow to come and to go."""
    t = _times(length_s + 0.5, rate_hz)
    k = _harmonics(hz, 7, rate_hz)
    voices = [np.sin(k * _phase(hz * 2 ** (cents / 1200), t) + 1.7 * k * cents) for cents in (-7.0, 0.5, 6.0)]
    tone = (np.exp(-k / 3.2) / k * sum(voices)).sum(0)
    return _shaped(0.5 * tone, length_s, rate_hz, attack_s=min(0.3, length_s / 3), release_s=0.5)


def bass(hz: float, length_s: float, rate_hz: int) -> Samples:
    """A round electric bass: a few harmonics that close down after the attack."""
    t = _times(length_s + 0.05, rate_hz)
    k = _harmonics(hz, 8, rate_hz)
    tone = (np.exp(-k / 2.5 - k * np.minimum(t, 0.5) * 1.5) * np.sin(k * _phase(hz, t))).sum(0)
    return _shaped(np.tanh(1.8 * tone * np.exp(-0.9 * t)), length_s, rate_hz, attack_s=0.006, release_s=0.05)


def lead(hz: float, length_s: float, rate_hz: int) -> Samples:
    """A reed-like melody voice: odd harmonics, and a vibrato that sets in late."""
    t = _times(length_s + 0.08, rate_hz)
    depth = 0.12 * np.clip((t - 0.18) / 0.3, 0, 1)  # in radians at the fundamental
    wobble = depth * np.sin(_phase(5.3, t)) * hz / 220
    k = _harmonics(hz, 8, rate_hz)[::2]
    tone = (np.exp(-k / 4) / k * np.sin(k * (_phase(hz, t) + wobble))).sum(0)
    return _shaped(1.3 * tone * np.exp(-0.5 * t), length_s, rate_hz, attack_s=0.025, release_s=0.08)


def kick(rate_hz: int) -> Samples:
    """A bass drum: a sine that falls from 160 to 48 Hz, and the click of the beater."""
    t = _times(0.32, rate_hz)
    phase = 2 * np.pi * (48 * t + (112 / 28) * (1 - np.exp(-28 * t)))
    return _float(np.sin(phase) * np.exp(-9 * t) + 0.25 * np.exp(-t * 400) * np.sin(_phase(1900, t)))


def snare(rate_hz: int, rng: np.random.Generator) -> Samples:
    """A snare drum: two modes of the skin under the noise of the wires."""
    t = _times(0.26, rate_hz)
    skin = (np.sin(_phase(186, t)) + 0.6 * np.sin(_phase(331, t))) * np.exp(-22 * t)
    return _float(0.45 * skin + 0.75 * _noise(rng, t.size, 900, 9000, rate_hz) * np.exp(-17 * t))


def clap(rate_hz: int, rng: np.random.Generator) -> Samples:
    """Hands: three bursts of noise 11 ms apart and their tail."""
    t = _times(0.24, rate_hz)
    bursts = sum(np.where(t >= start, np.exp(-170 * (t - start)), 0.0) for start in (0.0, 0.011, 0.022))
    return _float(_noise(rng, t.size, 800, 5200, rate_hz) * (0.6 * bursts + 0.5 * np.exp(-20 * t)))


def hat(rate_hz: int, rng: np.random.Generator, *, decay: float) -> Samples:
    """A hi-hat, closed at a decay of 60 a second, open at 12: noise above 6 kHz."""
    t = _times(4.5 / decay, rate_hz)
    return _float(0.9 * _noise(rng, t.size, 6000, 15_000, rate_hz) * np.exp(-decay * t))


def _noise(rng: np.random.Generator, size: int, low_hz: float, high_hz: float, rate_hz: int) -> Samples:
    band = scipy.signal.butter(2, [low_hz, min(high_hz, 0.45 * rate_hz)], "bandpass", fs=rate_hz, output="sos")
    noise = scipy.signal.sosfilt(band, rng.standard_normal(size))
    return _float(noise / np.abs(noise).max())


def _times(length_s: float, rate_hz: int) -> Samples:
    return np.arange(round(length_s * rate_hz), dtype=np.float32) / np.float32(rate_hz)


def _phase(hz: float, t: Samples) -> Samples:
    return np.float32(2 * np.pi * hz) * t


def _harmonics(hz: float, count: int, rate_hz: int) -> Samples:
    """Numbers of the harmonics below 0.45 of the rate, as a column."""
    return np.arange(1, max(2, min(count + 1, int(0.45 * rate_hz / hz))), dtype=np.float32)[:, None]


def _shaped(tone: Samples, length_s: float, rate_hz: int, *, attack_s: float, release_s: float) -> Samples:
    """The tone faded in, and faded out after its length."""
    t = _times(tone.size / rate_hz, rate_hz)[: tone.size]
    rise = np.minimum(t / np.float32(attack_s), 1)
    fall = np.clip((length_s + release_s - t) / release_s, 0, 1)
    return _float(tone * rise * fall**2)


def _float(samples: NDArray[np.floating[Any]]) -> Samples:
    return samples.astype(np.float32, copy=False)
