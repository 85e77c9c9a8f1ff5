"""Clips nearest to the bound of a rule, on either side of it, with a stretch of their sound."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from audiocur.audio import Audio
from audiocur.errors import OutputError, UserError
from audiocur.inspect.excerpt import excerpt_mp3
from audiocur.inspect.groups import is_number
from audiocur.inspect.sound import Sounds
from audiocur.inspect.spectrogram import frequency_marks, spectrogram_png, waveform_path
from audiocur.records import WITHDRAWN
from audiocur.rules import KeepRule, Rules

if TYPE_CHECKING:
    from audiocur.inspect.opened import Run

#: Of a clip.
EXCERPT_S = 6.0
#: Pictures of it, in CSS pixels; the spectrogram has more, for phones.
WIDTH_PX, SPECTROGRAM_PX, WAVEFORM_PX = 320, 72, 26
_FINER = 1.5
#: Of a long clip, the stretch that the excerpt is looked for in.
_SEARCHED_S = 60.0
#: As many are looked at to find clips of different recordings.
_CANDIDATES = 256
#: What these columns measure is heard where the clip is loudest, or softest; elsewhere its beginning must do.
_LOUD = ("clipped_ratio", "clipped_runs_per_s", "true_peak_dbtp", "loudness_momentary_max_lufs")
_SOFT = ("silence_ratio", "hum_db")
_BLOCK_S = 0.1
#: Columns of the ledger that the choice needs besides those of the rules.
CHOSEN_BY = ("clip_id", "source_id", "verdict", "rule", "rules")


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a clip to look at and listen to.

    Attributes:
        start_s: from the clip's start; `length_s` of it.
        mp3: its sound.
        png: its spectrogram, with `marks` as `frequency_marks` has them.
        waveform: its outline, as `waveform_path` has it.
    """

    start_s: float
    length_s: float
    mp3: bytes
    png: bytes
    marks: Sequence[tuple[str, float]]
    waveform: str

    @property
    def size_bytes(self) -> int:
        """What it adds to a page, roughly: bytes are written as base64 there."""
        return (len(self.mp3) + len(self.png)) * 4 // 3 + len(self.waveform)


@dataclass(frozen=True)
class Example:
    """A clip near a rule's bound.

    Attributes:
        clip: its row of the ledger.
        value: in the rule's column.
        excerpt: of its sound, or why there is none.
    """

    clip: Mapping[str, Any]
    value: Any
    excerpt: Excerpt | str


def nearest(table: pa.Table, name: str, rule: KeepRule, each: int) -> tuple[list[int], list[int]]:
    """Rows of kept clips, and of those that a rule rejects, nearest to its bound and of different recordings if it can.

    Args:
        table: a row a clip, with the columns of `CHOSEN_BY` and the rule's.
        name: of the rule.
        rule: whose bound it is; without a number to measure by, any clips will do.
        each: how many of either.
    """
    values = table[rule.column]
    null = _true(pc.is_null(values, nan_is_null=True))
    distance = _distance(values, rule) if is_number(values.type) else np.where(null, np.inf, 0.0)
    kept = _true(pc.equal(table["verdict"], "kept")) & ~null  # a null that is kept is near to nothing
    rejected = _true(pc.equal(table["verdict"], "rejected")) & breaking(table["rules"], name)
    rejected &= ~_true(pc.equal(table["rule"], WITHDRAWN))  # who had it taken out does not want it heard
    near_kept, near_rejected = (_of_different(table, _ascending(distance, them), each) for them in (kept, rejected))
    return near_kept, near_rejected


def rows_at(run: Run, places: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Whole rows of the ledger by their place among all clips; only the parts they lie in are read.

    Raises:
        OutputError: a part does not hold what its footer says.
    """
    ends = np.cumsum([sum(tally.count for tally in part.clips) for part in run.parts.parts])
    found: dict[int, dict[str, Any]] = {}
    by_part: dict[int, list[int]] = {}
    for place in sorted(set(places)):
        by_part.setdefault(int(np.searchsorted(ends, place, side="right")), []).append(place)
    for number, its in by_part.items():
        part = run.parts.parts[number]
        with run.store.open(part.name) as opened:
            rows = pq.ParquetFile(opened).read()
        rows = rows.filter(pc.is_valid(rows["clip_id"]))
        start = int(ends[number]) - rows.num_rows
        for place in its:
            row = rows.slice(place - start, 1).to_pylist()[0]
            if row["clip_id"] != run.clip_columns(["clip_id"])["clip_id"][place].as_py():
                raise OutputError(f"{run.store}: {part.name} is not what its footer says: audiocur verify tells more")
            found[place] = row
    return found


def examples_of(run: Run, rules: Rules, each: int) -> dict[str, tuple[list[Example], list[Example]]]:
    """For each rule, kept and rejected clips nearest to its bound, with their sound.

    A clip whose recording is gone, or cannot be looked up, has the reason in place of its sound.
    """
    columns = list(dict.fromkeys([*CHOSEN_BY, *(rule.column for rule in rules.values())]))
    table = run.clip_columns(columns)
    chosen = {name: nearest(table, name, rule, each) for name, rule in rules.items()}
    rows = rows_at(run, [place for both in chosen.values() for side in both for place in side])
    wanted = {
        (place, _where(rules[name].column)): rows[place]
        for name, both in chosen.items()
        for side in both
        for place in side
    }
    excerpts = dict(zip(wanted, _excerpts(run, wanted), strict=True))

    def example(name: str, place: int) -> Example:
        column = rules[name].column
        return Example(rows[place], rows[place][column], excerpts[place, _where(column)])

    return {
        name: ([example(name, place) for place in kept], [example(name, place) for place in rejected])
        for name, (kept, rejected) in chosen.items()
    }


def _excerpts(run: Run, wanted: Mapping[tuple[int, str], Mapping[str, Any]]) -> Iterator[Excerpt | str]:
    sounds = Sounds(run)
    stored = any(part.shard for part in run.parts.parts)
    away = ""
    try:
        sounds.look_up(list(wanted.values()))
    except (UserError, OSError) as error:  # told in the place of each
        away = str(error)

    def excerpt(clip: Mapping[str, Any], where: str) -> Excerpt | str:
        return away if away and not (stored and clip["verdict"] == "kept") else _excerpt(sounds, clip, where)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(excerpt, wanted.values(), [where for _, where in wanted])


def _excerpt(sounds: Sounds, clip: Mapping[str, Any], where: str) -> Excerpt | str:
    try:
        audio = sounds.of(clip, 0.0, _SEARCHED_S if where else EXCERPT_S)
    except (UserError, OSError, pa.ArrowException, soundfile.LibsndfileError) as error:
        return " ".join(str(error).split())
    if not audio.num_samples:
        return "its recording is shorter than it was"
    start = _place(audio, where) if where else 0
    heard = audio.slice(start, min(audio.num_samples, start + round(EXCERPT_S * audio.rate_hz)))
    return Excerpt(
        start / audio.rate_hz,
        heard.duration_s,
        excerpt_mp3(heard),
        spectrogram_png(heard, width_px=round(WIDTH_PX * _FINER), height_px=round(SPECTROGRAM_PX * _FINER)),
        frequency_marks(heard.rate_hz),
        waveform_path(heard, width=WIDTH_PX, height=WAVEFORM_PX),
    )


def _where(column: str) -> str:
    return "loud" if column in _LOUD else "soft" if column in _SOFT else ""


def _place(audio: Audio, where: str) -> int:
    """Where the loudest or softest stretch of an excerpt's length begins, in samples."""
    block = max(1, round(_BLOCK_S * audio.rate_hz))
    blocks, length = audio.num_samples // block, round(EXCERPT_S / _BLOCK_S)
    if blocks <= length:
        return 0
    framed = audio.samples[:, : blocks * block].reshape(audio.channels, blocks, block)
    # Of loud ones the extremes count, since that is where it clips; of soft ones all.
    peaks = np.abs(framed).max(axis=(0, 2)) > 0.98 * np.abs(framed).max()
    score = peaks if where == "loud" else -np.square(framed).mean(axis=(0, 2))
    sums = np.convolve(score.astype(np.float64), np.ones(length), "valid")
    return int(sums.argmax()) * block


def _distance(values: pa.ChunkedArray, rule: KeepRule) -> NDArray[np.float64]:
    """How far each number lies from the nearest bound, infinite for null."""
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    bounds = [bound for bound in (rule.min, rule.max) if bound is not None]
    if not bounds:
        return np.where(np.isnan(numbers), np.inf, 0.0)
    distance = np.min([np.abs(numbers - bound) for bound in bounds], axis=0)
    return np.where(np.isnan(distance), np.inf, distance)


def _ascending(distance: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Some clips, nearest first; of many at the same distance, those that come first."""
    places = np.flatnonzero(among)
    its = distance[places]
    if len(places) > _CANDIDATES:
        most = np.partition(its, _CANDIDATES)[_CANDIDATES]
        nearer = np.flatnonzero(its < most)
        places = places[np.concatenate([nearer, np.flatnonzero(its == most)[: _CANDIDATES - len(nearer)]])]
        its = distance[places]
    return places[np.argsort(its, kind="stable")]


def _of_different(table: pa.Table, places: NDArray[np.int64], each: int) -> list[int]:
    """The first of some clips, one a recording as far as that goes, in their order."""
    sources = table["source_id"].take(pa.array(places)).to_pylist()
    order = {source: i for i, source in reversed(list(enumerate(sources)))}
    firsts = [i for i, source in enumerate(sources) if order[source] == i]
    others = [i for i, source in enumerate(sources) if order[source] != i]
    return [int(places[i]) for i in sorted([*firsts, *others][:each])]


def breaking(rules: pa.ChunkedArray, name: str) -> NDArray[np.bool_]:
    """Which clips broke a rule, among all that they broke."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(rules), 0)).astype(np.int64)
    rows = np.repeat(np.arange(len(rules)), lengths)
    found = np.zeros(len(rules), bool)
    found[rows[_true(pc.equal(pc.list_flatten(rules), name))]] = True
    return found


def _true(values: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.asarray(pc.fill_null(values, False))
    return found
