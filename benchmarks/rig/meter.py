"""Whose CPU it was, and when: looks at counters now and then, and tells what was spent between two moments."""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Counters = Callable[[], Mapping[str, float]]
    """Seconds of CPU so far, by name."""
    Look = tuple[float, Mapping[str, float]]
    """Seconds since the epoch, and the counters then."""

EVERY_S = 0.25


class Meter:
    """Looks at counters at most every so often, whenever it is asked to."""

    def __init__(self, counters: Counters, *, every_s: float = EVERY_S) -> None:
        """``counters`` may know more names later on."""
        self._counters = counters
        self._every_s = every_s
        self.looks: list[Look] = []

    def look(self) -> None:
        """Look, unless it was done just now."""
        now = time.time()
        if not self.looks or now - self.looks[-1][0] >= self._every_s:
            self.looks.append((now, dict(self._counters())))

    def spent(self, begin_s: float, end_s: float) -> dict[str, float]:
        """Seconds of CPU between two moments, by name."""
        return spent(self.looks, begin_s, end_s)


def spent(looks: Sequence[Look], begin_s: float, end_s: float) -> dict[str, float]:
    """Return what was spent between two moments, by name; between two looks it was spent evenly.

    Raises:
        ValueError: Nobody looked before the first moment or after the last.
    """
    first, last = at(looks, begin_s), at(looks, end_s)
    return {name: seconds - first.get(name, 0.0) for name, seconds in last.items()}


def at(looks: Sequence[Look], moment_s: float) -> dict[str, float]:
    """Return the counters at a moment. Raises ValueError where it is before the first or after the last look."""
    after = bisect_right(looks, moment_s, key=lambda look: look[0])
    if not looks or after == 0 or (after == len(looks) and moment_s > looks[-1][0]):
        raise ValueError("nobody looked then")
    if after == len(looks):
        return dict(looks[-1][1])
    (before_s, before), (after_s, later) = looks[after - 1], looks[after]
    share = (moment_s - before_s) / (after_s - before_s)
    return {name: before.get(name, 0.0) + share * (value - before.get(name, 0.0)) for name, value in later.items()}
