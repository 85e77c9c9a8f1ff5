"""What goes wrong on the way to a file system elsewhere, told as the one at hand tells it: as an OSError."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

#: Another attempt would end the same way; ENXIO is a socket.
LASTING = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
)
#: Pauses before asking again for what could not be had.
WAITS_S = (0.2, 1.0, 4.0)

_OF_STATUS = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT, 410: errno.ENOENT, 416: errno.ERANGE}
_OF_KIND = (
    (FileNotFoundError, errno.ENOENT),
    (PermissionError, errno.EACCES),
    (FileExistsError, errno.EEXIST),
    (IsADirectoryError, errno.EISDIR),
    (NotADirectoryError, errno.ENOTDIR),
    (TimeoutError, errno.ETIMEDOUT),
    (ValueError, errno.EINVAL),
)


@contextmanager
def os_errors() -> Iterator[None]:
    """A context in which every error of a file system's package becomes an OSError with a number and one line of text.

    Errors of Python itself stay what they are: they are bugs, except a ValueError, which is a name that cannot be.
    """
    try:
        yield
    except Exception as error:  # what such packages raise has no other base in common
        found = _as_os_error(error)
        if found is None:
            raise
        raise found from error


def patiently(call: Callable[[], T]) -> T:
    """What a call gives, which is made again after an OSError that may pass."""
    for wait_s in WAITS_S:
        try:
            return call()
        except OSError as error:
            if error.errno in LASTING:
                raise
            time.sleep(wait_s)
    return call()


def _as_os_error(error: Exception) -> OSError | None:
    # Whatever keeps fsspec from an address on the web, it says that nothing was found; the cause knows better.
    hidden = error.__cause__ if isinstance(error, FileNotFoundError) else None
    origin = hidden if isinstance(hidden, Exception) else error
    if type(origin).__module__ == "builtins" and not isinstance(origin, OSError | ValueError):
        return None
    status = _http_status(origin) or _http_status(origin.__cause__)
    number = _OF_STATUS.get(status or 0) or next((each for kind, each in _OF_KIND if isinstance(origin, kind)), None)
    if number is None:
        given = getattr(origin, "errno", None)  # of name resolution it is negative, and means something else
        number = given if isinstance(given, int) and given > 0 else errno.EIO
    return OSError(number, _text(origin))


def _http_status(error: BaseException | None) -> int | None:
    """The status that a server answered with, wherever its package keeps it; null if none is known."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = next((each for name in ("status", "status_code", "code") if (each := getattr(error, name, None))), None)
    return found if isinstance(found, int) else None


def _text(error: Exception) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        said = response.get("Error", {}).get("Message")
    else:
        # Packages put less into the one than into the other.
        said = getattr(error, "strerror" if type(error).__module__ == "builtins" else "message", None)
    return " ".join((said if said and isinstance(said, str) else str(error)).split()) or type(error).__name__
