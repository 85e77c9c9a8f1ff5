"""A short stretch of sound that every browser plays, small enough for a page that holds dozens."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr

from audiocur.audio import Audio

#: Rates that MPEG-1 and MPEG-2 Layer III have.
_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
#: Of libsndfile's scale from best to smallest: about 130 kbit/s for stereo music.
_COMPRESSION = 0.5
#: Against clicks where the excerpt begins and ends.
_FADE_S = 0.005


def excerpt_mp3(audio: Audio) -> bytes:
    """Audio as MP3; of more than two channels their first two, at the nearest rate above that MP3 has.

    An ear may judge noise, hum, dropouts, distortion and balance by it, but not what lies above 16 kHz.

    >>> silence = Audio(np.zeros((1, 8_000), np.float32), 8_000)
    >>> len(excerpt_mp3(silence)) < 20_000
    True
    """
    samples, rate_hz = audio.samples[:2].T, audio.rate_hz
    if rate_hz not in _RATES_HZ:
        playable_hz = next((rate for rate in _RATES_HZ if rate >= rate_hz), 48_000)
        samples, rate_hz = soxr.resample(samples, rate_hz, playable_hz), playable_hz
    faded = np.clip(samples, -1.0, 1.0)
    fade = np.linspace(0.0, 1.0, min(round(_FADE_S * rate_hz), len(faded) // 2), dtype=np.float32)[:, None]
    faded[: len(fade)] *= fade
    faded[len(faded) - len(fade) :] *= fade[::-1]
    file = io.BytesIO()
    soundfile.write(file, faded, rate_hz, format="MP3", bitrate_mode="VARIABLE", compression_level=_COMPRESSION)
    return file.getvalue()
