"""How much memory a run may use, what it takes, and how many workers fit into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from audiocur.errors import ConfigError

# What follows is in bytes, measured with music_gen on Linux x86-64, at 44.1 to 384 kHz and in 1 to 8 channels, over
# several blocks in a row. Arrow's own allocator would keep half a gigabyte more (see `OF_A_PROCESS`).

#: A worker between two blocks, 386 MB: Python, Ray, numpy, Arrow, libav and the voice model.
_WORKER_BASE = 400_000_000
#: What a block of 20 minutes of CD audio stores as FLAC, 148 MB, held until it is committed.
_BLOCK = 150_000_000
#: Of a span's own size: its samples, the mono and 16 kHz views that `vad` hears, the views of one clip of 30 s and
#: gaps between them: 1.5 in stereo at 44.1 and 192 kHz, 1.8 at 384 kHz, where a clip is a good part of the span.
_SPAN_FACTOR = 2.0
#: The same where the whole span is one clip: 5.3 in stereo, 6.0 in mono, mostly its spectrogram and its power.
_WHOLE_FACTOR = 6.5
#: Of a block: a commit holds it as a table, as pages and as a file beside the clips; no span is in memory then.
_COMMIT_FACTOR = 2.4

#: The driver 230 MB, Ray's servers 65; beside pools or services an agent, 50, and two workers that wait, 230. Shared
#: pages are counted once.
_RUN_BASE = 600_000_000
#: In the driver, for each recording, 2,700: itself, its span, what is known of it and its place in a block.
_PER_SOURCE = 3_000

#: Ray ends workers at 95 % of the memory; the system and others on the machine want some too.
_USABLE_RATIO = 0.9


def available_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory this process may use: that of the machine or of its container, whichever is less.

    Args:
        proc: where the kernel tells of the machine and of the control groups of this process.
        cgroups: where control groups of either version are mounted. Those of the process, and all above them, bound it;
            a container sees its own as the root, whatever name the process has for it.
    """
    return min([_machine_bytes(proc / "meminfo"), *_limits(proc / "self/cgroup", cgroups)])


def _machine_bytes(meminfo: Path) -> int:
    if not meminfo.exists():  # macOS
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    facts = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(facts["MemTotal"].split()[0]) * 1024


def _limits(membership: Path, cgroups: Path) -> Iterator[int]:
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, file = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        own = PurePosixPath(name.strip("/"))
        for group in (own, *own.parents):
            path = root / group / file
            if ".." not in own.parts and path.exists() and (limit := path.read_text().strip()) != "max":
                yield int(limit)


def worker_bytes(span_mb: int, *, whole: bool = False) -> int:
    """What one worker needs at most, in bytes.

    Args:
        span_mb: of the longest span, as `decode` bounds it.
        whole: a clip may be as long as its span.

    >>> round(worker_bytes(256) / 1e6)
    1062
    """
    span = span_mb * 1_000_000 * (_WHOLE_FACTOR if whole else _SPAN_FACTOR)
    return _WORKER_BASE + _BLOCK + round(max(span, _BLOCK * _COMMIT_FACTOR))


def run_bytes(sources: int, object_store_mb: int) -> int:
    """What a run on an instance of its own needs besides its workers, in bytes.

    >>> round(run_bytes(sources=100_000, object_store_mb=512) / 1e6)
    1437
    """
    return _RUN_BASE + sources * _PER_SOURCE + (object_store_mb << 20)


def workers_that_fit(
    wanted: int, *, available: int, span_mb: int, sources: int, object_store_mb: int, whole: bool = False
) -> int:
    """How many workers at once, `wanted` at most, there is memory for.

    Args:
        wanted: as many as there are cores.
        available: bytes, see `available_bytes`.
        span_mb: of the longest span.
        sources: recordings to work on.
        object_store_mb: Ray's shared memory.
        whole: a clip may be as long as its span.

    Raises:
        ConfigError: not even one fits.

    >>> workers_that_fit(8, available=8 << 30, span_mb=256, sources=1000, object_store_mb=512)
    6
    """
    room = round(available * _USABLE_RATIO) - run_bytes(sources, object_store_mb)
    fitting = min(wanted, room // worker_bytes(span_mb, whole=whole))
    if fitting < 1:
        needed = (run_bytes(sources, object_store_mb) + worker_bytes(span_mb, whole=whole)) / _USABLE_RATIO
        raise ConfigError(
            f"decode.span_mb={span_mb}: a run with spans of that size takes {needed / 1e9:.1f} GB of memory, there are "
            f"{available / 1e9:.1f} GB; {_remedy(room, whole=whole)}"
        )
    return fitting


def _remedy(room: int, *, whole: bool) -> str:
    left = room - _WORKER_BASE - _BLOCK
    if left < _BLOCK * _COMMIT_FACTOR:
        return "expected more memory, or engine=local, which needs none for Ray"
    return f"expected {int(left / (_WHOLE_FACTOR if whole else _SPAN_FACTOR) / 1e6)} or less"
