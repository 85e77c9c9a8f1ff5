"""Recordings that were taken out of a run on demand: no later run takes them up again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from audiocur.storage.base import Store

_FILE = "withdrawn.json"


def withdrawn_sources(store: Store) -> dict[str, str]:
    """The URI of each, by its source_id."""
    return dict(json.loads(store.read(_FILE))) if store.size(_FILE) is not None else {}


def withdraw_sources(store: Store, uris: Mapping[str, str]) -> None:
    """Note that recordings are withdrawn. Needs the lease.

    Args:
        store: the run directory.
        uris: their URIs, by source_id.
    """
    store.write(_FILE, json.dumps({**withdrawn_sources(store), **uris}, indent=1, sort_keys=True).encode())
