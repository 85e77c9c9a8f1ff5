"""How many cores a run may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores this process may use: those of the machine, its CPU affinity or its container's quota, the least of them.

    Args:
        quota: the control group's file, "max 100000" or microseconds of CPU a period.
    """
    # macOS has no affinity to ask for.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if quota.exists():
        granted, period = quota.read_text().split()
        if granted != "max":
            allowed = min(allowed, math.ceil(int(granted) / int(period)))
    return max(1, allowed)
