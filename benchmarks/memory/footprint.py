"""What a process and all below it keep in memory, each page once, from Linux's /proc.

A proportional set size would depend on who else on the machine has the same libraries. So what files back counts once,
as the worker has it; all else counts by shares, which only the worker's own processes have.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from support.footprint import children

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1024


class Footprint(Struct, frozen=True, kw_only=True):
    """Bytes."""

    worker: int
    """The worker's own process: its resident memory."""
    below: tuple[int, ...]
    """What each process below it has for itself: zygote, decoders, the one in reserve."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.worker + sum(self.below)


def footprint(pid: int) -> Footprint:
    """Look at a worker now. Raises FileNotFoundError where it is no more."""
    own = _told(pid)
    below = []
    for child in children(pid):
        try:
            below.append(_not_of_files(_told(child)))
        except (FileNotFoundError, ProcessLookupError):  # a decoder that was retired meanwhile
            continue
    files = own["Rss"] - own["Anonymous"]
    return Footprint(worker=files + _not_of_files(own), below=tuple(below))


def _not_of_files(told: Mapping[str, int]) -> int:
    return told["Pss_Anon"] + told["Pss_Shmem"]


def _told(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * KIB for name, _, value in (line.partition(":") for line in lines)}
