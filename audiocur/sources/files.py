"""Files that anybody may have put there: opened without waiting, and what stands in their way in the same few words."""
# Names of files are bytes here, and pathlib has no notion of those.
# ruff: noqa: PTH114, PTH116

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from audiocur.storage.faults import LASTING

_WORDS = {
    errno.ELOOP: "symbolic link loop",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "a folder, not a file",
    errno.ENXIO: "not a regular file",  # what opening a socket says
}


@contextmanager
def open_regular(path: bytes) -> Iterator[BufferedReader]:
    """Open a regular file; a pipe that nobody writes to keeps nobody waiting, and a device is not read.

    Raises:
        OSError: it cannot be opened, or is no regular file; `trouble` has words for it.
        ValueError: there is a NUL in the name.
    """
    with open(path, "rb", opener=_at_once) as file:
        _require_regular(os.fstat(file.fileno()).st_mode)
        yield file


def examine(path: bytes) -> tuple[os.stat_result, None] | tuple[None, str]:
    """What the file system says of a file, or why it cannot be read, in a few words.

    >>> examine(b"/no/such/file.wav")
    (None, 'no such file')
    """
    try:
        found = os.stat(path)
        _require_regular(found.st_mode)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return None, trouble(error, path)
    return found, None


def trouble(error: OSError | ValueError, path: bytes) -> str:
    """What stands in the way of a file or folder, in a few words.

    >>> trouble(PermissionError(13, "Permission denied"), b"song.wav")
    'permission denied'
    """
    if not isinstance(error, OSError):
        return "not a name a file can have"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "broken symbolic link" if os.path.islink(path) else "no such file"
    return _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def remote_trouble(error: OSError) -> str:
    """What stands in the way of an object, in the same words where it is the same.

    >>> remote_trouble(FileNotFoundError(2, "bucket/song.wav")), remote_trouble(OSError(5, "Slow Down"))
    ('no such file', 'cannot be read: Slow Down')
    """
    return trouble(error, b"") if error.errno in LASTING else f"cannot be read: {error.strerror or error}"


def shown(name: bytes) -> str:
    r"""The name of a file on one line.

    >>> shown(b"two\nlines, caf\xe9.wav")
    'two lines, caf\\xe9.wav'
    """
    return " ".join(name.decode("utf-8", "backslashreplace").split())


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
        raise OSError(number, os.strerror(number))
