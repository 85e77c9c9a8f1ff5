"""Whatever damage there is, `verify` names it, and a repair brings back the run that was never damaged."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from audiocur.cli import main
from audiocur.engine.local import LocalEngine
from audiocur.errors import OutputError
from audiocur.inspect.verify import Finding, verify
from audiocur.job import Job
from audiocur.ops.measure.loudness import Loudness
from audiocur.ops.segment.window import Window
from audiocur.ops.transform.decode import Decode
from audiocur.ops.transform.encode import Encode
from audiocur.pipeline import Pipeline
from audiocur.progress import SilentProgress
from audiocur.redo import Redo
from audiocur.repair import repair
from audiocur.rules import KeepRule
from audiocur.run import run
from audiocur.storage import open_store
from audiocur.store.commit import write_part
from audiocur.store.lease import taken
from audiocur.store.ledger import Ledger, read_ledger
from audiocur.words import count

RATE_HZ = 8000
PIPELINE = Decode(span_s=30) >> Window(length_s=4, min_s=1) >> Loudness() >> Encode()
RULES = {"loud": KeepRule(column="loudness_lufs", min=-36)}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Recordings of 70, 35, 31 and 5 s, one of which is broken, and one too soft to be kept."""
    folder = tmp_path_factory.mktemp("home") / "library"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, (seconds, level) in enumerate(((70, 0.1), (35, 0.1), (31, 0.1), (5, 0.001))):
        samples = rng.normal(0, level, seconds * RATE_HZ)
        soundfile.write(folder / f"song {number}.wav", samples.clip(-1, 1), RATE_HZ)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def sound(library) -> Path:
    """A run that nothing has happened to."""
    output = library.parent / "sound"
    run(job(library, output))
    return output


@pytest.fixture
def output(sound, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(sound, tmp_path / "run")
    return tmp_path / "run"


def job(library, output) -> Job:
    return Job.of(PIPELINE, library, output, keep=RULES, engine=LocalEngine())


def found(output) -> list[Finding]:
    return verify(open_store(output)).findings


def mend(library, output):
    return repair(job(library, output), found(output), SilentProgress())


def content(output):
    """Rows of the ledger and of the shards that count, audio included."""
    ledger = Ledger.read(output)
    shards = [output / part.shard.name for part in ledger.parts if part.shard]
    clips = [row for path in shards for row in pq.read_table(path, partitioning=None).to_pylist()]
    return (
        sorted(ledger.table().to_pylist(), key=lambda row: (row["span_id"], row["clip_id"] or "")),
        sorted(clips, key=lambda row: row["clip_id"]),
    )


def times(output):
    return {path.relative_to(output): path.stat().st_mtime_ns for path in output.rglob("part-*.parquet")}


def parts(output):
    """Parts with a shard, the one with most clips first."""
    held = [part for part in Ledger.read(output).parts if part.shard]
    return sorted(held, key=lambda part: -part.shard.rows)


def flip(path, at, bit=1):
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


def audio_at(path):
    """Where in a shard the samples of its first clip are."""
    first, *_ = pq.read_table(path, columns=["audio"], partitioning=None)["audio"].to_pylist()
    return path.read_bytes().index(first["bytes"]) + len(first["bytes"]) // 2


def test_a_sound_run_is_found_sound(sound):
    verified = verify(open_store(sound))
    rows, clips = content(sound)
    assert verified.findings == []
    assert not verified.live
    assert verified.parts == len(Ledger.read(sound).parts) > 3
    assert verified.shards == len(list(sound.glob("clips/*/*.parquet")))
    assert verified.spans == sum(row["clip_id"] is None for row in rows)
    assert verified.clips == len(clips)
    assert verified.seconds == pytest.approx(sum(row["duration_s"] for row in clips))


def test_it_says_how_far_it_is(sound):
    told = []
    verify(open_store(sound), lambda done, total: told.append((done, total)))
    total = len(Ledger.read(sound).parts)
    assert told == [(done, total) for done in range(1, total + 1)]


def test_it_writes_nothing(output):
    flip(output / parts(output)[0].shard.name, 10)
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in output.rglob("*")}
    assert found(output)
    assert before == {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in output.rglob("*")
    }


@pytest.mark.parametrize("encode", [Encode(format=name) for name in ("wav", "ogg", "opus")] + [Encode(rate_hz=11_025)])
def test_every_format_that_is_stored_is_sound(library, tmp_path, encode):
    pipeline = Decode() >> Window(length_s=1.3333, min_s=1) >> encode
    run(Job.of(pipeline, library / "song 3.wav", tmp_path / "run", engine=LocalEngine()))
    verified = verify(open_store(tmp_path / "run"))
    assert (verified.findings, verified.clips) == ([], 4)


@pytest.mark.parametrize("place", ["nowhere", "library", "library/song 0.wav"])
def test_what_is_no_run_is_one_clear_line(library, place):
    with pytest.raises(OutputError, match=r"expected a run of audiocur with a ledger|Not a directory"):
        verify(open_store(library.parent / place))


def truncated(output):
    part = parts(output)[0]
    path = output / part.shard.name
    path.write_bytes(path.read_bytes()[:-100])
    return part.name, f"its shard {part.shard.name} has {part.shard.size_bytes - 100:,} bytes of"


def deleted(output):
    part = parts(output)[0]
    (output / part.shard.name).unlink()
    return part.name, f"its shard {part.shard.name} is missing"


def flipped_in_the_audio(output):
    path = output / parts(output)[0].shard.name
    flip(path, audio_at(path))
    return parts(output)[0].shard.name, "its sha256 is not the one that its ledger part states"


def flipped_in_the_footer(output):
    path = output / parts(output)[0].shard.name
    flip(path, -1000)
    return parts(output)[0].shard.name, "its sha256 is not the one that its ledger part states"


def zeroed(output):
    path = output / parts(output)[0].shard.name
    path.write_bytes(bytes(path.stat().st_size))
    return parts(output)[0].shard.name, "its sha256 is not the one that its ledger part states"


def another_ones_content(output):
    part, other = parts(output)[:2]
    shutil.copyfile(output / other.shard.name, output / part.shard.name)
    return part.name, f"its shard {part.shard.name} has {other.shard.size_bytes:,} bytes of"


def ledger_part_truncated(output):
    part = parts(output)[0]
    path = output / part.name
    path.write_bytes(path.read_bytes()[:-100])
    return part.name, "cannot be read"


def ledger_part_flipped_in_a_value(output):
    part = parts(output)[0]
    path = output / part.name
    at = pq.read_metadata(path).row_group(1).column(0)
    flip(path, at.data_page_offset + at.total_compressed_size - 8)
    return part.name, "cannot be read"


def ledger_part_deleted(output):
    part = parts(output)[0]
    (output / part.name).unlink()
    return part.shard.name, "no ledger part names it"


def ledger_part_twice(output):
    part = parts(output)[0]
    shutil.copyfile(output / part.name, output / "ledger/part-000001-zzzz.parquet")
    return "ledger/part-000001-zzzz.parquet", f"settles spans that {part.name} settles as well"


DAMAGE = (
    *(truncated, deleted, flipped_in_the_audio, flipped_in_the_footer, zeroed, another_ones_content),
    *(ledger_part_truncated, ledger_part_flipped_in_a_value, ledger_part_deleted, ledger_part_twice),
)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_repaired_to_equality(library, sound, output, damage):
    before = times(output)
    touched = {Path(part.name) for part in parts(output)[:1]} | {Path(parts(output)[0].shard.name)}
    file, problem = damage(output)
    findings = found(output)
    assert (findings[0].file, findings[0].problem[: len(problem)]) == (file, problem)
    assert {Path(finding.file) for finding in findings} <= touched | {Path("ledger/part-000001-zzzz.parquet")}
    repaired = mend(library, output)
    assert repaired.left == ()
    assert found(output) == []
    assert content(output) == content(sound)
    assert {name: at for name, at in before.items() if name not in touched}.items() <= times(output).items()
    assert repaired.summary.spans == (0 if damage is ledger_part_twice else len(parts(sound)[0].spans))


@pytest.fixture
def tiny(library, tmp_path) -> Path:
    """A run of one part with two kept clips."""
    run(Job.of(PIPELINE, library / "song 3.wav", tmp_path / "tiny", keep={}, engine=LocalEngine()))
    return tmp_path / "tiny"


def test_any_damage_to_a_part_is_found(tiny):
    """Wherever a bit is flipped: values, page headers, statistics, schema, facts."""
    path = tiny / parts(tiny)[0].name
    good = path.read_bytes()
    rng = random.Random(0)
    for at in [*range(8), *range(-8, 0), *(rng.randrange(len(good)) for _ in range(300))]:
        path.write_bytes(good)
        flip(path, at, 1 << rng.randrange(8))
        assert found(tiny), at
    path.write_bytes(good)
    assert found(tiny) == []


def test_damage_to_a_part_that_the_index_remembers_is_found(library, output):
    """The ledger opens no part that its index has, and verify opens each."""
    part = parts(output)[0]
    copies = [output / f"ledger/part-000001-{number:03}.parquet" for number in range(100)]
    for copy in copies:
        shutil.copyfile(output / part.name, copy)
    Ledger.read(output).save_index()
    for copy in copies:
        copy.unlink()
    assert found(output) == []
    path = output / part.name
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"made":1', b'"made":3'))
    assert [finding.file for finding in found(output)] == [part.name]
    path.write_bytes(bytes(len(good)))
    assert [finding.file for finding in found(output)] == [part.name]
    assert mend(library, output).summary.spans == len(part.spans)
    assert found(output) == []


def test_what_nothing_names_is_told_and_taken_away(library, sound, output):
    for name in ("clips/train/part-0.parquet", "clips/train/.part-1.parquet.12345678", "ledger/.part-2.parquet.123"):
        (output / name).write_bytes(b"x")
    (output / "clips/train/notes.txt").write_text("mine")
    assert {(finding.file, finding.problem, finding.part) for finding in found(output)} == {
        ("clips/train/part-0.parquet", "no ledger part names it", None),
        ("clips/train/.part-1.parquet.12345678", "was left unfinished", None),
        ("ledger/.part-2.parquet.123", "was left unfinished", None),
    }
    repaired = mend(library, output)
    assert (repaired.left, repaired.summary.spans, found(output)) == ((), 0, [])
    assert (output / "clips/train/notes.txt").exists()
    assert content(output) == content(sound)


def committed_late(output) -> str:
    """A part as a worker leaves it that outlives its driver."""
    return write_part(open_store(output), 0, pq.read_table(output / parts(output)[0].name), None).name


def test_a_part_of_a_run_that_was_taken_over_is_told_and_taken_away(library, sound, output):
    late = committed_late(output)
    assert [(finding.file, finding.problem) for finding in found(output)] == [
        (late, "was committed by a run that another one had taken over")
    ]
    assert mend(library, output).left == ()
    assert not (output / late).exists()
    assert content(output) == content(sound)


def test_sound_that_does_not_decode_is_found_though_every_hash_agrees(library, tmp_path, ops):
    pipeline = Decode() >> Window(length_s=4, min_s=1) >> ops.Raw()
    run(Job.of(pipeline, library / "song 3.wav", tmp_path / "run", engine=LocalEngine()))
    (part,) = Ledger.read(tmp_path / "run").parts
    ids = pq.read_table(tmp_path / "run" / part.shard.name, partitioning=None)["clip_id"].to_pylist()
    assert found(tmp_path / "run") == [
        Finding(part.shard.name, f"audio that does not decode, or not to its length: {', '.join(ids)} (2)", part.name)
    ]


def test_beside_a_driver_at_work_only_what_it_has_committed_is_checked(output):
    """What it has begun looks like what a crash leaves."""
    store = open_store(output)
    unfinished = output / "clips/train/.part-1.parquet.12345678"
    orphan = output / "clips/train/part-0.parquet"
    with taken(store, {}, print):
        committed_late(output)
        unfinished.touch()
        orphan.touch()
        assert (verify(store).live, verify(store).findings) == (True, [])
        damaged = parts(output)[0]
        flip(output / damaged.shard.name, 100)
        assert [finding.part for finding in verify(store).findings] == [damaged.name]
    assert len(found(output)) == 4


def test_a_repair_does_nothing_again_but_what_is_wrong(library, sound, output):
    (failed,) = of(output, "broken.wav")
    part = next(part for part in parts(output) if part.name != failed)
    flip(output / part.shard.name, 100)
    before = times(output)
    redoing = replace(job(library, output), redo=Redo.FAILED)
    assert repair(redoing, found(output), SilentProgress()).summary.spans == len(part.spans)
    assert times(output)[Path(failed)] == before[Path(failed)]
    assert content(output) == content(sound)


def test_a_repair_beside_a_driver_at_work_is_refused(library, output):
    flip(output / parts(output)[0].shard.name, 100)
    before = times(output)
    with taken(open_store(output), {}, print), pytest.raises(OutputError, match="is at work there"):
        mend(library, output)
    assert times(output) == before


def test_a_repair_from_another_library_is_refused(library, output, tmp_path):
    shutil.copytree(library, tmp_path / "library")
    for path in (tmp_path / "library").iterdir():
        path.write_bytes(path.read_bytes() + b"\0")
    flip(output / parts(output)[0].shard.name, 100)
    before = times(output)
    with pytest.raises(OutputError, match="recordings it knows have another size"):
        mend(tmp_path / "library", output)
    assert times(output) == before


def of(output, uri):
    """The parts with spans of a recording, by name."""
    rows = read_ledger(output).to_pylist()
    ids = {row["source_id"] for row in rows if row["uri"] == uri}
    return {part.name: part for part in Ledger.read(output).parts if {span.source_id for span in part.spans} & ids}


@pytest.fixture
def copied(library, tmp_path) -> Path:
    """The library as it was, to be changed."""
    shutil.copytree(library, tmp_path / "library", copy_function=shutil.copy2)
    return tmp_path / "library"


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_what_cannot_be_made_again_is_left_and_told(copied, output, change):
    part = next(iter(of(output, "song 2.wav").values()))
    flip(output / part.shard.name, audio_at(output / part.shard.name))
    if change == "gone":
        (copied / "song 2.wav").unlink()
    else:
        samples = np.random.default_rng(9).normal(0, 0.1, 20 * RATE_HZ)
        soundfile.write(copied / "song 2.wav", samples, RATE_HZ)
    before, findings = times(output), found(output)
    repaired = mend(copied, output)
    assert repaired == type(repaired)(None, tuple(findings))
    assert [finding.file for finding in repaired.left] == [part.shard.name]
    assert times(output) == before
    assert found(output) == findings


def test_what_can_be_made_again_is_although_something_else_cannot(copied, library, sound, output):
    lost = next(iter(of(output, "song 2.wav").values()))
    other = next(part for name, part in of(output, "song 0.wav").items() if name != lost.name)
    for part in (lost, other):
        flip(output / part.shard.name, 100)
    (copied / "song 2.wav").unlink()
    repaired = mend(copied, output)
    assert [finding.part for finding in repaired.left] == [lost.name]
    assert repaired.summary.spans == len(other.spans)
    assert [finding.part for finding in found(output)] == [lost.name]
    assert mend(library, output).left == ()
    assert content(output) == content(sound)


def test_what_does_not_count_any_more_and_cannot_be_made_again_is_told(copied, output):
    """Without its shard the part is void already."""
    part = next(iter(of(output, "song 2.wav").values()))
    (output / part.shard.name).unlink()
    (copied / "song 2.wav").unlink()
    repaired = mend(copied, output)
    assert [finding.part for finding in repaired.left] == [part.name]
    assert found(output) == []
    assert part.name not in of(output, "song 2.wav")


@pytest.fixture
def audiocur(tmp_path, monkeypatch, capsys):
    """The command, in a folder of its own: exit status, and the lines it prints; nothing on stderr."""
    monkeypatch.chdir(tmp_path)

    def called(*words):
        status = main(words)
        printed = capsys.readouterr()
        assert printed.err == ""
        return status, printed.out.splitlines()

    return called


def test_the_command_says_what_is_wrong_and_mends_it(copied, tmp_path, audiocur):
    words = [f"source.path={copied}", "output.path=o", "engine=local", "segment=window", "segment.length_s=4"]
    assert audiocur(*words, "pipeline=[decode,segment,loudness,encode]")[0] == 0
    whole = content(tmp_path / "o")
    clips = f"{len(whole[1])} clips, 2.1 min, in 2 shards"
    assert audiocur("verify", "o") == (0, [f"Checked: 2 ledger parts, 5 spans. Sound: {clips}."])
    part = parts(tmp_path / "o")[-1]
    flip(tmp_path / "o" / part.shard.name, 100)
    status, lines = audiocur("verify", "o")
    assert (status, len(lines)) == (1, 3)
    assert lines[0] == f"{part.shard.name}: its sha256 is not the one that its ledger part states"
    assert lines[-1] == "1 thing wrong, 1 of them with work to be done again: audiocur verify o --repair"
    status, again = audiocur("verify", "o", "--repair")
    assert (status, again[:2]) == (0, lines[:2])
    assert again[2] == "1 thing wrong, 1 of them with work to be done again"
    assert again[-1].startswith(f"Repaired: {count(len(part.spans), 'span')} done again, ")
    assert content(tmp_path / "o") == whole
    assert audiocur("verify", "o", "--repair") == audiocur("verify", "o")
    flip(tmp_path / "o" / part.shard.name, 100)
    for path in copied.glob("song*"):
        path.unlink()
    status, lines = audiocur("verify", "o", "--repair")
    assert status == 1
    assert lines[-1].startswith(f"{part.shard.name}: not mended")


def test_a_pipeline_that_stores_nothing_is_sound(library, tmp_path):
    pipeline: Pipeline = Decode() >> Window(length_s=4, min_s=1) >> Loudness()
    run(Job.of(pipeline, library, tmp_path / "run", engine=LocalEngine()))
    verified = verify(open_store(tmp_path / "run"))
    assert (verified.findings, verified.shards, verified.spans) == ([], 0, 5)
