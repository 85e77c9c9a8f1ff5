"""Every error audiocur raises on purpose.

::

    AudiocurError
    ├── UserError        the user can mend it: one line on stderr, exit status 2, before any work
    │   ├── ConfigError      a key, a value or a pipeline that cannot be
    │   ├── SourceError      recordings that cannot be listed or read at all
    │   └── OutputError      an output directory that cannot take this run
    ├── RowError         one span or clip is unusable: verdict `failed`, and its neighbours go on
    └── RunError         the run had to stop: exit status 1
"""


class AudiocurError(Exception):
    """Base of all errors audiocur raises on purpose."""


class UserError(AudiocurError):
    """A mistake the user can mend; its message names the key, the value and what was expected."""


class ConfigError(UserError):
    """A key, a value or a pipeline that cannot be."""


class SourceError(UserError):
    """Recordings that cannot be listed, or a source of which nothing can be used."""


class OutputError(UserError):
    """An output directory that cannot take this run."""


class RowError(AudiocurError):
    """One span or clip is unusable (undecodable, empty, non-finite); its reason is for a person to read."""


class RunError(AudiocurError):
    """The run had to stop before its end; what was committed stays."""


def require(condition: bool, key: str, value: object, expectation: str) -> None:
    """Refuse a parameter that is out of range, in the words every such mistake is told in.

    >>> require(0 <= 1.5 <= 1, "threshold", 1.5, "a probability, 0 to 1")
    Traceback (most recent call last):
    audiocur.errors.ConfigError: threshold=1.5: expected a probability, 0 to 1
    """
    if not condition:
        raise ConfigError(f"{key}={value}: expected {expectation}")
