"""One partition from taking it to handing it over."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.errors import Held, PartitionLost, SegmentError
from worker.partition.lanes import Lanes
from worker.partition.ledger import Ledger
from worker.records import Event, Received

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from worker.conclude import Conclusion
    from worker.partition.desk import Desk
    from worker.partition.memory import Memory
    from worker.partition.observer import Observer
    from worker.partition.outlet import Outlet
    from worker.records import Message
    from worker.settings.tree import Intake

HELD_FIRST_S = 0.5
HELD_MOST_S = 30.0


class Job(Struct, frozen=True):
    """A consumed event on its way through its lane."""

    received: Received
    event: Event
    received_at: datetime


class Partition:
    """An owned partition. Its memory is good as long as nothing raised ``PartitionLost``."""

    def __init__(
        self,
        *,
        outlet: Outlet,
        desk: Desk,
        memory: Memory,
        settings: Intake,
        observer: Observer,
        now: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``pause`` waits so many seconds before a held event is tried again."""
        self._outlet = outlet
        self._desk = desk
        self._memory = memory
        self._settings = settings
        self._observer = observer
        self._now = now
        self._pause = pause
        self._ledger = Ledger(0)
        self._lanes: Lanes[Job] = Lanes(self._work, self._fail)
        self._messages: list[Message] = []
        self._told: list[tuple[Received, Conclusion]] = []
        self._released_through = 0
        self._due = asyncio.Event()
        self._releasing = asyncio.Lock()
        self._failure: BaseException | None = None
        self._accepting = False
        self._released = False
        self._bytes = 0
        self._held: Counter[str] = Counter()

    # --- taking it ---

    async def take(self, earliest: Callable[[], Awaitable[int]]) -> int:
        """Fence, restore, and return the offset to work from: where the memory stands, else ``earliest``."""
        committed = await self._outlet.open()
        async with aclosing(self._outlet.changelog()) as records:  # its reader is closed also when a record is bad
            async for key, value in records:
                self._memory.learn(key, value)
        agreed, first = self._memory.agree(committed), await earliest()
        if agreed is not None and agreed < first:
            self._observer.expired(first - agreed)
        offset = first if agreed is None else max(agreed, first)
        self._ledger = Ledger(offset)
        self._released_through = offset
        self._accepting = True
        return offset

    # --- working ---

    def accept(self, received: Received) -> None:
        """Take a consumed record in; it has its outcome when its release is acknowledged."""
        offset = received.position.offset
        if not self._accepting or offset < self._ledger.next_offset:
            return
        self._ledger.begin(offset)
        if self._memory.is_done(offset):
            self._ledger.finish(offset)
            return
        self._observer.consumed(received)
        self._bytes += _size_bytes(received)
        try:
            event = self._desk.read(received)
        except SegmentError as error:
            self._settle(received, self._desk.refuse(received, error))
            return
        self._lanes.put(event.stream_id, Job(received, event, self._now()))

    @property
    def load(self) -> int:
        """Events in work or waiting, and those whose results have not left yet."""
        return self._ledger.unfinished + len(self._told)

    @property
    def load_bytes(self) -> int:
        """Bytes of bodies in work, waiting, or kept until their results have left."""
        return self._bytes

    @property
    def released(self) -> bool:
        """Whether a release of this owner was acknowledged."""
        return self._released

    @property
    def span(self) -> int:
        """How far consumption is ahead of the first unfinished offset."""
        return self._ledger.next_offset - self._ledger.first_unfinished

    @property
    def held(self) -> str | None:
        """Why some stream is held, in one line; None when none is."""
        return next(iter(self._held), None)

    async def run(self) -> None:
        """Release what is finished until handed over. Raises what ended it: PartitionLost, or a defect of ours."""
        while self._accepting:
            await self._wait_until_due()
            if self._accepting:  # else the hand-over tells of a failure, and has the outlet to itself
                await self._release()

    # --- handing it over ---

    async def hand_over(self) -> None:
        """Finish or abandon what is in work, release, and give the partition up; within ``drain_s`` and a release."""
        if not self._accepting:
            return
        self._accepting = False
        try:
            if not await self._lanes.drain(self._settings.drain_s):
                self._observer.abandoned(self._ledger.unfinished)
            await self._lanes.abandon()
            await self._release()
        finally:
            await self.drop()

    async def drop(self) -> None:
        """Give memory and outlet up without a release: what has not left will be worked again."""
        self._accepting = False
        self._bytes = 0
        self._due.set()
        try:
            await self._lanes.abandon()
        finally:
            await self._outlet.close()

    # --- one event ---

    async def _work(self, job: Job) -> None:
        self._settle(job.received, await self._conclusion(job))

    async def _conclusion(self, job: Job) -> Conclusion:
        backoff_s = HELD_FIRST_S
        while True:
            try:
                return await self._desk.work(job.event, job.received, self._memory, job.received_at)
            except Held as held:
                await self._hold(str(held), backoff_s)
                backoff_s = min(HELD_MOST_S, backoff_s * 2)

    async def _hold(self, why: str, seconds: float) -> None:
        self._held[why] += 1
        try:
            self._observer.held(why)
            await self._pause(seconds)
        finally:
            self._held[why] -= 1
            self._held += Counter()  # drops what fell to zero

    def _settle(self, received: Received, conclusion: Conclusion) -> None:
        """Keep what an event led to until it leaves: one step, so that a release holds all of it or nothing."""
        self._memory.apply(conclusion, received.position.offset)
        self._messages.extend(conclusion.messages)
        self._told.append((received, conclusion))
        self._ledger.finish(received.position.offset)
        if conclusion.incident is not None:
            self._due.set()

    def lose(self, lost: PartitionLost) -> None:
        """Let ``run`` end with this."""
        self._fail(lost)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._due.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- releasing ---

    async def _wait_until_due(self) -> None:
        try:
            async with asyncio.timeout(self._settings.release_interval_s):
                await self._due.wait()
        except TimeoutError:
            return  # the interval has passed

    async def _release(self) -> None:
        async with self._releasing:  # a hand-over may come while the interval's release is on its way
            await self._release_finished()

    async def _release_finished(self) -> None:
        self._raise_failure()
        self._due.clear()
        next_offset = self._ledger.first_unfinished
        if not self._told and next_offset == self._released_through:
            return
        messages, self._messages = self._messages, []
        told, self._told = self._told, []
        messages += self._memory.take_changes(next_offset)
        await self._send(messages, next_offset)
        self._released_through = next_offset
        self._bytes -= sum(_size_bytes(received) for received, _ in told)
        now = self._now()
        for received, conclusion in told:
            self._observer.released(received, conclusion, now)

    async def _send(self, messages: Sequence[Message], next_offset: int) -> None:
        try:
            with self._observer.releasing():
                await self._outlet.release(messages, next_offset)
        except BaseException as error:
            # What it took along may be lost: no later release may commit past it.
            self._fail(error if isinstance(error, Exception) else PartitionLost("a release was cut off"))
            raise
        self._released = True


def _size_bytes(received: Received) -> int:
    """Return how many bytes a record's body keeps in memory."""
    return len(received.value or b"")
