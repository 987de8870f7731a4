"""A segment's turn: asked twice, before it is fetched and before it is decoded, since it may wait in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.partition import shedding

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from worker.assess import Measure
    from worker.partition.backlog import Arrived, Backlog
    from worker.settings.tree import Overload


class SegmentsTurn:
    """One segment's: what is known of its stream does not change while it has its turn."""

    def __init__(
        self,
        arrived: Arrived,
        backlog: Backlog,
        limits: Overload,
        now: Callable[[], datetime],
        *,
        at_risk: bool,
        owed: bool,
    ) -> None:
        """``now`` gives the wall clock, UTC; ``at_risk`` and ``owed`` are its stream's (``shedding.measure``)."""
        self._arrived = arrived
        self._backlog = backlog
        self._limits = limits
        self._now = now
        self._at_risk = at_risk
        self._owed = owed

    def before_fetch(self) -> Measure:
        """Return how much to look at; what is shed had its turn, what is not may still have to wait."""
        return self._measure(None)

    def before_decode(self, *, waited: bool) -> Measure:
        """Return how much to look at now that a decoder is near, for which it ``waited`` or not."""
        return self._measure(waited)

    def _measure(self, waited: bool | None) -> Measure:  # noqa: FBT001 - two names for it would say no more
        now = self._now()
        age_s = self._backlog.age_s(self._arrived, now)
        stands = self._backlog.stands(now)
        found = shedding.measure(age_s, self._limits, stands=stands, at_risk=self._at_risk, owed=self._owed)
        if waited is not None or found in ("lateness", "overload"):
            self._backlog.turn(age_s, now, waited=waited)
        return found
