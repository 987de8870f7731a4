"""How many threads fit: what affinity and cgroup leave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from worker.cores import cores

if TYPE_CHECKING:
    from pathlib import Path

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", ALL), ("100000 100000", 1), ("50000 100000", 1), ("99900000 100000", ALL), ("nonsense", ALL)],
)
def test_a_cgroup_limits_the_cores(tmp_path: Path, limit: str, expected: int) -> None:
    """Never more than the limit, never less than one, and what can't be read limits nothing."""
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL), ("100000", 1)])
def test_an_older_cgroup_limits_the_cores_too(tmp_path: Path, quota: str, expected: int) -> None:
    """Version 1 keeps quota and period in two files, -1 for none."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == expected


def test_without_a_cgroup_affinity_decides(tmp_path: Path) -> None:
    """As on a bare machine."""
    assert cores(tmp_path / "nowhere") == ALL
