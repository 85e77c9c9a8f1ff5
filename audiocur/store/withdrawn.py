"""Recordings that were taken out of a run on demand: no later run takes them up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from audiocur.errors import OutputError
from audiocur.sources.selection import matches
from audiocur.storage.base import Store

_FILE = "withdrawn.json"


@dataclass(frozen=True)
class Withdrawn:
    """What was withdrawn from a run.

    Attributes:
        patterns: as they were typed: also what was not yet done then is not to be.
        uris: of the recordings that they matched, by source_id.
    """

    patterns: tuple[str, ...] = ()
    uris: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store) -> Withdrawn:
        """That of a run.

        Raises:
            OutputError: the file that says so is damaged.
        """
        if store.size(_FILE) is None:
            return cls()
        try:
            said = json.loads(store.read(_FILE))
            return cls(tuple(said["patterns"]), dict(said["sources"]))
        except (ValueError, TypeError, LookupError) as error:
            raise OutputError(f"{store}: {_FILE} is damaged; without it nobody can tell what was withdrawn") from error

    def covers(self, source_id: str, uri: str) -> bool:
        """Whether a recording is withdrawn."""
        return source_id in self.uris or covered(uri, self.patterns)

    def write(self, store: Store) -> None:
        """Note it. Needs the lease."""
        said = {"patterns": list(self.patterns), "sources": dict(sorted(self.uris.items()))}
        store.write(_FILE, json.dumps(said, indent=1).encode())


def covered(uri: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of some patterns is the very name of a recording, brackets and all, or matches it.

    >>> covered("tune [live].wav", ("tune [live].wav",)), covered("tune l.wav", ("tune [live].wav",))
    (True, True)
    """
    return uri in patterns or matches(uri, patterns)
