"""How right audiocur's measures are where the truth is known: music, codecs, defects, kinds of sound, and recordings.

usage: python benchmarks/accuracy.py [--items N] [--seed N] [--only music|codecs|defects|kinds|real] [--real FOLDER]

Music (`rendered/music.py`): tempo, beats, bars and key beside librosa's, with their cost. librosa is asked on the
spectrogram that audiocur's measures share, and, as its tutorials do, from the waveform at 22.05 kHz; its chroma is
matched with Krumhansl's profiles and, to tell chroma from profiles, with audiocur's too. What the marks mean:

  accuracy 1     tempo within 4 % of the truth
  accuracy 2     or of its half, double, third or triple
  P-score        mir_eval.tempo.detection: the truth within 8 % of the tempo or of its first alternative
  beats          mir_eval.beat.f_measure: within 70 ms, the first 5 s left out (mir_eval.beat.trim_beats)
  downbeats      the same, of the first beats of bars; a clip whose bars were left undecided counts 0
  meter          whether the beats to a bar are right; undecided counts as wrong
  key            exact, and mir_eval.key.weighted_score, MIREX's: 0.5 for the fifth above, 0.3 for the relative key,
                 0.2 for the parallel one

`rendered/codecs.py`: the lossy origin of decoded MP3, AAC, Vorbis and Opus. `rendered/defects.py`: recall and false
alarms of each defect. `rendered/kinds.py`: music, speech and noise told apart. `--real FOLDER` adds what is known of
real recordings, by their names (`rendered/real.py`).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import librosa
import mir_eval
import numpy as np
from rendered import music
from rendered.music import LENGTH_S, Item
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # comes with librosa

from audiocur.audio import Samples
from audiocur.dsp import key, tempo

Profiles = Iterable[Iterable[float]]
Marks = dict[str, float]  # by name, of one item
Results = dict[tuple[str, str], list[Marks]]  # by measure and method

LIBROSA_RATE_HZ = 22_050
TOLERANCE, LEVELS = 0.04, (1.0, 0.5, 2.0, 1 / 3, 3.0)  # of the true tempo; accuracy 2 lets all these levels pass
# Keys are numbered from C major, 0, to B minor, 23.
NAMES = [f"{tonic} major" for tonic in key._MAJOR_NAMES] + [f"{tonic} minor" for tonic in key._MINOR_NAMES]
OWN_PROFILES = (key._MAJOR, key._MINOR)
# Krumhansl and Kessler (1982): how well each degree, from the tonic in semitones, fits a major and a minor key.
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
IMPORTS = {
    "audiocur's measures": "import audiocur.dsp.tempo, audiocur.dsp.key",
    "librosa's": "import librosa; librosa.beat.beat_track, librosa.feature.chroma_stft",  # loaded when they are named
}


class Rhythm(NamedTuple):
    """What a method found."""

    bpm: float
    alternative_bpm: float
    beats_s: np.ndarray
    downbeats_s: np.ndarray | None = None  # of a method that looks for bars
    beats_per_bar: int | None = None


def own_rhythm(item: Item) -> Rhythm:
    found = tempo.tempo(item.audio.spectrogram)
    alternative_bpm = (found.alternatives_bpm or [0.0])[0]
    lists = (np.array(each or [], float) for each in (found.beats_s, found.downbeats_s))
    return Rhythm(found.bpm or 0.0, alternative_bpm, *lists, found.beats_per_bar)


def shared_rhythm(item: Item) -> Rhythm:
    s = item.audio.spectrogram
    mel_db = librosa.power_to_db(librosa.feature.melspectrogram(S=s.power, sr=s.rate_hz))
    onsets = librosa.onset.onset_strength(S=mel_db, sr=s.rate_hz, hop_length=s.hop, n_fft=s.n_fft)
    bpm, beats_s = librosa.beat.beat_track(onset_envelope=onsets, sr=s.rate_hz, hop_length=s.hop, units="time")
    return Rhythm(bpm.item(), 0.0, beats_s)


def waveform_rhythm(item: Item) -> Rhythm:
    bpm, beats_s = librosa.beat.beat_track(y=waveform(item), sr=LIBROSA_RATE_HZ, units="time")
    return Rhythm(bpm.item(), 0.0, beats_s)


def own_key(item: Item) -> str | None:
    return key.key(item.audio.spectrogram).name


def shared_key(item: Item, profiles: Profiles) -> str:
    s = item.audio.spectrogram
    tuning = librosa.estimate_tuning(S=s.power, sr=s.rate_hz, n_fft=s.n_fft)
    return matched(librosa.feature.chroma_stft(S=s.power, sr=s.rate_hz, n_fft=s.n_fft, tuning=tuning), profiles)


def matched(chroma: Samples, profiles: Profiles) -> str:
    """The key whose profile, turned to its tonic, correlates best with the mean chroma."""
    keys = [np.roll(profile, tonic) for profile in profiles for tonic in range(12)]
    return NAMES[int(np.argmax(np.corrcoef([chroma.mean(axis=1), *keys])[0, 1:]))]


def waveform_key(item: Item, chroma: Callable[..., Samples]) -> str:
    return matched(chroma(y=waveform(item), sr=LIBROSA_RATE_HZ), KRUMHANSL)


def waveform(item: Item) -> Samples:
    """As librosa.load gives it; made once, and charged to nobody."""
    return WAVEFORMS[id(item)]


WAVEFORMS: dict[int, Samples] = {}


def rhythm_marks(item: Item, found: Rhythm) -> Marks:
    errors = [abs(found.bpm / (item.bpm * level) - 1) for level in LEVELS]
    pair = np.array([found.bpm, found.alternative_bpm])
    p_score = mir_eval.tempo.detection(np.array([item.bpm, 0.0]), 1.0, pair)[0] if pair.any() else 0.0
    marks = {
        "accuracy 1": 100 * (errors[0] <= TOLERANCE),
        "accuracy 2": 100 * (min(errors) <= TOLERANCE),
        "P-score": 100 * p_score,
        "error": 100 * min(errors),
        "beats": 100 * f_measure(item.beats_s, found.beats_s),
    }
    if found.downbeats_s is not None:
        marks["downbeats"] = 100 * f_measure(item.downbeats_s, found.downbeats_s)
        marks["meter"] = 100 * (found.beats_per_bar == item.beats_per_bar)
    return marks


def f_measure(truth_s: np.ndarray, found_s: np.ndarray) -> float:
    trimmed = [mir_eval.beat.trim_beats(each) for each in (truth_s, found_s)]
    return mir_eval.beat.f_measure(*trimmed) if all(map(len, trimmed)) else 0.0


def key_marks(item: Item, found: str | None) -> Marks:
    truth = NAMES[item.key]
    return {
        "exact": 100 * (found == truth),
        "weighted": 100 * mir_eval.key.weighted_score(truth, found) if found else 0.0,
    }


METHODS: dict[str, dict[str, Callable[[Item], object]]] = {
    "view": {"spectrogram": lambda item: (item.audio.spectrogram.power, item.audio.spectrogram.mean_square)},
    "rhythm": {
        "audiocur": own_rhythm,
        "librosa, shared spectrogram": shared_rhythm,
        "librosa, waveform": waveform_rhythm,
    },
    "key": {
        "audiocur": own_key,
        "librosa, shared spectrogram": partial(shared_key, profiles=KRUMHANSL),
        "the same, audiocur's profiles": partial(shared_key, profiles=OWN_PROFILES),
        "librosa, waveform, chroma_stft": partial(waveform_key, chroma=librosa.feature.chroma_stft),
        "librosa, waveform, chroma_cqt": partial(waveform_key, chroma=librosa.feature.chroma_cqt),
    },
}
MARKS: dict[str, Callable[..., Marks]] = {
    "view": lambda item, found: {},
    "rhythm": rhythm_marks,
    "key": key_marks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=204, help="of music")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(PARTS), help="one part alone")
    parser.add_argument("--real", type=Path, help="a folder of real recordings")
    options = parser.parse_args()
    console = Console(width=140)
    with threadpool_limits(1):  # as in audiocur's workers; threads that wait for work would be charged to librosa
        for name, part in PARTS.items():
            if options.only in (name, None):
                for table in part(options):
                    console.print(table)


def music_part(options: argparse.Namespace) -> Iterator[Table | str]:
    results: Results = defaultdict(list)
    textures = []
    measure(next(music.items(1, options.seed)), defaultdict(list))  # caches and compilation are paid for here
    for item in music.items(options.items, options.seed):
        measure(item, results)
        textures.append(item.texture)
    hours = len(textures) * LENGTH_S / 3600
    yield by_texture("tempo: accuracy 1 / accuracy 2, %", results, textures, "rhythm", ("accuracy 1", "accuracy 2"))
    yield by_texture("beats / downbeats, F-measure, %", results, textures, "rhythm", ("beats", "downbeats"))
    yield by_texture("tempo: P-score / meter, %", results, textures, "rhythm", ("P-score", "meter"))
    yield by_texture("key: exact / weighted, %", results, textures, "key", ("exact", "weighted"))
    yield costs(results, hours)
    for name, statement in IMPORTS.items():
        command = [sys.executable, "-c", f"{statement}\nimport time; print(time.process_time())"]
        cpu_s = statistics.median(float(subprocess.check_output(command)) for _ in range(3))
        yield f"importing {name}: {cpu_s:.2f} CPU-s a process"


def measure(item: Item, results: Results) -> None:
    WAVEFORMS.clear()
    WAVEFORMS[id(item)] = librosa.resample(item.audio.mono, orig_sr=item.audio.rate_hz, target_sr=LIBROSA_RATE_HZ)
    for what, methods in METHODS.items():
        for name, method in methods.items():
            began = time.process_time()
            found = method(item)
            cpu_s = time.process_time() - began
            results[what, name].append({"cpu_s": cpu_s} | MARKS[what](item, found))


def by_texture(title: str, results: Results, textures: list[str], what: str, marks: tuple[str, str]) -> Table:
    table = Table("texture, meter", title=title)
    columns = [results[what, name] for name in METHODS[what]]
    for name in METHODS[what]:
        table.add_column(name, justify="right")
    for texture in dict.fromkeys(textures):
        rows = [i for i, each in enumerate(textures) if each == texture]
        cells = (" / ".join(mean([c[i] for i in rows], mark, 0) for mark in marks) for c in columns)
        table.add_row(f"{texture}, {music.TEXTURES[texture]} ({len(rows)})", *cells)
    table.add_section()
    table.add_row(f"all ({len(textures)})", *(" / ".join(mean(c, mark, 1) for mark in marks) for c in columns))
    firsts = [np.array([row[marks[0]] for row in c]) for c in columns]
    better = (f"{np.sum(first > firsts[0])} / {np.sum(first < firsts[0])}" for first in firsts)
    table.add_row("items better / worse than audiocur", *better)
    return table


def mean(rows: list[Marks], mark: str, digits: int) -> str:
    return f"{np.mean([row[mark] for row in rows]):.{digits}f}" if mark in rows[0] else "–"


def costs(results: Results, hours: float) -> Table:
    table = Table("what", "method", title="cost, and the median error of tempo, octaves aside")
    table.add_column("CPU-s an hour", justify="right")
    table.add_column("error, %", justify="right")
    for (what, name), rows in results.items():
        error = f"{np.median([row['error'] for row in rows]):.2f}" if "error" in rows[0] else ""
        table.add_row(what, name, f"{sum(row['cpu_s'] for row in rows) / hours:.2f}", error)
    return table


def codecs_part(options: argparse.Namespace) -> Iterable[Table]:
    from rendered import codecs

    return codecs.tables(options.seed, options.real)


def defects_part(options: argparse.Namespace) -> Iterable[Table]:
    from rendered import defects

    return defects.tables(options.seed, options.real)


def kinds_part(options: argparse.Namespace) -> Iterable[Table]:
    from rendered import kinds

    return kinds.tables(options.seed, options.real)


def real_part(options: argparse.Namespace) -> Iterable[Table | str]:
    from rendered import real

    return real.tables(options.real) if options.real else ["real recordings: none, --real names no folder"]


PARTS: dict[str, Callable[[argparse.Namespace], Iterable[Table | str]]] = {
    "music": music_part,
    "codecs": codecs_part,
    "defects": defects_part,
    "kinds": kinds_part,
    "real": real_part,
}


if __name__ == "__main__":
    main()
