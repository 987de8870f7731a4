"""How many cores this process may use: what its affinity and its cgroup leave it."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = CGROUP) -> int:
    """How many threads can compute at once: at least 1.

    The cgroup's CPU limit counts because onnxruntime ignores it (microsoft/onnxruntime#29510); a share of a core is
    rounded down, since a thread more would only be throttled.

    Args:
        cgroup: Where the process's cgroup is mounted, version 2 (``cpu.max``) or 1 (``cpu/cpu.cfs_quota_us``).
    """
    # macOS has no affinity.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_v2(cgroup / "cpu.max") or _quota_v1(cgroup / "cpu")
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def _quota_v2(file: Path) -> float | None:
    match _words(file):
        case [quota, period] if quota.isdigit() and period.isdigit() and int(period):
            return int(quota) / int(period)
    return None


def _quota_v1(folder: Path) -> float | None:
    match [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]:
        case [quota, period] if quota.isdigit() and period.isdigit() and int(period):
            return int(quota) / int(period)
    return None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:
        return []
