"""What a process and its children keep in memory, as Linux tells it to anybody."""

from __future__ import annotations

from pathlib import Path

MIB = 1024 * 1024


def resident_bytes(pid: int) -> int:
    """Resident memory of one process now: its own, mapped files, shared memory."""
    return _status_bytes(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that was ever resident of one process."""
    return _status_bytes(pid, "VmHWM")


def shared_bytes(pid: int) -> int:
    """How much of the resident memory is shared memory, such as the decoders' slots."""
    return _status_bytes(pid, "RssShmem")


def children(pid: int) -> list[int]:
    """All processes below one, such as the zygote and the decoders."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*found, *(grandchild for child in found for grandchild in children(child))]


def _status_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
