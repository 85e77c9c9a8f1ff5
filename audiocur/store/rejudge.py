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
from audiocur.store.decision import note_judged
from audiocur.store.ledger import Ledger
from audiocur.store.withdraw import replace_part, rows_of

#: What a verdict comes to in a row of the ledger; a clip that is not stored has no rate of its own.
_WRITTEN = ("verdict", "rule", "rules", "gate", "reason", "op", "unexpected", "sample_rate_hz", "channels")


@dataclass
class Rejudged:
    """What judging again did.

    Attributes:
        ledger: as it is now.
        moves: clips by verdict before and after, where these differ.
        again: ids of spans that hold a clip to be kept, or heard by more ops, and were taken out to be run again.
        beyond: clips of such spans whose recording is not there, or another by now: their verdict stays.
    """

    ledger: Ledger
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    again: set[str] = field(default_factory=set)
    beyond: int = 0


def to_be_heard(ledger: Ledger, gates: Gates, rules: Rules) -> set[str]:
    """Ids of the recordings with a clip that these rules cannot judge, or keep, from what is there."""
    columns = ["source_id", *columns_of(gates, rules)]
    found: set[str] = set()
    for part in ledger.parts:
        with ledger.store.open(part.name) as file:
            rows = pq.read_table(file, columns=columns)
        clips = Clips(gates, rows.filter(pc.is_valid(rows["clip_id"])))
        found |= set(clips.table["source_id"].filter(pa.array(~clips.judged(rules).settled)).to_pylist())
    return found


def rejudge(
    ledger: Ledger,
    gates: Gates,
    rules: Rules,
    there: Collection[str],
    withdrawn: Collection[str],
) -> Rejudged:
    """Make every row what these rules make of it. Needs the lease, whose epoch the ledger has.

    Doing it again changes nothing, so one that was cut short is simply done again.

    Args:
        ledger: what is settled.
        gates: of the pipeline that measured it.
        rules: those that have something to judge.
        there: source_id of each recording that can be run again.
        withdrawn: source_id of each that was withdrawn.

    Raises:
        OutputError: a part or a shard that must be copied is damaged.
    """
    done = Rejudged(ledger)
    emptied = []
    for part in ledger.parts:
        before = rows_of(ledger.store, part.name)
        after = _judged_again(before, gates, rules, there, withdrawn, done)
        if not after.num_rows:
            emptied.append(part.name)
        elif not after.equals(before):
            replace_part(ledger, part, after)
    ledger.store.remove(emptied)
    done.ledger = Ledger.read(ledger.store, ledger)
    note_judged(ledger.store)
    return done


def _judged_again(
    rows: pa.Table,
    gates: Gates,
    rules: Rules,
    there: Collection[str],
    withdrawn: Collection[str],
    done: Rejudged,
) -> pa.Table:
    """The rows of a part under other rules, without the spans that must be run again."""
    places = np.flatnonzero(np.asarray(pc.is_valid(rows["clip_id"])))
    clips = rows.take(pa.array(places))
    judged = Clips(gates, clips).judged(rules)
    sources, spans = clips["source_id"].to_pylist(), clips["span_id"].to_pylist()
    gone = np.array([source in withdrawn for source in sources], bool)
    again = set()
    for at in np.flatnonzero(~judged.settled & ~gone):
        if sources[at] in there:
            again.add(spans[at])
        else:
            done.beyond += 1
    staying = np.array([span not in again for span in spans], bool)
    written = {name: rows[name].to_pylist() for name in _WRITTEN}
    # What an earlier decision withdrew stays as it wrote it.
    for at in np.flatnonzero(staying & (gone | (judged.settled & judged.rejected & ~judged.clips.withdrawn))):
        row = int(places[at])
        fate = _withdrawn() if gone[at] else _fate(judged, int(at))
        before = written["verdict"][row]
        if before != fate["verdict"]:
            done.moves[before, str(fate["verdict"])] += 1
        for name, value in fate.items():
            written[name][row] = value
    done.again |= again
    for name, values in written.items():
        at_column = rows.schema.get_field_index(name)
        rows = rows.set_column(at_column, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    return rows.filter(pc.invert(pc.is_in(rows["span_id"], pa.array(sorted(again), pa.string()))))


def _fate(judged: Judged, at: int) -> dict[str, Any]:
    """What a worker writes of a clip that it rejects."""
    gates = judged.clips.gates
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


def _withdrawn() -> dict[str, Any]:
    return _rejected(rules=[WITHDRAWN], gate=None, reason="its recording was withdrawn")


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
