"""Places that hold files: a local folder, or anything fsspec has a protocol for."""

from __future__ import annotations

import re

from audiocur.storage.base import Store


def is_url(path: str | bytes) -> bool:
    """Whether a path names a file system of its own, as ``s3://bucket/key`` does, and is no local one.

    >>> is_url("s3://bucket/run"), is_url(b"gs://bucket/song.flac"), is_url("/data/run"), is_url("file:///data")
    (True, True, False, False)
    """
    text = path if isinstance(path, bytes) else path.encode(errors="replace")
    return bool(re.match(rb"(?!file://)[A-Za-z][A-Za-z0-9+.-]*://", text))


def open_store(place: object) -> Store:
    """The store at a local path, a URL, or one that is open already.

    Raises:
        ConfigError: no installed package knows the URL's protocol.
    """
    if isinstance(place, Store):
        return place
    text = str(place)
    if is_url(text):
        from audiocur.storage.remote import RemoteStore  # fsspec is imported where it is needed

        return RemoteStore(text)
    from audiocur.storage.local import LocalStore

    return LocalStore(text.removeprefix("file://"))
