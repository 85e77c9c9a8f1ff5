"""Numbers as a person reads them."""

from __future__ import annotations


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things.

    >>> count(1, "clip"), count(1200, "clip"), count(2, "batch", "batches")
    ('1 clip', '1,200 clips', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def hours(seconds: float) -> str:
    """Audio in hours, or in minutes or seconds where that says more.

    >>> hours(7200), hours(90), hours(5)
    ('2.00 h', '1.5 min', '5.0 s')
    """
    if seconds >= 3600:
        return f"{seconds / 3600:,.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def duration(seconds: float) -> str:
    """Time to wait, as one says it.

    >>> duration(5), duration(125), duration(7300)
    ('5 s', '2 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def size(num_bytes: float) -> str:
    """Bytes in the unit that suits them.

    >>> size(1_500_000), size(2.5e9)
    ('1.5 MB', '2.5 GB')
    """
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.1f} MB"


def clock(seconds: float) -> str:
    """A place in a recording.

    >>> clock(4), clock(75.25), clock(3675.5)
    ('0:04.0', '1:15.2', '1:01:15.5')
    """
    minutes, rest = divmod(round(seconds * 10) / 10, 60)
    whole_hours, minutes = divmod(int(minutes), 60)
    return f"{whole_hours}:{minutes:02}:{rest:04.1f}" if whole_hours else f"{minutes}:{rest:04.1f}"
