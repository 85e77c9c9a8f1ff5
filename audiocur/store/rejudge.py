"""Other keep rules over a ledger that is there: rows that they judge otherwise are written anew, and nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiocur.judgement import Clips, Gates, Judged, columns_of
from audiocur.records import WITHDRAWN, Verdict
from audiocur.rules import Rules
from audiocur.store.ledger import Ledger
from audiocur.store.staged import Staged
from audiocur.store.withdraw import replace_part, rows_of
from audiocur.store.withdrawn import Withdrawn

#: What a verdict comes to in a row of the ledger; a clip that is not stored has no rate of its own.
_WRITTEN = ("verdict", "rule", "rules", "gate", "reason", "op", "unexpected", "sample_rate_hz", "channels")


@dataclass
class Rejudged:
    """What judging again did.

    Attributes:
        ledger: as it is now.
        moves: clips by verdict before and after, where these differ.
        heard: spans that took the place of what they were, as they were run again.
        beyond: clips that the rules may keep, but of spans that could not be run again: their verdict stays.
    """

    ledger: Ledger
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    heard: int = 0
    beyond: int = 0


def to_be_heard(ledger: Ledger, gates: Gates, rules: Rules) -> tuple[dict[str, set[int]], int]:
    """The spans with a clip that these rules cannot judge, or keep, from what is there: their indices by source_id.

    And how many clips stay kept.
    """
    columns = list(dict.fromkeys(["span_id", *columns_of(gates, rules)]))
    found: dict[str, set[int]] = {}
    kept = 0
    for part in ledger.parts:
        with ledger.store.open(part.name) as file:
            rows = pq.read_table(file, columns=columns)
        clips = rows.filter(pc.is_valid(rows["clip_id"]))
        judged = Clips(gates, clips).judged(rules)
        kept += int((judged.settled & judged.kept).sum())
        for span_id in clips["span_id"].filter(pa.array(~judged.settled)).to_pylist():
            source_id, _, index = span_id.rpartition("-")
            found.setdefault(source_id, set()).add(int(index))
    return found, kept


def rejudge(ledger: Ledger, gates: Gates, rules: Rules, withdrawn: Withdrawn, staged: Staged) -> Rejudged:
    """Make every row what these rules make of it. Needs the lease, whose epoch the ledger has.

    Each part is replaced in one step. Doing it again changes nothing, so what was cut short is simply done again.

    Args:
        ledger: what is settled.
        gates: of the pipeline that measured it.
        rules: those that have something to judge.
        withdrawn: recordings whose clips leave the shards.
        staged: spans that were run again under these rules.

    Raises:
        OutputError: a part or a shard that must be copied is damaged.
    """
    done = Rejudged(ledger)
    for part in ledger.parts:
        before = rows_of(ledger.store, part.name)
        heard = {span.span_id for span in part.spans} & staged.spans.keys()
        after = _judged_again(_replaced(before, heard, staged), gates, rules, withdrawn, done)
        if after.equals(before):
            continue
        done.moves += _moves(before, after)
        done.heard += len(heard)
        kept = after.filter(_is(after, "kept"))
        new = [*staged.clips(heard, kept["clip_id"])] if heard and gates.stores else []
        replace_part(ledger, part, after, new)
    done.ledger = Ledger.read(ledger.store, ledger)
    return done


def _replaced(rows: pa.Table, heard: Collection[str], staged: Staged) -> pa.Table:
    """The rows of a part, with those of some spans as they were run again; spans first, then clips."""
    if not heard:
        return rows
    others = rows.filter(pc.invert(pc.is_in(rows["span_id"], pa.array(sorted(heard)))))
    both = pa.concat_tables([others, staged.rows(heard).select(rows.column_names).cast(rows.schema)])
    is_span = pc.is_null(both["clip_id"])
    return pa.concat_tables([both.filter(is_span), both.filter(pc.invert(is_span))])


def _judged_again(rows: pa.Table, gates: Gates, rules: Rules, withdrawn: Withdrawn, done: Rejudged) -> pa.Table:
    """The rows of a part under other rules; what these cannot judge stays as it is."""
    places = np.flatnonzero(np.asarray(pc.is_valid(rows["clip_id"])))
    clips = rows.take(pa.array(places))
    judged = Clips(gates, clips).judged(rules)
    sources = zip(clips["source_id"].to_pylist(), clips["uri"].to_pylist(), strict=True)
    gone = np.array([withdrawn.covers(*source) for source in sources], bool)
    done.beyond += int((~judged.settled & ~gone).sum())
    written = {name: rows[name].to_pylist() for name in _WRITTEN}
    gone &= ~judged.clips.withdrawn  # what an earlier decision withdrew stays as it wrote it
    others = judged.settled & ~judged.clips.withdrawn & (judged.rejected | (judged.kept & ~judged.clips.kept))
    for at in np.flatnonzero(gone | others):
        row = int(places[at])
        was = written["reason"][row] or f"{written['verdict'][row]} before"
        fate = _withdrawn(was) if gone[at] else _fate(judged, int(at))
        for name, value in fate.items():
            written[name][row] = value
    for name, values in written.items():
        field_ = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field_, pa.array(values, field_.type))
    return rows


def _moves(before: pa.Table, after: pa.Table) -> Counter[tuple[str, str]]:
    """Clips whose verdict is another: how many, by both."""
    was = dict(zip(before["clip_id"].to_pylist(), before["verdict"].to_pylist(), strict=True))
    now = zip(after["clip_id"].to_pylist(), after["verdict"].to_pylist(), strict=True)
    return Counter((was[clip], verdict) for clip, verdict in now if clip and was.get(clip, verdict) != verdict)


def _is(rows: pa.Table, verdict: str) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(rows["verdict"], verdict), False)


def _fate(judged: Judged, at: int) -> dict[str, Any]:
    """What a worker writes of a clip that is judged by these rules."""
    gates = judged.clips.gates
    if judged.kept[at]:  # where nothing is stored, and so nothing is missing
        return dict.fromkeys(_WRITTEN) | {"verdict": Verdict.KEPT, "rules": [], "unexpected": False}
    gate = int(judged.broken_at[at])
    broken = [
        (name, rule)
        for name, (rule, breaks, _) in judged.rules.items()
        if breaks[at] and gates.gate_of(rule.column) == gate
    ]
    _, rule = broken[0]
    return _rejected(
        rules=[name for name, _ in broken],
        gate=gates.name_of(gate),
        reason=rule.broken_by(judged.clips.table[rule.column][at].as_py()),
    )


def _withdrawn(was: str) -> dict[str, Any]:
    return _rejected(rules=[WITHDRAWN], gate=None, reason=f"its recording was withdrawn; {was}")


def _rejected(*, rules: list[str], gate: str | None, reason: str | None) -> dict[str, Any]:
    return {
        "verdict": Verdict.REJECTED,
        "rule": rules[0],
        "rules": rules,
        "gate": gate,
        "reason": reason,
        "op": None,
        "unexpected": False,
        "sample_rate_hz": None,
        "channels": None,
    }
