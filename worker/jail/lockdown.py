"""How well the decoders are locked down: the level, what is missing, and what an operator can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

Level = Literal["full", "partial", "none"]
LEVELS: tuple[Level, ...] = ("none", "partial", "full")
"""From the least to the best."""

Kind = Literal["network", "files", "exec", "processes", "others", "memory", "kernel", "user"]
"""What an escape is after, in the order of importance."""

DECISIVE: frozenset[Kind] = frozenset({"network", "files", "exec"})
"""With a way to one of these there is no lock-down worth the name."""


class Lockdown(msgspec.Struct, frozen=True, kw_only=True):
    """The level that decoders reach on this machine, found by trying to escape."""

    level: Level
    missing: tuple[str, ...] = ()
    """Escapes that got through and locks that there are not, by name."""

    def reaches(self, wanted: Level) -> bool:
        """Whether this is the wanted level or a better one."""
        return LEVELS.index(self.level) >= LEVELS.index(wanted)

    def remedy(self) -> str:
        """What an operator can do about what is missing."""
        allow = (
            "install libseccomp2, and let kernel and container runtime allow seccomp filters and Landlock (Linux 5.13)"
        )
        as_other = "start it as a user other than root, or leave it CAP_SETUID and CAP_SETGID"
        return as_other if self.missing == ("own_user",) else allow

    def __str__(self) -> str:
        """The level, and what is missing."""
        return f"{self.level} (missing: {', '.join(self.missing)})" if self.missing else self.level


UNLOCKED = Lockdown(level="none", missing=("the lock-down was turned off",))
"""What a test's children have that were told not to lock themselves down."""


def judge(through: dict[str, Kind], absent: Collection[str]) -> Lockdown:
    """Return the level.

    Args:
        through: Escapes that got through, and what each is after.
        absent: Locks that can't be put on, or don't hold alone.
    """
    level: Level = "full"
    if through or absent:
        level = "none" if DECISIVE & {*through.values()} else "partial"
    return Lockdown(level=level, missing=(*absent, *through))


def too_open(found: Lockdown, wanted: Level) -> str:
    """Return one line for an operator whose machine does not reach the wanted level."""
    accept = f"accept the risk with jail.require = {found.level}"
    return f"the decoders' lock-down is {found}; jail.require asks for {wanted}: {found.remedy()}, or {accept}"
