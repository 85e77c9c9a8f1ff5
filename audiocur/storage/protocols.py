"""The file system behind a URL, set up so that many requests can run at once and none waits for ever."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from audiocur.errors import ConfigError
from audiocur.storage.faults import os_errors

#: Requests that run at once, where a file system can: connections are kept for as many.
AT_ONCE = 32

#: Four attempts at most and twice the time-out of 15 s each: no request goes on for more than two minutes, so that a
#: dead network is told as such before the watchdog of a span takes it for a decoder that hangs.
_S3_ATTEMPTS, _S3_REPEATS = 4, 2
_EXTRAS = {"s3": "s3", "s3a": "s3"}


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it without a slash at its end.

    Raises:
        ConfigError: no installed package knows its protocol, or the URL lacks what it needs.
        OSError: it cannot be reached.
    """
    protocol, _, rest = url.partition("://")
    protocol = protocol.lower()
    kind = require_protocol(url)
    try:
        given = kind._get_kwargs_from_urls(f"{protocol}://{rest}")
        with os_errors():
            system = _made(kind, protocol, os.getpid(), tuple(sorted(given.items())))
    except TypeError as error:
        raise ConfigError(f"{url}: {error}") from error
    return system, str(kind._strip_protocol(f"{protocol}://{rest}")).rstrip("/")


def require_protocol(url: str) -> Any:
    """The class of file system that a URL names.

    Raises:
        ConfigError: no installed package knows its protocol.
    """
    import fsspec  # only URLs need it

    protocol = url.partition("://")[0].lower()
    try:
        return fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'audiocur[{extra}]'" if extra else str(error)
        raise ConfigError(f"{url}: nothing installed opens {protocol}://; {remedy}") from error
    except ValueError as error:
        raise ConfigError(f"{url}: expected a protocol that fsspec knows, as s3:// or https://") from error


def is_web(url: str) -> bool:
    """Whether a URL is an address on the web, where nothing can be listed.

    >>> is_web("https://example.org/song.flac"), is_web("s3://bucket/song.flac")
    (True, False)
    """
    return url.partition("://")[0].lower() in ("http", "https")


@cache
def _made(kind: Any, protocol: str, process: int, given: tuple[tuple[str, Any], ...]) -> Any:
    """One instance for all threads of a process: making connections anew in each would take longer than their use."""
    import fsspec

    configured = fsspec.config.conf.get(protocol, {})
    settings = {key: value for key, value in _settings(protocol).items() if key not in configured}
    system = kind(**{**settings, **dict(given)})
    if "config_kwargs" in settings:
        system.retries = _S3_REPEATS
    return system


def _settings(protocol: str) -> dict[str, Any]:
    if protocol in ("s3", "s3a"):
        config = {
            "max_pool_connections": AT_ONCE,
            "retries": {"total_max_attempts": _S3_ATTEMPTS, "mode": "standard"},
        }
        return {"use_listings_cache": False, "config_kwargs": config}
    if protocol in ("http", "https"):
        import aiohttp  # comes with what opens such URLs

        # Not five minutes for a whole file, as is usual, but so long without a sign of life.
        patience = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
        return {"client_kwargs": {"timeout": patience}, "headers": {"Accept-Encoding": "identity"}}
    return {}
