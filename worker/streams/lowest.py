"""Finds the stream of the lowest risk among many snapshots: who goes where there are too many."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from worker.streams.state import head

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from worker.streams.state import Head

SCANNED = 8
"""At least so many of the lowest a scan finds."""


class Lowest:
    """A scan now and then, and a heap of its lowest and of what changed since.

    What a scan left out and what has not changed since is riskier than ``_bound``, or as risky and heard later: the
    lowest of the heap is the lowest of all as long as it is not above that.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, bytes]] = []
        self._latest: dict[bytes, int] = {}
        """Order of the newest entry of what has changed since the scan: those before it no longer hold."""
        self._bound = (0.0, 0)
        self._most = 0
        self._order = 0

    def note(self, risk: float, key: bytes) -> None:
        """Note a stream's risk where it has changed."""
        if not self._heap:
            return
        if len(self._heap) >= self._most:
            self._heap.clear()
            self._latest.clear()
            return
        self._order += 1
        self._latest[key] = self._order
        heapq.heappush(self._heap, (risk, self._order, key))

    def pop(self, packed: Mapping[bytes, bytes], busy: Collection[str]) -> bytes | None:
        """Return the stream to evict; None where none may be.

        ``packed`` are the snapshots by key, the stream that was heard longest ago first; ``busy`` are left alone.
        """
        scanned = False
        while True:
            while self._heap:
                risk, order, key = heapq.heappop(self._heap)
                if (risk, order) > self._bound and not scanned:
                    break
                if (
                    self._latest.get(key, order) == order
                    and key in packed
                    and _may_go(head(packed[key]), risk)
                    and key.decode() not in busy
                ):
                    return key
            if scanned:
                return None
            self._scan(packed, busy)
            scanned = True

    def _scan(self, packed: Mapping[bytes, bytes], busy: Collection[str]) -> None:
        found = ((head(data), key) for key, data in packed.items() if key.decode() not in busy)
        candidates = ((one.risk, order, key) for order, (one, key) in enumerate(found) if not one.open)
        self._heap = heapq.nsmallest(max(SCANNED, len(packed) // 10), candidates)
        self._bound = self._heap[-1][:2] if self._heap else (0.0, 0)
        self._latest.clear()
        self._most = 4 * len(self._heap) + 64
        self._order = len(packed)


def _may_go(found: Head, risk: float) -> bool:
    """Return whether a stream has no incident, and its risk is still what it was noted with."""
    return not found.open and found.risk == risk
