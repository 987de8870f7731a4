"""A partition's own clock, by which its streams are idle. Pure.

It moves with the newest record's timestamp, which a publisher may set to anything, so it is bounded three times: no
record is newer than the wall clock; the clock moves no further than this owner's own time went on, and ``CREDIT_MS``;
and it never goes back. So no number of lies makes a stream idle early, and a time in which nothing came, or nobody
consumed, makes none idle at all. What is lost on the way only lets streams be remembered for longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

CREDIT_MS = 60_000.0
"""Records come in batches: so much of our own time that no record has used yet is kept for the next ones."""


class PartitionClock:
    """Milliseconds that this partition has been heard for, over all its owners."""

    def __init__(self, now_ms: float = 0.0) -> None:
        """Go on from ``now_ms``, where the last owner's clock stood."""
        self.now_ms = now_ms
        self._newest_ms: float | None = None
        self._at: datetime | None = None
        self._credit_ms = 0.0

    def hear(self, timestamp_ms: int, now: datetime) -> None:
        """Note a record's timestamp, milliseconds since 1970; ``now`` is the wall clock, UTC."""
        if self._at is not None:
            ours_ms = max(0.0, (now - self._at).total_seconds() * 1000)
            self._credit_ms = min(CREDIT_MS, self._credit_ms + ours_ms)
        self._at = now
        told_ms = min(float(timestamp_ms), now.timestamp() * 1000)
        if self._newest_ms is None:
            self._newest_ms = told_ms
            return
        moved_ms = min(max(0.0, told_ms - self._newest_ms), self._credit_ms)
        self._newest_ms = max(self._newest_ms, told_ms)
        self._credit_ms -= moved_ms
        self.now_ms += moved_ms
