from __future__ import annotations

import os

import pytest

from audiocur.engine.cores import cores


@pytest.mark.parametrize(("quota", "expected"), [("max 100000\n", None), ("150000 100000\n", 2), ("50000 100000\n", 1)])
def test_a_containers_quota_bounds_the_cores(tmp_path, quota, expected):
    path = tmp_path / "cpu.max"
    path.write_text(quota)
    machine = len(os.sched_getaffinity(0))
    assert cores(path) == min(machine, expected or machine)


def test_without_a_quota_it_is_the_machine(tmp_path):
    assert cores(tmp_path / "none") == len(os.sched_getaffinity(0))
