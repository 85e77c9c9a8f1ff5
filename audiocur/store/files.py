"""Files that are either wholly there or not there, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_durably(path: Path, data: bytes | memoryview, *, exclusive: bool = False) -> None:
    """Write a file under a name that begins with a dot, sync it, and only then give it its own name.

    Args:
        path: the final name; its directory is made.
        data: the whole content.
        exclusive: fail if the name is taken, instead of replacing the file.

    Raises:
        FileExistsError: exclusive, and the name is taken.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid4().hex[:8]}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
