"""Where recordings come from: a folder, a manifest or the demo library."""

from __future__ import annotations

from pathlib import Path

from audiocur.sources.base import SourceSet
from audiocur.sources.folder import Folder
from audiocur.sources.manifest import Manifest
from audiocur.sources.tables import READERS


def open_source(path: str | Path) -> SourceSet:
    """The source a bare path stands for: a manifest by its suffix, anything else a folder or a single recording.

    >>> open_source("library.csv").path, type(open_source("~/Music")).__name__
    ('library.csv', 'Folder')
    """
    kind = Manifest if Path(path).suffix.lower() in READERS and not Path(path).is_dir() else Folder
    return kind(path=str(path))
