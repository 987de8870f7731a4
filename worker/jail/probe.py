"""Finds out how well children are locked down here: each way out is tried in a child of its own, locked as they are.

Nothing is believed because a call returned 0. It runs in the zygote, before the first byte from outside is near.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from worker.jail.allowed import LINK_FD
from worker.jail.confine import LANDLOCK, LOCKS, SECCOMP, confine, trial, wanted_locks
from worker.jail.escapes import escapes
from worker.jail.lockdown import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.jail.confine import Locks
    from worker.jail.escapes import Escape
    from worker.jail.lockdown import Lockdown
    from worker.jail.messages import Birth

THROUGH, REFUSED, UNLOCKED = 0, 77, 78
"""Exit statuses of a child that tried: an exec that gets through ends with 0 as well."""
TIMEOUT_S = 20.0
"""For all of them; what is not refused by then counts as through."""


def find_locks(birth: Birth) -> tuple[Locks, Lockdown]:
    """Return what children of this process can lock themselves down with, and the level that they reach so."""
    wanted = wanted_locks()
    failed = _tried(wanted)
    locks = wanted
    for name in failed:
        locks = locks.without(name)
    absent = [name for name in LOCKS if name in failed or (name not in wanted.names and _is_needed(name))]
    ways = escapes()
    through = _through(ways, birth, locks)
    # A filter may have a hole: files must be out of reach without it as well.
    if LANDLOCK in locks.names and _through([way for way in ways if way.name == "open"], birth, locks.without(SECCOMP)):
        absent.append(LANDLOCK)
    return locks, judge({way.name: way.kind for way in through}, absent)


def _is_needed(name: str) -> bool:
    """Whether a lock is missed where it was not even tried: not a user of its own, by who has no root to give up."""
    return name != "own_user" and (sys.platform == "linux" or name in {LANDLOCK, SECCOMP})


def _tried(wanted: Locks) -> frozenset[str]:
    """Return the locks that can't be put on here. Each is tried in a child, together with those before it."""

    def attempt() -> int:
        failed = trial(0, wanted)
        return sum(1 << index for index, name in enumerate(LOCKS) if name in failed)

    [status] = _statuses([attempt])
    if status is None or not os.WIFEXITED(status) or os.WEXITSTATUS(status) >> len(LOCKS):
        return wanted.names  # nothing is sure where a lock kills, or fails otherwise than it may
    return frozenset(name for index, name in enumerate(LOCKS) if os.WEXITSTATUS(status) >> index & 1)


def _through(ways: tuple[Escape, ...] | list[Escape], birth: Birth, locks: Locks) -> list[Escape]:
    """Return those ways out that were not refused."""
    zygote_pid = os.getpid()

    def inside(way: Escape) -> Callable[[], int]:
        def attempt() -> int:
            link, _ = socket.socketpair()
            os.dup2(link.fileno(), LINK_FD)
            try:
                confine(birth, zygote_pid, 0, locks)
            except OSError:
                return UNLOCKED
            try:
                way.attempt()
            except OSError:
                return REFUSED
            return THROUGH

        return attempt

    statuses = _statuses([inside(way) for way in ways])
    return [way for way, status in zip(ways, statuses, strict=True) if not _is_refused(status)]


def _is_refused(status: int | None) -> bool:
    if status is None:
        return False
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGSYS
    return os.WEXITSTATUS(status) == REFUSED


def _statuses(attempts: list[Callable[[], int]]) -> list[int | None]:
    """Run each in a child of its own, all at once; return their wait statuses, None for those that took too long."""
    pids = [_forked(attempt) for attempt in attempts]
    until = time.monotonic() + TIMEOUT_S
    return [_reaped(pid, until) for pid in pids]


def _forked(attempt: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        status = UNLOCKED
        try:
            status = attempt()
        finally:
            os._exit(status)
    return pid


def _reaped(pid: int, until: float) -> int | None:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        select.select([], [], [], 0.001)
