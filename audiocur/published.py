"""Checkpoints that go by a repository of the model hub, or by a folder of the same layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from audiocur.checkpoints import Checkpoint, HubFolder, OwnFile


class Published(NamedTuple):
    """What is known of a repository: the commit that was read when an op was written for it, MB, licence."""

    commit: str
    size_mb: int
    licence: str


PUBLISHED = {
    "laion/larger_clap_music": Published("a0b4534a14f58e20944452dff00a22a06ce629d1", 780, "Apache-2.0"),
    "facebook/audiobox-aesthetics": Published("9b1dd8e5df9af7216e836a98974fe3b82c56ded6", 416, "CC-BY-4.0"),
}


def hub_or_folder(what: str, model: str, revision: str | None, files: tuple[str, ...]) -> Checkpoint:
    """The checkpoint that a recipe names.

    Args:
        what: for a person, "CLAP".
        model: "owner/name", unless that is a folder here, or a path.
        revision: of the repository; null for the commit that is known, else main.
        files: patterns of those that are needed.

    >>> hub_or_folder("CLAP", "laion/larger_clap_music", None, ("*.json",)).licence
    'Apache-2.0'
    >>> hub_or_folder("CLAP", "./clap", None, ("*.json",)).found()
    """
    if Path(model).expanduser().is_dir() or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return OwnFile(name=what, path=model)
    known = PUBLISHED.get(model)
    return HubFolder(
        name=f"{what} {model}",
        repo=model,
        revision=revision or (known.commit if known else "main"),
        files=files,
        size_mb=known.size_mb if known else None,
        licence=known.licence if known else "not stated",
    )
