"""How long streams went without an outcome, from the times that stand on the assessments."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.faults.oracle import Told


def longest_stall_s(told: Told, *, since_ms: int = 0) -> float:
    """The longest time in which a partition that had work gave no outcome, of segments from ``since_ms`` on.

    Only as good as the load is steady: a partition to which nothing was sent gives none either.
    """
    return max((after - before for before, after in _gaps_ms(told, since_ms)), default=0) / 1000


def slowest_s(told: Told, *, since_ms: int = 0) -> float:
    """The longest time from a segment's record to its outcome's, of segments from ``since_ms`` on."""
    appended = ((outcome.at_ms, outcome.appended_ms or 0) for outcome in told.outcomes.values())
    return max((at_ms - since for at_ms, since in appended if since and since >= since_ms), default=0) / 1000


class Events:
    """When what was done to a fleet."""

    def __init__(self) -> None:
        self._at: list[tuple[int, str]] = []

    def note(self, kind: str) -> None:
        """It is done now."""
        self._at.append((round(time.time() * 1000), kind))

    def stalls_s(self, told: Told) -> dict[str, list[float]]:
        """By kind: the longest stall of each event, of those that it or the time up to the next event is part of."""
        gaps = list(_gaps_ms(told))
        found: defaultdict[str, list[float]] = defaultdict(list)
        for (at, kind), (until, _) in pairwise([*self._at, (round(time.time() * 1000), "")]):
            found[kind].append(max((b - a for a, b in gaps if b > at and a < until), default=0) / 1000)
        return dict(found)


def _gaps_ms(told: Told, since_ms: int = 0) -> Iterator[tuple[int, int]]:
    """From each outcome of a partition to its next one, in milliseconds since 1970."""
    times: defaultdict[int, list[int]] = defaultdict(list)
    for (partition, _), outcome in told.outcomes.items():
        if (outcome.appended_ms or 0) >= since_ms:
            times[partition].append(outcome.at_ms)
    for of_one in times.values():
        yield from pairwise(sorted(of_one))
