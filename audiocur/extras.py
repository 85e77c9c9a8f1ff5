"""Packages that only some choices need, and one line for whoever chose without having them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from audiocur.errors import ConfigError


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Round an import of packages that an extra installs.

    Args:
        name: of the extra, "models".
        what: needs it, "asr=whisper".

    Raises:
        ConfigError: a package is missing.

    >>> with extra("models", "asr=whisper"):
    ...     import no_such_package
    Traceback (most recent call last):
    audiocur.errors.ConfigError: asr=whisper needs no_such_package: pip install 'audiocur[models]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what} needs {error.name}: pip install 'audiocur[{name}]'") from error
