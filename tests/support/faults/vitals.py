"""What a process takes of the machine, from /proc, and whether that grows."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

KIB = 1024
NORMAL_95 = 1.96
"""Standard deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """A process and its children at one moment."""

    at_s: float
    rss_bytes: int
    """The process's own."""
    children_rss_bytes: int
    """Of all its descendants together: the decoders."""
    fds: int
    threads: int
    processes: int
    """Its descendants."""


def vitals(pid: int, at_s: float) -> Vitals:
    """Measure a process that runs."""
    own = _status(pid)
    children = [_status(child) for child in descendants(pid)]
    return Vitals(
        at_s=at_s,
        rss_bytes=own["VmRSS"] * KIB,
        children_rss_bytes=sum(child.get("VmRSS", 0) for child in children) * KIB,
        fds=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=own["Threads"],
        processes=len(children),
    )


def descendants(pid: int) -> list[int]:
    """The process ids of all that a process has started, and of what those have."""
    found: list[int] = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return found
    for child in children:
        found += [child, *descendants(child)]
    return found


class Born(NamedTuple):
    """A process, told apart from a later one that has got its id: a busy machine gives ids anew within minutes."""

    pid: int
    at_ticks: int
    """Since the machine's start."""


def born(pid: int) -> Born | None:
    """Which process has an id now; None where none has, or where it is a zombie that waits to be reaped.

    The fields are those of proc_pid_stat(5) after the name: the state is the first, the start the twentieth.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else Born(pid, int(fields[19]))


def is_alive(process: Born) -> bool:
    """Whether it is there still."""
    return born(process.pid) == process


def _status(pid: int) -> dict[str, int]:
    """The numbers of /proc/PID/status; none where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split(":", 1) for line in lines)
    return {name: int(value.split()[0]) for name, value in fields if value.split()[:1] and value.split()[0].isdigit()}


@dataclass(frozen=True, slots=True)
class Slope:
    """A trend and the interval that holds it with 95 % confidence."""

    least: float
    middle: float
    most: float

    @property
    def is_none(self) -> bool:
        """Whether there may be no trend at all."""
        return self.least <= 0 <= self.most


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Theil's and Sen's: the median of the slopes between all pairs, which outliers do not move.

    The interval is Sen's, from the variance of Kendall's S without ties (Gilbert 1987, 16.4.2). It takes the points for
    independent; those of one process are not quite, so that it is rather too narrow than too wide.
    """
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
    n, pairs = len(points), len(slopes)
    spread = NORMAL_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    least = max(0, math.floor((pairs - spread) / 2))
    most = min(pairs - 1, math.ceil((pairs + spread) / 2))
    return Slope(slopes[least], statistics.median(slopes), slopes[most])


def by_minute(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The median of each minute at its middle: what one release or one collection of garbage takes does not count."""
    minutes = groupby(points, key=lambda point: point[0] // 60)
    return [(60 * minute + 30, statistics.median(y for _, y in of_it)) for minute, of_it in minutes]
