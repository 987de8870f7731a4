"""Which core runs what: what is measured has cores of its own, and what is around it the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from benchmarks.part import NotHere

Cores = frozenset[int]


class Split(NamedTuple):
    """Two sides that take nothing from each other but caches and memory."""

    measured: Cores
    around: Cores


def split(measured: int = 1) -> Split:
    """Return the first so many cores of this process, and all others.

    Raises:
        NotHere: There are not as many, or nothing can be pinned here.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise NotHere("processes can't be pinned to cores on this system")
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) <= measured:
        raise NotHere(f"needs {measured + 1} cores or more: broker and generator have their own; there are {len(ours)}")
    return Split(frozenset(ours[:measured]), frozenset(ours[measured:]))


def pin(pid: int, cores: Cores) -> None:
    """Keep all threads of a process on some cores; those that they start stay there too, children as well."""
    done: set[int] = set()
    while more := {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()} - done:
        for thread in more:
            try:
                os.sched_setaffinity(thread, cores)
            except ProcessLookupError:  # it has ended
                continue
        done |= more
