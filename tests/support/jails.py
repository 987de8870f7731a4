"""Jails whose children do what their segment's first word says."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from worker.jail.messages import Target
from worker.jail.pool import Jail
from worker.records import Ask, Media, View
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from worker.jail.events import JailEvent

MIB = 1024 * 1024
MAX_BYTES = 16 * MIB
TARGET = Target(
    function="support.jail_targets:obey", path=(str(Path(__file__).parents[1]),), warm_up=False, lock_down=False
)


@asynccontextmanager
async def a_jail(
    on_event: Callable[[JailEvent], None] = lambda _: None,
    *,
    processes: int = 1,
    deadline_s: float = 20.0,
    target: Target = TARGET,
) -> AsyncIterator[Jail]:
    """Open a jail for a block."""
    settings = tree.Jail(processes=processes, deadline_s=deadline_s, memory_bytes=512 * MIB)
    jail = await Jail.start(settings, max_bytes=MAX_BYTES, on_event=on_event, target=target)
    try:
        yield jail
    finally:
        await jail.close()


def media(words: str, size: int = 0, init: bytes | None = None) -> Media:
    """Make a segment that starts with ``words`` and has at least ``size`` bytes, none of them zero."""
    data = words.encode() + b" "
    return Media(data=data + b"\x5a" * (size - len(data)), init=init, sha256="0" * 64)


def asking(keyframes: int = 1, side: int | None = None) -> Ask:
    """Ask for so many keyframes, with square pictures of that side or none."""
    return Ask(
        content_type="video/mp2t",
        interval_s=2.0,
        max_keyframes=keyframes,
        view=View(height=side, width=side, fit="stretch") if side else None,
        max_pixels=1280 * 720,
        max_streams=8,
    )


def children_of(pid: int) -> list[int]:
    """Return the process ids of a single-threaded process's children."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
