"""Which core runs what: what is measured has cores of its own, and what is around it the others."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.part import NotHere

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def on(cores: Cores | None) -> Iterator[None]:
    """Be on some cores for a while; what starts meanwhile stays there, and counts them as all that it has."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def held(pid: int, cores: Cores) -> Iterator[None]:
    """Keep a process that runs already on some cores for a while."""
    before = frozenset(os.sched_getaffinity(pid))
    pin(pid, cores)
    try:
        yield
    finally:
        pin(pid, before)


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
