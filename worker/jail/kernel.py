"""The kernel's calls that Python has no name for: prctl, capset and Landlock's three."""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

# Numbers of Linux 5.13 and later, the same on every architecture that Python wheels exist for.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1

_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""From which version of Landlock on how many rights of files there are, each a bit (linux/landlock.h)."""
_NET_FROM, _NET_RIGHTS = 4, 0b11
"""TCP bind and connect."""
_SCOPES_FROM, _SCOPES = 6, 0b11
"""Abstract Unix sockets and signals of processes outside."""

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send us a signal when our parent ends. A change of user id undoes it."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0))


def no_new_privileges() -> None:
    """Let no exec give us more than we have; the filters below need it where we are not root."""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def not_dumpable() -> None:
    """Leave no core, and let nobody of our user id read our memory. A change of user id may undo it."""
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def no_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets, and with them the ambient one (capabilities(7))."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def landlock_version() -> int:
    """Return which version of Landlock the kernel has. Raises OSError where it has none, or it is off."""
    return _called(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)


def landlock() -> None:
    """Refuse ourselves all that this kernel's Landlock knows: every file, TCP, sockets and signals to others.

    A rule set that handles a right and allows it nowhere. Open descriptors stay as they are. Raises OSError.
    """
    version = landlock_version()
    rights = max(count for since, count in _FILE_RIGHTS.items() if since <= version)
    handled = [(1 << rights) - 1]
    if version >= _NET_FROM:
        handled.append(_NET_RIGHTS)
    if version >= _SCOPES_FROM:
        handled.append(_SCOPES)
    attributes = (ctypes.c_uint64 * len(handled))(*handled)
    rules = _called(_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    try:
        _called(_LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _called(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *wide))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
