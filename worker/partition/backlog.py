"""How old the events are whose turn comes, and whether their partition stands behind. Pure.

An event's age is how long the broker had it before it was consumed, and how long it has waited here since. The first is
told by the record's timestamp, which a publisher may set to anything where the topic has CreateTime. So it counts for
no more than the median of the partition's last nine: half of them must lie to make a stream old that is not, and have
it shed. A timestamp of the future makes nobody younger than the time that it has waited here.

A partition *stands behind* when for longer than ``overload.lateness_s`` most of its segments were not near live and had
to wait for a decoder: a queue that does not go away by itself only makes everything late (K. Nichols, V. Jacobson,
Controlling queue delay, CACM 55, 2012; B. Maurer, Fail at scale, ACM Queue 13, 2015). A burst or a restart stays below
that, and clocks that disagree make nobody wait for a decoder. A few that are young or find a decoder free say nothing:
much is shed at once, and then the partitions' turns are not in order of age.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from statistics import median_low
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.records import Received

if TYPE_CHECKING:
    from worker.settings.tree import Overload

RECORDS = 9
"""So many records say how far behind a partition is."""
TURNS = 32
"""Over about so many turns it is seen whether most are kept waiting."""
NEAR_LIVE_S = 1.0
"""Whatever is no older when its turn comes was not kept waiting: fetching, batching and clocks take as much."""


class Arrived(Struct, frozen=True):
    """A consumed record."""

    received: Received
    at: datetime
    """When it was consumed, UTC."""
    behind_s: float = 0.0
    """How far behind live its partition was then, as far as that can be believed."""


class Backlog:
    """What of one partition has to wait. Every ``now`` is the wall clock, UTC."""

    def __init__(self, limits: Overload) -> None:
        """Nothing has come yet."""
        self._limits = limits
        self._behind_s: deque[float] = deque(maxlen=RECORDS)
        self._kept_waiting = 0.0
        self._near_live_at: datetime | None = None
        self._turn_at: datetime | None = None

    def arrived(self, received: Received, now: datetime) -> Arrived:
        """Take in a record that has been consumed."""
        self._near_live_at = self._near_live_at or now
        self._turn_at = self._turn_at or now
        timestamp_ms = received.position.timestamp_ms
        own_s = max(0.0, now.timestamp() - timestamp_ms / 1000) if timestamp_ms >= 0 else 0.0
        self._behind_s.append(own_s)
        return Arrived(received, now, min(own_s, median_low(self._behind_s)))

    def age_s(self, arrived: Arrived, now: datetime) -> float:
        """Return how old an event is; never negative."""
        return arrived.behind_s + max(0.0, (now - arrived.at).total_seconds())

    def turn(self, age_s: float, now: datetime, *, waited: bool | None) -> None:
        """Note that an event of this age had its turn.

        It is decoded now, for which it ``waited`` or not, or was shed before anybody knew: None.
        """
        if waited is not None:
            kept_waiting = waited and age_s > NEAR_LIVE_S
            self._kept_waiting += (kept_waiting - self._kept_waiting) / TURNS
        if self._kept_waiting < 1 / 2 or self._longer(self._turn_at, now):
            self._near_live_at = now
        self._turn_at = now

    def stands(self, now: datetime) -> bool:
        """Return whether the partition stands behind.

        Where nothing had its turn for as long as that takes nobody knows, and the time begins anew.
        """
        return self._longer(self._near_live_at, now) and not self._longer(self._turn_at, now)

    def _longer(self, since: datetime | None, now: datetime) -> bool:
        return since is not None and 0 < self._limits.lateness_s < (now - since).total_seconds()
