from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from audiocur.engine.memory import available_bytes, run_bytes, worker_bytes, workers_that_fit
from audiocur.errors import ConfigError

GB = 10**9
MACHINE = 8_000_000 * 1024
CD = {"span_mb": 212, "sources": 100, "object_store_mb": 100}


@pytest.fixture
def system(tmp_path):
    """A machine of 8 GB, and a function that puts this process into control groups with limits."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    cgroups.mkdir()
    (proc / "meminfo").write_text("MemTotal:        8000000 kB\nMemFree:          100000 kB\n")

    def member(groups: str, limits: dict[str, str]) -> int:
        (proc / "self/cgroup").write_text(groups)
        for name, limit in limits.items():
            (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
            (cgroups / name).write_text(f"{limit}\n")
        return available_bytes(proc, cgroups)

    return member


V1 = "4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"
V1_NONE = "9223372036854771712"


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {}, MACHINE),
        ("0::/\n", {"memory.max": "max"}, MACHINE),
        ("0::/\n", {"memory.max": "2000000000"}, 2 * GB),
        ("0::/\n", {"memory.max": "20000000000"}, MACHINE),
        # A service of its own, and a slice around it: both bound it, and no other group does.
        ("0::/a.slice/b.service\n", {"a.slice/b.service/memory.max": "3000000000"}, 3 * GB),
        ("0::/a.slice/b.service\n", {"a.slice/memory.max": "1", "a.slice/b.service/memory.max": "max"}, 1),
        ("0::/a.slice\n", {"a.slice/b.service/memory.max": "3000000000", "c/memory.max": "1"}, MACHINE),
        # Outside the part of the tree that a container sees.
        ("0::/../b.service\n", {"b.service/memory.max": "1"}, MACHINE),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": "5000000000"}, 5 * GB),
        (V1, {"memory/docker/memory.limit_in_bytes": "1", "memory/docker/abc/memory.limit_in_bytes": V1_NONE}, 1),
        # A container has its own group mounted as the root, and knows it by the name that the host has for it.
        (V1, {"memory/memory.limit_in_bytes": "4000000000"}, 4 * GB),
        (V1, {"memory/memory.limit_in_bytes": V1_NONE}, MACHINE),
    ],
)
def test_memory_is_that_of_the_machine_or_of_the_tightest_group(system, groups, limits, expected):
    assert system(groups, limits) == expected


def test_without_the_kernels_files_it_is_the_machines(tmp_path):
    assert available_bytes(tmp_path, tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="no /proc here")
def test_here_it_is_no_more_than_the_machines():
    assert 0 < available_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_worker_needs_more_for_longer_spans_and_clips():
    assert worker_bytes(512) - worker_bytes(256) >= 256_000_000
    assert worker_bytes(256, whole=True) - worker_bytes(256) >= 4 * 256_000_000
    # However short the spans: the block is committed, and that takes memory too.
    assert worker_bytes(1) == worker_bytes(2) > 400_000_000


def test_as_many_workers_as_there_is_room_for():
    for fitting in (1, 2, 7):
        available = round((run_bytes(100, 100) + fitting * worker_bytes(212)) / 0.9) + 1
        assert workers_that_fit(16, available=available, **CD) == fitting
        assert workers_that_fit(16, available=available + worker_bytes(212) // 2, **CD) == fitting
    assert workers_that_fit(4, available=10**12, **CD) == 4


def test_recordings_and_the_object_store_take_room_from_the_workers():
    available = round((run_bytes(0, 100) + 2 * worker_bytes(212)) / 0.9) + 1
    assert workers_that_fit(8, available=available, span_mb=212, sources=0, object_store_mb=100) == 2
    assert workers_that_fit(8, available=available, span_mb=212, sources=100_000, object_store_mb=100) == 1
    assert workers_that_fit(8, available=available, span_mb=212, sources=0, object_store_mb=200) == 1


def test_where_no_worker_fits_the_error_names_a_span_that_does():
    with pytest.raises(ConfigError, match=r"^decode\.span_mb=2000: .* expected \d+ or less$") as refused:
        workers_that_fit(2, available=4 * GB, span_mb=2000, sources=100, object_store_mb=100)
    fits = int(re.search(r"expected (\d+)", str(refused.value))[1])
    assert workers_that_fit(2, available=4 * GB, span_mb=fits, sources=100, object_store_mb=100) == 1
    with pytest.raises(ConfigError):
        workers_that_fit(2, available=4 * GB, span_mb=fits + 2, sources=100, object_store_mb=100)


def test_where_no_span_is_short_enough_the_error_says_so():
    with pytest.raises(ConfigError, match=r"takes 1\.\d GB of memory, there are 1\.0 GB; expected more memory"):
        workers_that_fit(1, available=GB, **CD)
