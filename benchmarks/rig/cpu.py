"""Seconds of CPU of processes and of all below them, from Linux's /proc (proc(5): utime, stime, cutime, cstime)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

TICKS = os.sysconf("SC_CLK_TCK")
IDLE, IO_WAIT = 3, 4
"""Places in /proc/stat's line of a core."""


class WorkerCpu(Struct, frozen=True, kw_only=True):
    """Seconds of CPU of one worker since it began."""

    loop: float
    """Its main thread: the event loop, so aiokafka, the records, risk and releases."""
    threads: float
    """Its other threads, those that have ended too: the model's, copies, digests."""
    zygote: float
    """The process that decoders are forked from, and what loading the model took in a process of its own."""
    decoders: float
    """The jail's children, those that were retired too."""

    @property
    def parent(self) -> float:
        """The worker's own process."""
        return self.loop + self.threads

    @property
    def total(self) -> float:
        """All of it."""
        return self.parent + self.zygote + self.decoders

    def named(self, prefix: str = "") -> dict[str, float]:
        """Seconds by name, as a ``Meter`` takes them."""
        return {
            f"{prefix}loop": self.loop,
            f"{prefix}threads": self.threads,
            f"{prefix}zygote": self.zygote,
            f"{prefix}decoders": self.decoders,
        }


def busy_s(cores: Iterable[int]) -> float:
    """Seconds that some cores were not idle since the machine started, whoever had them; a hypervisor's share too."""
    lines = Path("/proc/stat").read_text().splitlines()
    named = {f"cpu{core}" for core in cores}
    ticks = [list(map(int, line.split()[1:9])) for line in lines if line.split()[0] in named]
    return sum(sum(each) - each[IDLE] - each[IO_WAIT] for each in ticks) / TICKS


class Tree(NamedTuple):
    """Ticks of a process and of those below it."""

    own: int
    reaped: int
    """Its children's, those that have ended and were waited for, with theirs."""
    children: tuple[Tree, ...]
    """Those that live."""

    @property
    def below(self) -> int:
        """Of all its children, living or not."""
        return self.reaped + sum(child.own + child.below for child in self.children)


NOBODY = Tree(0, 0, ())


def tree_s(pid: int) -> float:
    """Seconds of CPU of a process, its threads, and of all below it, living or reaped; 0 where there is none."""
    tree = _tree(pid)
    return (tree.own + tree.below) / TICKS


def worker_s(pid: int) -> WorkerCpu:
    """Seconds of CPU of a worker (``framewatch run``) by who took them; all 0 where there is none.

    A decoder is retired after 64 segments: then its time is in its zygote's, as that of a reaped child.
    """
    tree = _tree(pid)
    main = _ticks(Path(f"/proc/{pid}/task/{pid}/stat"))
    loop = 0 if main is None else main[0]
    return WorkerCpu(
        loop=loop / TICKS,
        threads=max(0, tree.own - loop) / TICKS,
        zygote=(tree.reaped + sum(zygote.own for zygote in tree.children)) / TICKS,
        decoders=sum(zygote.below for zygote in tree.children) / TICKS,
    )


def _tree(pid: int) -> Tree:
    """Look until no child ended meanwhile: it would be counted twice, or not at all."""
    stat, reaped = Path(f"/proc/{pid}/stat"), None
    children: tuple[Tree, ...] = ()
    while (ticks := _ticks(stat)) is not None:
        if ticks[1] == reaped:
            return Tree(*ticks, children)
        reaped, children = ticks[1], tuple(map(_tree, _children(pid)))
    return NOBODY


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []
    return [int(child) for task in tasks for child in _text(task / "children").split()]


def _ticks(stat: Path) -> tuple[int, int] | None:
    """Its own and its reaped children's; None where it is no more."""
    fields = _text(stat).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])) if fields else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
