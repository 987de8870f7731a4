"""How far behind live each partition is. Pure."""

from __future__ import annotations

from collections import deque
from statistics import median_high
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

RECORDS = 9
"""The age of what was consumed last is the median of so many: half of them must lie to bend it."""


class Behind:
    """What is known of each partition's place in time. All times are seconds since 1970."""

    def __init__(self) -> None:
        """Nothing is known of any."""
        self._given_s: dict[int, float] = {}
        self._live_s: dict[int, float] = {}
        self._appended_s: dict[int, deque[float]] = {}

    def given(self, partitions: Collection[int], at_s: float) -> None:
        """Note which partitions this process has from now on; what is known of those that it keeps stays."""
        self._given_s = {number: self._given_s.get(number, at_s) for number in partitions}
        self._live_s = {number: since_s for number, since_s in self._live_s.items() if number in self._given_s}
        self._appended_s = {number: self._appended_s.get(number, deque(maxlen=RECORDS)) for number in partitions}

    def consumed(self, partition: int, timestamp_ms: int, at_s: float) -> None:
        """Note a consumed record's timestamp, milliseconds since 1970; none where it is negative."""
        if timestamp_ms >= 0 and (appended_s := self._appended_s.get(partition)) is not None:
            appended_s.append(min(timestamp_ms / 1000, at_s))

    def live(self, partition: int, at_s: float) -> None:
        """Note that a partition has consumed all there is, and is not stopped."""
        if partition in self._given_s:
            self._live_s[partition] = at_s

    def seconds(self, partition: int, at_s: float) -> float:
        """Return how far a partition is behind live: the time since the newest moment that is known to be watched.

        That is the append of what it consumed last, or when it was live last, whichever is later; before both it is
        when it was given to this process.
        """
        known = [self._live_s[partition]] if partition in self._live_s else []
        if appended_s := self._appended_s.get(partition):
            known.append(median_high(appended_s))
        newest_s = max(known, default=self._given_s.get(partition, at_s))
        return max(0.0, at_s - newest_s)
