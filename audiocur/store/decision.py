"""A decision over a run that is under way: who comes after a kill goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from audiocur.storage.base import Store

_FILE = "deciding.json"


@dataclass(frozen=True)
class Decision:
    """What is known of a decision that has not ended.

    Attributes:
        sources: ids of the recordings with spans that it takes out of the ledger, to be run again.
        judged: every row has been judged by its rules; what is left is to run what is missing.
    """

    sources: frozenset[str]
    judged: bool = False

    @classmethod
    def read(cls, store: Store) -> Decision | None:
        """The one under way, if there is one."""
        if store.size(_FILE) is None:
            return None
        said = json.loads(store.read(_FILE))
        return cls(frozenset(said["sources"]), said["judged"])


def begin(store: Store, sources: Iterable[str]) -> None:
    """Note a decision before its first change; what an earlier one has not run yet stays noted. Needs the lease."""
    before = Decision.read(store)
    _write(store, Decision(frozenset(sources) | (before.sources if before else frozenset())))


def note_judged(store: Store) -> None:
    """Note that every row has been judged. Needs the lease."""
    before = Decision.read(store)
    if before:
        _write(store, Decision(before.sources, judged=True))


def end(store: Store) -> None:
    """Note that nothing of it is left to do."""
    store.remove([_FILE])


def _write(store: Store, decision: Decision) -> None:
    said = {"judged": decision.judged, "sources": sorted(decision.sources)}
    store.write(_FILE, json.dumps(said, indent=1).encode())
