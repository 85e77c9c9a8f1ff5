"""The recordings of the demo library that hold music: invented artists, all released under CC0-1.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiocur.sources.synth import treatments
from audiocur.sources.synth.song import Band, Groove, Song
from audiocur.sources.synth.treatments import Treatment

LICENSE = "CC0-1.0"


@dataclass(frozen=True, kw_only=True)
class Track:
    """One recording.

    Attributes:
        uri: its file below the library's folder: artist, perhaps album, and title.
        genre: as its tag says.
        tempo_bpm: about how fast; the seed says exactly.
        minor, bars, groove, band, intro_bars: of the song; its tonic comes from the seed.
        rate_hz: of the file.
        treatment: what happened to it, and `defect` what to call that.
        why: columns by which keep rules are expected to reject it; empty where it is to be kept.
        subtype: soundfile's name of another sample format than the usual.
        sidecar: its tags are in a file beside it, and its own are wrong.
        cut: its file ends half way.
    """

    uri: str
    genre: str
    tempo_bpm: int
    minor: bool
    bars: int
    groove: Groove
    band: Band
    intro_bars: int = 0
    rate_hz: int = 44_100
    treatment: Treatment = treatments.stereo
    defect: str | None = None
    why: tuple[str, ...] = ()
    subtype: str | None = None
    sidecar: bool = False
    cut: bool = False

    def tags(self) -> dict[str, str]:
        """What its tags are to say."""
        artist, *album, name = self.uri.split("/")
        title = Path(name).stem.lstrip("0123456789 ")
        known = {"title": title, "artist": artist, "genre": self.genre, "license": LICENSE}
        return known | ({"album": album[0]} if album else {})

    def song(self, tonic: int, rng: np.random.Generator) -> Song:
        """The song it holds, at its exact tempo."""
        return Song(
            tempo_bpm=int(self.tempo_bpm + rng.integers(-4, 5)),
            tonic=tonic,
            minor=self.minor,
            bars=self.bars,
            groove=self.groove,
            band=self.band,
            intro_bars=self.intro_bars,
        )


BALLAD, ROCK, HOUSE = Groove.BALLAD, Groove.ROCK, Groove.HOUSE
KEYS, STRINGS = Band.KEYS, Band.STRINGS


# fmt: off
def tracks() -> Iterator[Track]:
    """All of them: first those without a fault, then those with one."""
    yield Track(uri="Lamplight Arcade/Harbour Lights/01 First Ferry.flac", genre="Electronic",
                tempo_bpm=120, minor=True, bars=16, groove=HOUSE, band=KEYS, intro_bars=1)
    yield Track(uri="Lamplight Arcade/Harbour Lights/02 Night Tram.mp3", genre="Electronic",
                tempo_bpm=98, minor=False, bars=13, groove=ROCK, band=STRINGS, intro_bars=1)
    yield Track(uri="Lamplight Arcade/Harbour Lights/03 Copper Rain.ogg", genre="Electronic",
                tempo_bpm=144, minor=True, bars=17, groove=HOUSE, band=STRINGS, intro_bars=1)
    yield Track(uri="Orrin Vale/Slow Tide.wav", genre="Singer-Songwriter",
                tempo_bpm=76, minor=False, bars=9, groove=BALLAD, band=KEYS, rate_hz=48_000)
    yield Track(uri="Mossgate/Fern Circuits.opus", genre="House",
                tempo_bpm=128, minor=False, bars=17, groove=HOUSE, band=KEYS, intro_bars=2, rate_hz=48_000)
    yield Track(uri="夜行ラジオ/春の路面電車.m4a", genre="City Pop",
                tempo_bpm=108, minor=False, bars=13, groove=ROCK, band=KEYS, intro_bars=1)
    yield Track(uri="Mossgate/Cellar Demo.wav", genre="House",
                tempo_bpm=112, minor=True, bars=9, groove=ROCK, band=STRINGS, rate_hz=22_050,
                treatment=treatments.mono)
    yield Track(uri="The Paper Kestrels/Station Call.ogg", genre="Rock",
                tempo_bpm=104, minor=False, bars=13, groove=ROCK, band=KEYS,
                treatment=treatments.announced)
    yield Track(uri="Orrin Vale/One Microphone.flac", genre="Singer-Songwriter",
                tempo_bpm=86, minor=False, bars=8, groove=BALLAD, band=STRINGS,
                treatment=treatments.dual_mono, defect="dual mono")
    yield Track(uri="The Paper Kestrels/Whisper Mix.flac", genre="Rock",
                tempo_bpm=100, minor=False, bars=8, groove=ROCK, band=KEYS, subtype="PCM_24",
                treatment=treatments.quiet, defect="quiet", why=("loudness_lufs",))
    yield Track(uri="The Paper Kestrels/Red Needles.wav", genre="Rock",
                tempo_bpm=134, minor=True, bars=9, groove=ROCK, band=STRINGS,
                treatment=treatments.clipped, defect="clipped", why=("clipped_ratio",))
    yield Track(uri="The Paper Kestrels/Blank Tape.wav", genre="Rock",
                tempo_bpm=120, minor=False, bars=7, groove=ROCK, band=KEYS,
                treatment=treatments.silent, defect="digital silence", why=("silence_ratio", "loudness_lufs"))
    yield Track(uri="Jardín de Estática/Radio Vieja.flac", genre="Bolero",
                tempo_bpm=82, minor=True, bars=8, groove=BALLAD, band=STRINGS, sidecar=True,
                treatment=treatments.low_passed, defect="low-passed at 4 kHz", why=("bandwidth_hz",))
    yield Track(uri="Jardín de Estática/Línea Torcida.wav", genre="Bolero",
                tempo_bpm=124, minor=True, bars=9, groove=HOUSE, band=KEYS,
                treatment=treatments.dc_offset, defect="DC offset", why=("dc_offset",))
    yield Track(uri="Mossgate/Cut Short.flac", genre="House",
                tempo_bpm=118, minor=False, bars=9, groove=HOUSE, band=STRINGS, cut=True, defect="truncated")
# fmt: on
