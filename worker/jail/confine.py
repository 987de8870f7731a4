"""Giving up what a decoder does not need: each lock, in the order in which they can be put on.

Each lock alone would do much of the work; together a hole in one is not a way out. Rights that later locks need are
given up after those: files go after the last file is read, root after what only root may do, system calls last.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from worker.jail import kernel
from worker.jail.allowed import LINK_FD, system_call_filter

if TYPE_CHECKING:
    from worker.jail.messages import Birth

OPEN_FILES = 16
FIRST_USER, USERS = 60_578, 606
"""User ids that no distribution gives to anybody (systemd's UIDS-GIDS.md: 60578 to 61183 are unused). Children take
them in turn, so that neighbours differ; they lie below 65536, where containers' ranges end."""

NO_NEW_PRIVILEGES, LANDLOCK, OWN_USER, NO_CAPABILITIES, NOT_DUMPABLE, SECCOMP = LOCKS = (
    "no_new_privileges",
    "landlock",
    "own_user",
    "no_capabilities",
    "not_dumpable",
    "seccomp",
)
"""In the order in which they are put on."""


class Locks(msgspec.Struct, frozen=True, kw_only=True):
    """What children lock themselves down with."""

    names: frozenset[str] = frozenset()
    """Of ``LOCKS``."""
    load_filter: Callable[[], None] | None = None
    """Puts the filter of system calls on, where ``SECCOMP`` is among the names."""

    def without(self, name: str) -> Locks:
        """The same but for one."""
        return msgspec.structs.replace(self, names=self.names - {name})


def wanted_locks() -> Locks:
    """Return the locks that are worth trying here. A user of its own is for those that start as root."""
    if sys.platform != "linux":
        return Locks(names=frozenset({OWN_USER}) if os.geteuid() == 0 else frozenset())
    names = {*LOCKS}
    if os.geteuid() != 0:
        names.remove(OWN_USER)
    try:
        load_filter = system_call_filter()
    except (ImportError, OSError, RuntimeError):
        return Locks(names=frozenset(names - {SECCOMP}))
    return Locks(names=frozenset(names), load_filter=load_filter)


def confine(birth: Birth, zygote_pid: int, number: int, locks: Locks) -> None:
    """Give up what a decoder does not need. Called once, after warm-up, before the first byte from outside.

    The socket must be at ``LINK_FD``; ``number`` is the child's. Raises OSError where a lock can't be put on: then
    nothing may be decoded.
    """
    os.closerange(LINK_FD + 1, os.sysconf("SC_OPEN_MAX"))
    _limit(birth)
    for name, lock in _steps(number):
        if name in locks.names:
            lock()
    _die_with(zygote_pid)  # after the change of user, which would undo it
    if locks.load_filter is not None and SECCOMP in locks.names:
        locks.load_filter()


def trial(number: int, locks: Locks) -> frozenset[str]:
    """Try to put on each lock here, and return the names of those that can't be."""
    failed = set()
    for name, lock in (*_steps(number), (SECCOMP, locks.load_filter)):
        try:
            if lock is not None and name in locks.names:
                lock()
        except OSError:
            failed.add(name)
    return frozenset(failed)


def _steps(number: int) -> tuple[tuple[str, Callable[[], None]], ...]:
    """Name each lock but the last, with what puts it on."""
    return (
        (NO_NEW_PRIVILEGES, kernel.no_new_privileges),
        (LANDLOCK, kernel.landlock),
        (OWN_USER, lambda: _become(FIRST_USER + number % USERS)),
        (NO_CAPABILITIES, kernel.no_capabilities),
        (NOT_DUMPABLE, kernel.not_dumpable),
    )


def _limit(birth: Birth) -> None:
    def limit(what: int, value: int) -> None:
        resource.setrlimit(what, (value, value))

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit(resource.RLIMIT_CPU, birth.cpu_s)
    if birth.target.lock_down:
        limit(resource.RLIMIT_NPROC, 0)  # the kernel asks root for nothing: it holds for the users that we become
    if sys.platform == "linux":
        # Without buffers and text: those cost a fresh child a millisecond of page faults.
        with open("/proc/self/statm", "rb", buffering=0) as sizes:  # noqa: PTH123  # as Path.open does
            pages = int(sizes.read(64).split()[0])
        limit(resource.RLIMIT_AS, pages * resource.getpagesize() + birth.memory_bytes)
        # When the machine runs out of memory, a decoder goes, not the worker.
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as score:  # noqa: PTH123  # the same
            score.write(b"1000")


def _become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)  # as root, real, effective and saved at once
    os.setuid(user)


def _die_with(zygote_pid: int) -> None:
    if sys.platform == "linux":
        kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != zygote_pid:  # it went before the signal was set
        os._exit(0)
