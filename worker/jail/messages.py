"""What the parent and the zygote, and the parent and a child, tell each other over their sockets.

All of it is a few bytes of fixed layout; the bytes of segments and pictures go through the slot (``slot.py``).
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct as Layout

import msgspec

ORDER = Layout("<II")
"""Parent to zygote: an Order and a child's number. A FORK carries two descriptors: the child's socket and its slot."""

NOTICE = Layout("<IIi")
"""Zygote to parent: a Notice, a child's number, a value (process id, wait status, or length of the text after it)."""

SERIAL = Layout("<I")
"""Parent to child: the request with this serial lies in the slot. Child to parent: its reply does."""

READY_SERIAL = 0
"""What a child says once, when it is ready for requests."""

FAILURE_MAX_BYTES = 500
"""Longest text with which a zygote says why it cannot start."""

LOCKDOWN_MAX_BYTES = 4096
"""Longest JSON with which a zygote says how well its children are locked down."""


class Order(IntEnum):
    """What the parent asks of the zygote."""

    FORK = 1
    KILL = 2


class Notice(IntEnum):
    """What the zygote tells the parent. READY has a Lockdown as JSON after it, FAILED a line."""

    READY = 1
    FAILED = 2
    FORKED = 3
    ENDED = 4


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in the children: ``function(data: memoryview, init: bytes | None, ask: Ask) -> Sample``."""

    function: str = "worker.examine:examine"
    """Module and name, with a colon between."""
    path: tuple[str, ...] = ()
    """Folders that go before the parent's own import path."""
    warm_up: bool = True
    """Whether the zygote decodes a tiny segment before it forks, so that children inherit what imports lazily."""
    whole: tuple[str, ...] = ("av",)
    """Packages of which the warm-up imports every module: they import some only when media ask for them, and then a
    locked child can't."""
    lock_down: bool = True
    """Whether children lock themselves down. No setting leads here: only tests turn it off, to show that it matters."""


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """All that a zygote is told at its start. It is on its command line, so nothing in it is secret."""

    target: Target
    slot_bytes: int
    memory_bytes: int
    """Address space that a child may take beyond what it is born with and its slot."""
    cpu_s: int
    """Seconds of CPU that a child may take in its whole life."""
