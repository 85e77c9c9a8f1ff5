"""`audiocur decide`: a run under other rules is equal to a fresh run with them, and no span is run for nothing."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from audiocur.cli import main
from audiocur.config import job_of_run
from audiocur.decide import decide
from audiocur.engine.local import LocalEngine
from audiocur.errors import ConfigError, OutputError, RowError, SourceError
from audiocur.inspect.verify import verify
from audiocur.job import Job
from audiocur.op import Column, Device, ModelOp
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.measure.silence import Silence
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline, Step
from audiocur.progress import SilentProgress
from audiocur.records import Clip
from audiocur.redo import Redo
from audiocur.repair import repair
from audiocur.rules import KeepRule, OnNull
from audiocur.run import run
from audiocur.sources.folder import Folder
from audiocur.storage import open_store
from audiocur.storage.local import LocalStore
from audiocur.store.commit import Committer
from audiocur.store.decision import Decision
from audiocur.store.ledger import Ledger, read_ledger

RATE_HZ = 8000
HEARD: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Peak(ModelOp):
    """A model that says how high a clip peaks; null between 0.5 and 0.6, and it fails above 0.95."""

    name = "peak"
    writes = (
        Column("peak", pa.float32(), "", "greatest sample"),
        Column("word", pa.string(), "", "the same in a word"),
    )

    def load(self, device: Device) -> str:
        return "loaded"

    def prepare(self, clip: Clip) -> None:
        HEARD.append(clip.clip_id)

    def measure_batch(self, clips: Sequence[Clip], model: str) -> list[dict[str, Any]]:
        peaks = [float(abs(clip.audio.samples).max()) for clip in clips]
        if max(peaks) > 0.95:
            raise RowError("too high for it")
        return [{"peak": None if 0.5 < peak < 0.6 else peak, "word": "high" if peak > 0.3 else "low"} for peak in peaks]


@dataclass(frozen=True, kw_only=True)
class Peak2(Peak):
    """The same under another name, which never fails."""

    name = "loud"
    writes = (Column("peak2", pa.float32(), "", "greatest sample"),)

    def measure_batch(self, clips: Sequence[Clip], model: str) -> list[dict[str, Any]]:
        return [{"peak2": float(abs(clip.audio.samples).max())} for clip in clips]


PIPELINE = Decode(span_s=12) >> Window(length_s=4, min_s=1) >> Loudness() >> Silence() >> Encode() >> Peak()
RULES = {
    "loudness": KeepRule(column="loudness_lufs", min=-30, max=-10),
    "peak": KeepRule(column="peak", max=0.7),
    "silence": KeepRule(column="silence_ratio", max=0.5),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Twelve recordings of one to three spans, each stretch of 4 s at a level of its own; one is broken."""
    folder = tmp_path_factory.mktemp("home") / "library"
    (folder / "album").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(11):
        levels = np.repeat(10 ** rng.uniform(-3.5, -0.9, 2 + number % 6), 4 * RATE_HZ)
        samples = rng.uniform(-1, 1, len(levels)) * levels * 2.4
        soundfile.write(folder / ("album" if number % 2 else "") / f"song {number}.wav", samples, RATE_HZ)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def do(library: Path, output: Path, rules=RULES, **settings):
    run(Job.of(replace(PIPELINE, rules=rules), library, output, engine=LocalEngine(), **settings))
    return output


@pytest.fixture(scope="module")
def made(library) -> Path:
    """A run with the usual rules."""
    return do(library, library.parent / "made")


@pytest.fixture
def copy(made, tmp_path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def decided(output: Path, *words: str):
    return decide(open_store(output), [*words, "report=false"], SilentProgress())


def rows(output: Path) -> dict[str, dict[str, Any]]:
    """The ledger by clip, or by span."""
    found = {row["clip_id"] or row["span_id"]: row for row in read_ledger(output).to_pylist()}
    assert len(found) == read_ledger(output).num_rows
    return found


def stored(output: Path) -> dict[str, dict[str, Any]]:
    """The shards by clip, audio included."""
    shards = [part.shard.name for part in Ledger.read(output).parts if part.shard]
    found = [row for name in shards for row in pq.read_table(output / name).to_pylist()]
    assert sorted(shards) == sorted(str(p.relative_to(output)) for p in (output / "clips").rglob("*.parquet"))
    return {row["clip_id"]: row for row in found}


def assert_equal(output: Path, fresh: Path) -> None:
    """A decided run is the fresh one: the same clips to the byte, the same verdicts, and at least the same measures."""
    assert stored(output) == stored(fresh)
    here, there = rows(output), rows(fresh)
    assert here.keys() == there.keys()
    for key, row in there.items():
        more = {name for name, value in row.items() if value is None and here[key][name] is not None}
        assert more <= {"peak", "word"}
        assert {**here[key], **dict.fromkeys(more)} == row
    assert not verify(open_store(output)).findings


def words_for(rules) -> list[str]:
    """What one types to get from the usual rules to these."""
    words = [f"keep.{name}=" for name in RULES if name not in rules]
    for name, rule in rules.items():
        for key in ("column", "min", "max", "allow", "null"):
            old, new = getattr(RULES.get(name), key, None), getattr(rule, key)
            if new != old:
                text = f"[{','.join(new)}]" if isinstance(new, list) else "" if new is None else f"{new}"
                words.append(f"keep.{name}.{key}={text}")
    return words


def heard_again(made: Path, fresh: Path) -> set[str]:
    """Spans with a clip that gets further in a fresh run than it did, by looking at the two."""
    before, after = rows(made), rows(fresh)
    place = {"encode": 0, "peak": 1, "end": 2}

    def reached(row):
        return 3 if row["verdict"] == "kept" else 1.5 if row["verdict"] == "failed" else place[row["gate"]]

    clips = [key for key, row in before.items() if row["clip_id"]]
    return {before[key]["span_id"] for key in clips if reached(after[key]) > reached(before[key])}


CHANGES = {
    "tighter": {**RULES, "loudness": KeepRule(column="loudness_lufs", min=-22, max=-10)},
    "looser": {**RULES, "loudness": KeepRule(column="loudness_lufs", min=-60)},
    "the model's, tighter": {**RULES, "peak": KeepRule(column="peak", max=0.2)},
    "the model's, looser": {**RULES, "peak": KeepRule(column="peak", max=0.9, null=OnNull.keep)},
    "one less": {"loudness": RULES["loudness"]},
    "one more": {**RULES, "word": KeepRule(column="word", allow=["low"])},
    "both ways": {
        "loudness": KeepRule(column="loudness_lufs", min=-40, max=-20),
        "peak": KeepRule(column="peak", max=0.3, null=OnNull.keep),
        "silence": RULES["silence"],
    },
    "none": {},
    "all at once": {name: KeepRule(column="start_s", max=2) for name in RULES},
}


@pytest.mark.parametrize("rules", CHANGES.values(), ids=CHANGES)
def test_a_decided_run_is_a_fresh_one(rules, made, copy, library, tmp_path):
    fresh = do(library, tmp_path / "fresh", rules)
    again = heard_again(made, fresh)
    HEARD.clear()
    done = decided(copy, *words_for(rules))
    assert_equal(copy, fresh)
    assert (done.summary.spans if done.summary else 0) == len(again)
    assert {rows(copy)[clip]["span_id"] for clip in HEARD} <= again
    assert done.after.count == len(stored(fresh))
    decided(copy, *[f"keep.{name}=" for name in rules if name not in RULES], *back(rules))
    assert_equal(copy, made)


def back(rules) -> list[str]:
    words = []
    for name, rule in RULES.items():
        for key in ("column", "min", "max", "null"):
            old, new = getattr(rules.get(name), key, None), getattr(rule, key)
            if new != old:
                words.append(f"keep.{name}.{key}={'' if new is None else new}")
    return words


@pytest.mark.slow
def test_random_changes_one_after_the_other(copy, library, tmp_path):
    rng = random.Random(1)
    values = {row["clip_id"]: row for row in read_ledger(copy).to_pylist() if row["clip_id"]}
    known = [row["loudness_lufs"] for row in values.values() if row["loudness_lufs"] is not None]
    for turn in range(8):
        bound, peak = rng.choice(known), rng.choice([0.1, 0.3, 0.62, 0.9])
        null = rng.choice(["keep", "reject"])
        # The bound is a value that occurs: what is stored is what was judged, to the bit.
        words = [f"keep.loudness.min={bound!r}", f"keep.peak.max={peak}", f"keep.peak.null={null}"]
        rules = {
            **RULES,
            "loudness": KeepRule(column="loudness_lufs", min=bound, max=-10) if bound <= -10 else None,
            "peak": KeepRule(column="peak", max=peak, null=OnNull(null)),
        }
        if rules["loudness"] is None:
            continue
        decided(copy, *words)
        assert_equal(copy, do(library, tmp_path / f"fresh {turn}", rules))


@pytest.mark.slow
def test_cut_short_at_any_write_it_is_gone_through_again(made, library, tmp_path, monkeypatch):
    """Every file that a decision writes, its marker, its recipe, parts and shards, is once the one that fails."""
    words = words_for(CHANGES["both ways"])
    fresh = do(library, tmp_path / "fresh", CHANGES["both ways"])
    real, at, reached_the_end = LocalStore.write, 0, False
    while not reached_the_end:
        at += 1
        copy = Path(shutil.copytree(made, tmp_path / f"run {at}"))
        calls = 0

        def write(self, name, *arguments, **more):
            nonlocal calls
            calls += name != "lease.json"  # whose heart beats in a thread
            if name != "lease.json" and calls == at:  # noqa: B023 - called in this round alone
                raise KeyboardInterrupt
            return real(self, name, *arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, "write", write)
            try:
                decided(copy, *words)
                reached_the_end = True
            except KeyboardInterrupt:
                pass
        if at % 2:  # the run itself goes on with it, under whichever rules it was left with
            run(replace(job_of_run(open_store(copy), ["report=false"]), engine=LocalEngine()))
        decided(copy, *words)
        assert Decision.read(open_store(copy)) is None
        assert_equal(copy, fresh)
    assert at > 10


def test_withdrawn_recordings_leave_the_shards_and_never_come_back(copy, library):
    before = rows(copy)
    done = decided(copy, "source.exclude=album/**")
    assert all(uri.startswith("album/") for uri in done.withdrawn)
    assert len(done.withdrawn) == 5
    assert done.summary is None
    after = rows(copy)
    assert after.keys() == before.keys()
    gone = {key for key, row in after.items() if row["uri"].startswith("album/") and row["clip_id"]}
    for key in gone:
        assert (after[key]["verdict"], after[key]["rule"]) == ("rejected", "withdrawn")
        assert after[key]["loudness_lufs"] == before[key]["loudness_lufs"]
    assert {key: row for key, row in after.items() if key not in gone} == {
        key: row for key, row in before.items() if key not in gone
    }
    assert stored(copy).keys() == {key for key, row in before.items() if row["verdict"] == "kept"} - gone
    do(library, copy)
    do(library, copy, redo=Redo.FAILED)
    decided(copy, "keep.loudness=", "keep.silence=", "keep.peak=")
    assert not any(row["uri"].startswith("album/") for row in stored(copy).values())
    assert not verify(open_store(copy)).findings
    with pytest.raises(ConfigError, match="would keep none of"):
        decided(copy, "keep.word.column=word", "keep.word.allow=[hihg]")
    with pytest.raises(SourceError, match=r"source\.exclude=nothing\.wav: matches no recording of this run"):
        decided(copy, "source.exclude=nothing.wav")


def test_recordings_that_are_gone_keep_their_verdict(copy, library, tmp_path):
    moved = Path(shutil.copytree(library, tmp_path / "library"))
    (moved / "song 0.wav").unlink()
    before = rows(copy)
    done = decided(copy, "keep.loudness=", f"source.path={moved}")
    assert done.beyond > 0
    after = rows(copy)
    assert all(
        after[key] == row for key, row in before.items() if row["uri"] == "song 0.wav" and row["verdict"] != "kept"
    )
    assert not verify(open_store(copy)).findings
    with pytest.raises(SourceError):
        decided(copy, "keep.silence.max=1", f"source.path={tmp_path / 'nowhere'}")
    assert Decision.read(open_store(copy)) is None


def test_what_is_missing_stays_missing_where_nothing_asks_for_it(library, tmp_path):
    output = tmp_path / "run"
    partial = Job.of(replace(PIPELINE, rules=RULES), library, output, engine=LocalEngine())
    run(replace(partial, source=replace(partial.source, include=["song*"])))
    decided(output, "keep.loudness.min=-22")
    rules = CHANGES["tighter"]
    do(library, output, rules)
    assert_equal(output, do(library, tmp_path / "fresh", rules))


def test_only_rules_can_be_changed(copy, library, capsys):
    for words, message in (
        (["loudness.oversampling=8"], "decide changes rules alone"),
        (["keep.lowdness.min=-3"], "no such rule"),
        (["keep.peak.column=nothing_at_all"], "no op writes it"),
        (["keep.tempo.column=tempo_bpm", "keep.tempo.min=3"], "was not measured"),
        (["keep.withdrawn.column=peak"], "another name"),
    ):
        with pytest.raises(ConfigError, match=message):
            decided(copy, *words)
    with pytest.raises(OutputError, match=r"audiocur decide .* keep\.loudness\.min=-20 keep\.loudness\.max=-12`"):
        do(library, copy, {**RULES, "loudness": KeepRule(column="loudness_lufs", min=-20, max=-12)})
    assert main(["decide", str(copy), "keep.loudness.min=-22"]) == 0
    said = capsys.readouterr().out
    assert "before:" in said
    assert "Nothing had to be run again." in said
    assert main(["decide"]) == 2


def test_a_mistake_is_told_before_anything_is_touched(copy):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    for words in (["keep.loudness.min=-60", "placement.loudness.via=actor"], ["keep.x.column=uri", "keep.x.min=3"]):
        with pytest.raises(ConfigError):
            decided(copy, *words)
    for words in ([], ["source.exclude="], ["source.limit=1"], ["redo=failed"], ["output.path=x"], ["engine=local"]):
        with pytest.raises(ConfigError, match="expected"):
            decided(copy, *words)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_copied_library_with_other_times_loses_nothing(copy, library, tmp_path):
    moved = Path(shutil.copytree(library, tmp_path / "library", copy_function=shutil.copyfile))
    rules = CHANGES["looser"]
    decided(copy, *words_for(rules), f"source.path={moved}")
    fresh, times = rows(do(library, tmp_path / "fresh", rules)), ("mtime_ns", "peak", "word")
    assert [{k: v for k, v in row.items() if k not in times} for _, row in sorted(rows(copy).items())] == [
        {k: v for k, v in row.items() if k not in times} for _, row in sorted(fresh.items())
    ]
    assert stored(copy) == stored(tmp_path / "fresh")


def test_what_vanishes_while_it_is_run_again_stays_as_it_was(copy, library, tmp_path, monkeypatch):
    moved, before = Path(shutil.copytree(library, tmp_path / "library")), stored(copy)
    listed, times = Folder.list, []

    def gone_after_the_listing(self):
        found = listed(self)
        times.append(1)
        if len(times) == 2:  # once to see what is there, once to run it
            for path in moved.rglob("*.wav"):
                path.unlink()
        return found

    monkeypatch.setattr(Folder, "list", gone_after_the_listing)
    done = decided(copy, "keep.loudness.min=-60", f"source.path={moved}")
    assert (done.heard, done.beyond > 0) == (0, True)
    assert stored(copy).keys() == before.keys()
    assert not verify(open_store(copy)).findings


def test_a_kill_beside_the_run_leaves_it_as_it_is(copy, library, tmp_path, monkeypatch):
    rules, before = CHANGES["both ways"], rows(copy)
    with monkeypatch.context() as patched:
        patched.setattr(Committer, "commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            decided(copy, *words_for(rules))
    assert rows(copy) == before
    do(library, copy)  # the run under its own rules, as if nothing had been
    assert rows(copy) == before
    assert not (copy / "deciding").exists()
    decided(copy, *words_for(rules))
    assert_equal(copy, do(library, tmp_path / "fresh", rules))


def test_a_takedown_holds_for_what_is_not_done_yet(library, tmp_path):
    output = tmp_path / "run"
    partial = Job.of(replace(PIPELINE, rules=RULES), library, output, engine=LocalEngine())
    run(replace(partial, source=replace(partial.source, include=["song 0.wav", "song 1.wav"])))
    done = decided(output, "source.exclude=album/**")
    assert done.withdrawn == ("album/song 1.wav",)
    do(library, output)
    assert {row["uri"] for row in stored(output).values()} == {
        row["uri"] for row in stored(do(library, tmp_path / "all")).values() if not row["uri"].startswith("album/")
    }


def test_a_recording_goes_by_its_own_name(tmp_path):
    folder, name = tmp_path / "library", "quiet [mix], take=2.wav"
    folder.mkdir()
    for number, each in enumerate((name, "other.wav")):
        soundfile.write(folder / each, np.random.default_rng(number).uniform(-0.2, 0.2, 8 * RATE_HZ), RATE_HZ)
    output = do(folder, tmp_path / "run")
    assert decided(output, f"source.exclude={name}").withdrawn == (name,)
    assert {row["uri"] for row in stored(output).values()} == {"other.wav"}


def test_a_damaged_run_is_refused_and_repair_keeps_what_was_withdrawn(copy, library):
    decided(copy, "source.exclude=album/**")
    before = rows(copy)
    shard = next((copy / "clips").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(OutputError, match=r"expected `audiocur verify .* --repair` first"):
        decided(copy, "keep.loudness.min=-60")
    repaired = repair(
        replace(job_of_run(open_store(copy), []), engine=LocalEngine()),
        verify(open_store(copy)).findings,
        SilentProgress(),
    )
    assert not repaired.left
    assert rows(copy) == before


def test_rules_over_any_column_and_in_any_order(copy, library, made):
    some = next(row["source_id"] for row in stored(copy).values())
    decided(copy, "keep.one.column=source_id", f"keep.one.allow=[{some}]")
    assert {row["source_id"] for row in stored(copy).values()} == {some}
    decided(copy, "keep.one=", "keep.peak=")
    decided(copy, "keep.peak.column=peak", "keep.peak.max=0.7")  # now the last in the recipe
    do(library, copy)
    assert stored(copy) == stored(made)


def test_where_nothing_is_stored_nothing_is_run_again(library, tmp_path):
    measured = Decode(span_s=12) >> Window(length_s=4, min_s=1) >> Loudness() >> Silence()
    rules = {name: rule for name, rule in RULES.items() if name != "peak"}
    looser = {**rules, "loudness": KeepRule(column="loudness_lufs", min=-60)}
    for name, some in (("run", rules), ("fresh", looser)):
        run(Job.of(replace(measured, rules=some), library, tmp_path / name, engine=LocalEngine()))
    done = decided(tmp_path / "run", "keep.loudness.min=-60", "keep.loudness.max=")
    assert (done.summary, done.moves["rejected", "kept"] > 0) == (None, True)
    assert rows(tmp_path / "run") == rows(tmp_path / "fresh")


def test_a_null_that_is_only_inferred_settles_nothing(library, tmp_path):
    """An op that fails stands before one whose `when` leaves clips out: a fresh run has them failed, not rejected."""
    steps = (*PIPELINE.steps, Step("loud", Peak2(), KeepRule(column="loudness_lufs", min=-12)))
    rules = {**RULES, "peak2": KeepRule(column="peak2", max=0.9)}
    looser = {**rules, "loudness": KeepRule(column="loudness_lufs", min=-60)}
    for name, some in (("run", rules), ("fresh", looser)):
        run(Job.of(Pipeline(steps, some), library, tmp_path / name, engine=LocalEngine()))
    decided(tmp_path / "run", "keep.loudness.min=-60", "keep.loudness.max=")
    assert rows(tmp_path / "run") == rows(tmp_path / "fresh")
