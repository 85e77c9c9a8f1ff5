"""What is known of spans that were lost with their worker, kept in the run: a later driver does not begin again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from audiocur.storage.base import Store

ATTEMPTS = "attempts.json"


@dataclass
class Attempts:
    """How each span that was ever lost took its process down since, one entry a time.

    Attributes:
        deaths: by span_id; empty for one that was lost in company, which may be none of its fault.
    """

    store: Store
    deaths: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store) -> Attempts:
        """Those of a run."""
        return cls(store, json.loads(store.read(ATTEMPTS)) if store.size(ATTEMPTS) is not None else {})

    def suspect(self, span_ids: Iterable[str]) -> None:
        """Note spans that were lost in company."""
        for span_id in span_ids:
            self.deaths.setdefault(span_id, [])
        self._save()

    def add(self, span_id: str, how: str) -> None:
        """Note that a span took its process down."""
        self.deaths.setdefault(span_id, []).append(how)
        self._save()

    def forget(self, span_ids: Iterable[str]) -> None:
        """Drop what is known of spans that are settled, or are to have another chance."""
        gone = [span_id for span_id in span_ids if self.deaths.pop(span_id, None) is not None]
        if gone:
            self._save()

    def _save(self) -> None:
        self.store.write(ATTEMPTS, json.dumps(self.deaths, indent=1).encode())
