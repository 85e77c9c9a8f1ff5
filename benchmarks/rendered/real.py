"""Real recordings of which something is stated, by their names: what is measured beside what is said, and by whom.

Names are those under which the recordings are published, on Freesound, Musopen, the Free Music Archive and in
LibriSpeech; a folder may hold any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from rich.table import Table

from audiocur.audio import Audio
from audiocur.dsp.key import key
from audiocur.dsp.tempo import tempo

LENGTH_S = 30.0
#: Pattern of the file's name, measure, truth, and where it is stated.
FACTS = (
    ("*solo-trumpet-06*", "tempo", "90", "the loop pack's description: 90 bpm"),
    ("*solo-trumpet-06*", "tonic", "F", "the same: in F, blues and Dorian"),
    ("*sax-tenor-e-major*", "key", "E major", "its name; YIN hears a scale of Eb, 12 cents sharp"),
    ("*sax-tenor-d-minor*", "key", "D minor", "the recording's name"),
    ("Hungarian_Dance_number_5*F_sharp_minor*", "key", "F# minor", "its name; orchestral versions are in G minor"),
    ("*Dance_of_the_Sugar_Plum_Fairy*", "key", "E minor", "Tchaikovsky's score"),
    ("*sweet-waltz*", "beats per bar", "3", "the recording's name: a waltz"),
    ("*dubstep*", "tempo", "140", "the genre's, in its name"),
    ("198-209-0000*", "pulse", "none", "a reading"),
    ("3436-172162-0000*", "pulse", "none", "a reading"),
    ("5703-47212-0000*", "pulse", "none", "a reading"),
    ("jfk*", "pulse", "none", "a speech"),
    ("*bird-whistling-robin*", "pulse", "none", "a bird"),
    ("*humpback*", "pulse", "none", "a whale"),
)
NO_PULSE = 0.12  # a confidence, below which `tempo` places no bars


def tables(folder: Path) -> Iterator[Table]:
    """What is known of the recordings in a folder and the folders in it, beside what is measured."""
    table = Table("recording", "measure", "stated", "measured", "", "by", title="real recordings, their first 30 s")
    for pattern, measure, truth, source in FACTS:
        for path in sorted(folder.rglob(pattern)):
            if path.suffix != ".txt":
                measured, right = judged(load(path), measure, truth)
                table.add_row(path.stem[:40], measure, truth, measured, "right" if right else "wrong", source)
    yield table


def load(path: Path) -> Audio:
    with soundfile.SoundFile(path) as file:
        samples = file.read(round(LENGTH_S * file.samplerate), dtype="float32", always_2d=True)
        return Audio(np.ascontiguousarray(samples.T), file.samplerate)


def judged(audio: Audio, measure: str, truth: str) -> tuple[str, bool]:
    """What is measured, as text, and whether it is right."""
    if measure in ("key", "tonic"):
        found = key(audio.spectrogram)
        name = found.name or "none"
        right = name == truth if measure == "key" else name.split()[0] == truth
        return f"{name}, confidence {found.confidence or 0:.2f}, {found.tuning_cents or 0:+.0f} cents", right
    rhythm = tempo(audio.spectrogram)
    if measure == "pulse":
        return f"confidence {rhythm.confidence or 0:.2f}", (rhythm.confidence or 0.0) < NO_PULSE
    if measure == "beats per bar":
        return f"{rhythm.beats_per_bar}", f"{rhythm.beats_per_bar}" == truth
    others = ", ".join(f"{bpm:.0f}" for bpm in rhythm.alternatives_bpm or [])
    measured = f"{rhythm.bpm:.1f}" if rhythm.bpm else "none"
    return f"{measured}, or {others}" if others else measured, abs((rhythm.bpm or 0) / float(truth) - 1) <= 0.04
