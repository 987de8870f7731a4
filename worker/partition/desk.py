"""Where an event becomes its conclusion: reads it, has it assessed, decides. Knows the kinds of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker import conclude
from worker.assess import WHOLE, failure
from worker.conclude import Conclusion
from worker.errors import SegmentError
from worker.partition import shedding
from worker.partition.turn import SegmentsTurn
from worker.records import Initialisation, Segment
from worker.settings.tree import Overload
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from worker.assess import Assessor, Turn
    from worker.conclude import Rules
    from worker.partition.backlog import Arrived, Backlog
    from worker.partition.memory import Memory
    from worker.records import Event, Received
    from worker.streams.state import StreamState


class Desk:
    """Shared by all partitions of a worker; keeps nothing between events."""

    def __init__(
        self, assessor: Assessor, rules: Rules, now: Callable[[], datetime], limits: Overload | None = None
    ) -> None:
        """``now`` gives the wall clock, in UTC; ``limits`` say what is left out past capacity, by default nothing."""
        self._assessor = assessor
        self._rules = rules
        self._now = now
        self._limits = limits or Overload()

    def read(self, received: Received) -> Event:
        """Return the event in a record. Raises SegmentError."""
        return read.read(received, max_message_bytes=self._rules.max_message_bytes)

    def refuse(self, received: Received, error: SegmentError) -> Conclusion:
        """Return the dead letter of an event that can't be worked."""
        return conclude.refused(received, failure(error), self._now(), self._rules)

    async def work(self, event: Event, arrived: Arrived, memory: Memory, backlog: Backlog) -> Conclusion:
        """Return what an event leads to. Raises Held when it has to wait.

        Its lane is the only writer of its stream's state: what was read before the assessment still holds after it.
        """
        state = memory.state(event.stream_id)
        if isinstance(event, Segment):
            init = memory.initialisation(event.stream_id)
            turn = self._turn(event, arrived, state, backlog)
            assessment = await self._assessor.assess(event, state, init, arrived.at, turn)
            return conclude.segment(state, assessment, arrived.received, self._now(), self._rules)
        if isinstance(event, Initialisation):
            return await self._initialise(event, arrived.received)
        return conclude.end(state, event, self._now(), self._rules)

    def silent(self, state: StreamState, *, final: bool) -> Conclusion:
        """Return what it leads to that nothing came of a stream with an open incident for long."""
        return conclude.silent(state, self._now(), self._rules, final=final)

    def _turn(self, segment: Segment, arrived: Arrived, state: StreamState, backlog: Backlog) -> Turn:
        limits = self._limits
        if not limits.lateness_s and not limits.first_keyframe_s:
            return WHOLE
        policy = self._rules.policy.for_tenant(segment.tenant)
        return SegmentsTurn(
            arrived,
            backlog,
            limits,
            self._now,
            at_risk=shedding.at_risk(state.risk, policy.risk.close_below),
            owed=shedding.owed(state.shed_since_look, limits),
        )

    async def _initialise(self, event: Initialisation, received: Received) -> Conclusion:
        try:
            data = await self._assessor.initialisation(event)
        except SegmentError as error:
            return self.refuse(received, error)
        return Conclusion(state=None, messages=(), initialisation=(event.stream_id, data))
