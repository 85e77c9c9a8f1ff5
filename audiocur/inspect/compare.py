"""What two runs disagree about, clip by clip: which keeps what, and by what the other one drops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocur.inspect.frame import Frame, Hours
from audiocur.inspect.relation import ledger_in
from audiocur.store.parts import kind_of
from audiocur.store.recipe import differences
from audiocur.words import count, hours

if TYPE_CHECKING:
    import duckdb

    from audiocur.inspect.opened import Run

#: Of a clip: what became of it; the reason differs from clip to clip, and is told of failed ones alone.
_FATES = """
    with here as (from here_ledger where clip_id is not null), there as (from there_ledger where clip_id is not null)
    select
        [here.verdict, here.rule, case here.verdict when 'failed' then here.reason end, here.op] as fate_here,
        [there.verdict, there.rule, case there.verdict when 'failed' then there.reason end, there.op] as fate_there,
        count(*), sum(coalesce(here.duration_s, there.duration_s))
    from here full outer join there using (clip_id)
    group by fate_here, fate_there
"""
_RECORDINGS = """
    with here as (select distinct source_id from here_ledger), there as (select distinct source_id from there_ledger)
    select count(here.source_id), count(there.source_id), count(here.source_id || there.source_id)
    from here full outer join there using (source_id)
"""
#: Keys of the recipes that are told at most.
_SHOWN = 8


def compared(run: Run, other: Run) -> Frame:
    """What became of every clip here, in `run`, and there, in `other`.

    A clip of one run is a clip of the other if it was cut from the same recording at the same samples.

    Raises:
        OutputError: nothing has been finished in one of them.
    """
    import duckdb

    with duckdb.connect() as both:
        ledger_in(both, run).create_view("here_ledger")
        ledger_in(both, other).create_view("there_ledger")
        fates = _fates(both)
        recordings = both.sql(_RECORDINGS).fetchall()[0]
    order = sorted(fates, key=lambda pair: (-pair.count("kept"), pair[1] == "kept", -fates[pair][1], pair))
    rows = [(*pair, fates[pair][0], Hours(fates[pair][1] / 3600)) for pair in order]
    return Frame(
        ("here", "there", "clips", "audio"),
        rows,
        title=f"{run.store} (here) beside {other.store} (there)",
        note=" ".join([*_kept(fates), _common(*recordings), _differences(run, other)]),
    )


def _fates(both: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, float]]:
    """Clips and seconds for each pair of what became of them."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for here, there, clips, seconds in both.sql(_FATES).fetchall():
        pair = _fate(*here), _fate(*there)
        before = found.get(pair, (0, 0.0))
        found[pair] = before[0] + clips, before[1] + seconds
    return found


def _fate(verdict: str | None, rule: str | None, reason: str | None, op: str | None) -> str:
    if verdict == "rejected":
        return f"rejected by {rule}"
    if reason is not None:
        return f"failed: {kind_of(reason)} ({op})"
    return verdict or "not cut"


def _kept(fates: dict[tuple[str, str], tuple[int, float]]) -> list[str]:
    """What is kept in both, and in one alone."""
    told = []
    for what, sides in (("in both", (True, True)), ("only here", (True, False)), ("only there", (False, True))):
        some = [amount for pair, amount in fates.items() if tuple(fate == "kept" for fate in pair) == sides]
        clips, seconds = sum(clips for clips, _ in some), sum(seconds for _, seconds in some)
        told.append(f"Kept {what}: {count(clips, 'clip')}, {hours(seconds)}.")
    return told


def _common(here: int, there: int, both: int) -> str:
    if here == there == both:
        return f"Both are over the same {count(here, 'recording')}."
    return f"Recordings: {here:,} here, {there:,} there, {both:,} of them in both."


def _differences(run: Run, other: Run) -> str:
    found = differences(other.recipe, run.recipe)
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return f"Recipes: {'; '.join(found[:_SHOWN])}{more}." if found else "Their recipes decide alike."
