"""A decision that has begun to change a run: who comes after a kill ends it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from audiocur.errors import OutputError
from audiocur.storage.base import Store
from audiocur.store.staged import FOLDER
from audiocur.store.withdrawn import Withdrawn

MARKER = "deciding.json"


@dataclass(frozen=True)
class Decision:
    """What is decided.

    Attributes:
        fingerprint: of the recipe under its rules; while the run's own is another, nothing has been changed.
        withdrawn: all that is withdrawn, this time and before.
    """

    fingerprint: str
    withdrawn: Withdrawn

    @classmethod
    def read(cls, store: Store) -> Decision | None:
        """The one under way, if there is one.

        Raises:
            OutputError: the file that says so is damaged.
        """
        if store.size(MARKER) is None:
            return None
        try:
            said = json.loads(store.read(MARKER))
            return cls(said["fingerprint"], Withdrawn(tuple(said["patterns"]), dict(said["sources"])))
        except (ValueError, TypeError, LookupError) as error:
            raise OutputError(f"{store}: {MARKER} is damaged: remove it, and decide again") from error

    def begin(self, store: Store) -> None:
        """Note it before its first change. Needs the lease."""
        said = {"fingerprint": self.fingerprint, "patterns": self.withdrawn.patterns, "sources": self.withdrawn.uris}
        store.write(MARKER, json.dumps(said, indent=1).encode())


def end(store: Store) -> None:
    """Note that nothing of it is left to do, and discard what was run again for it. Needs the lease."""
    store.remove([MARKER])
    store.discard(FOLDER)
