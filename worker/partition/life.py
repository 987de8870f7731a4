"""One partition from taking it to handing it over."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.errors import Held, PartitionLost, SegmentError, Stopped
from worker.partition.backlog import Arrived, Backlog
from worker.partition.lanes import Lanes
from worker.partition.ledger import Ledger
from worker.partition.outbox import Outbox, size_bytes
from worker.partition.patience import Patience
from worker.partition.room import Room
from worker.partition.suspects import Suspects
from worker.records import Event
from worker.settings.tree import Overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.partition.desk import Desk
    from worker.partition.memory import Memory
    from worker.partition.observer import Observer
    from worker.partition.outbox import Parcel
    from worker.partition.outlet import Outlet
    from worker.partition.suspects import Mark
    from worker.records import Assessment, LogRange, Message, Received
    from worker.settings.tree import Intake
    from worker.streams.state import StreamState

PROGRESS_EVERY = 20_000
"""Records of a changelog: well under a second."""


def _unjudged(before: StreamState, assessment: Assessment) -> None:
    """Judge nothing."""


class Progress:
    """Tells how many records of the changelog have been read, now and then."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._records = 0

    def count(self) -> None:
        """Count a record."""
        self._records += 1
        if self._records % PROGRESS_EVERY == 0:
            self._tell(self._records)


class Job(Struct, frozen=True):
    """A consumed event on its way through its lane."""

    arrived: Arrived
    event: Event

    @property
    def received(self) -> Received:
        """Its record."""
        return self.arrived.received


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
        owner: str,
        room: Room | None = None,
        judge: Callable[[StreamState, Assessment], None] = _unjudged,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        backlog: Backlog | None = None,
    ) -> None:
        """Its process is ``owner``, a name that no other one ever has; the process's partitions share ``room``.

        ``judge`` is told of each segment with its stream's state before it, and may ``halt`` us; ``pause`` waits so
        many seconds before a held event is tried again.
        """
        self._outlet = outlet
        self._desk = desk
        self._memory = memory
        self._settings = settings
        self._observer = observer
        self._now = now
        self._owner = owner
        self._room = room or Room()
        self._judge = judge
        self._patience = Patience(observer, pause)
        self._suspects = Suspects(None, owner=owner, end=0)
        self._recorded: Mark | None = None
        self._backlog = backlog or Backlog(Overload())
        self._waiting: deque[Arrived] = deque()
        self._alone = asyncio.Lock()
        self._going = asyncio.Event()
        self._going.set()
        self._finished = 0
        self._ledger = Ledger(0)
        self._lanes: Lanes[Job] = Lanes(self._work, self._fail)
        self._outbox = Outbox()
        self._released_through = 0
        self._due = asyncio.Event()
        self._releasing = asyncio.Lock()
        self._failure: BaseException | None = None
        self._accepting = False
        self._delivered = False
        self._bytes = 0

    # --- taking it ---

    async def take(self, log: Callable[[], Awaitable[LogRange]]) -> int:
        """Fence, restore, and return the offset to work from. Raises Moved where an operator has to say which.

        It ends with a release: before anything is begun, the checkpoint says that this owner has not left.
        """
        committed = await self._outlet.open()
        async with aclosing(self._outlet.changelog()) as records:  # its reader is closed also when a record is bad
            progress = Progress(self._observer.restoring)
            async for key, value in records:
                self._memory.learn(key, value)
                progress.count()
        there = await log()
        agreement = self._memory.agree(committed, there)
        if agreement.moved is not None:
            self._observer.moved(agreement.moved)
        if agreement.expired:
            self._observer.expired(agreement.expired)
        self._ledger = Ledger(agreement.offset)
        self._released_through = agreement.offset
        self._suspects = Suspects(agreement.left, owner=self._owner, end=there.end)
        if self._suspects.alone_below > agreement.offset:
            self._observer.searching(agreement.offset, self._suspects.alone_below)
        self._observer.took(self._memory.with_incidents())
        self._accepting = True
        await self._release()
        return agreement.offset

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
        self._bytes += size_bytes(received)
        now = self._now()
        self._memory.hear(received.position.timestamp_ms, now)
        self._waiting.append(self._backlog.arrived(received, now))
        self._begin_what_may()

    def _begin_what_may(self) -> None:
        """Begin what waits, up to the horizon that the broker has; a release that moves it is due before it is near."""
        while self._waiting and self._suspects.may_begin(self._waiting[0].received.position.offset):
            self._begin(self._waiting.popleft())
        if self._suspects.is_short(self._ledger.next_offset):
            self._due.set()

    def _begin(self, arrived: Arrived) -> None:
        received = arrived.received
        offset = received.position.offset
        try:
            self._suspects.judge(offset, self._settings.max_attempts)
            event = self._desk.read(received)
        except SegmentError as error:
            self._settle(received, self._desk.refuse(received, error))
            return
        self._suspects.begin(offset, event.stream_id)
        self._lanes.put(event.stream_id, Job(arrived, event))

    @property
    def load(self) -> int:
        """Events in work or waiting, and those whose results have not left yet."""
        return self._ledger.unfinished + len(self._outbox)

    @property
    def load_bytes(self) -> int:
        """Bytes of bodies in work, waiting, or kept until their results have left."""
        return self._bytes

    @property
    def unfinished(self) -> int:
        """Events in work or waiting."""
        return self._ledger.unfinished

    @property
    def finished(self) -> int:
        """Events that had their outcome under this owner: progress."""
        return self._finished

    @property
    def delivered(self) -> bool:
        """Whether results of this owner have left. That it could be taken says nothing of them."""
        return self._delivered

    @property
    def owes(self) -> bool:
        """Whether anything was taken in whose results have not left."""
        return self._ledger.next_offset > self._released_through or len(self._outbox) > 0

    @property
    def consumed_through(self) -> int:
        """All that was taken in is below this offset."""
        return self._ledger.next_offset

    @property
    def released_through(self) -> int:
        """All below this offset has its outcome, and the broker has it."""
        return self._released_through

    @property
    def span(self) -> int:
        """How far consumption is ahead of the first unfinished offset."""
        return self._ledger.next_offset - self._ledger.first_unfinished

    @property
    def held(self) -> str | None:
        """Why some stream is held, in one line; None when none is."""
        return self._patience.held

    def halt(self) -> None:
        """Begin no more work; what is in work goes on, and what is finished leaves."""
        self._going.clear()

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
            if not await self._lanes.drain(self._settings.drain_s if self._going.is_set() else 0) or self._waiting:
                self._observer.abandoned(self._ledger.unfinished)
            async with self._releasing:  # a suspect's release is not cut off half-way
                await self._lanes.abandon()
            await self._release(clean=True)
        finally:
            await self.drop()

    async def drop(self) -> None:
        """Give memory and outlet up without a release: what has not left will be worked again."""
        self._accepting = False
        self._waiting.clear()
        self._bytes = 0
        self._due.set()
        try:
            await self._lanes.abandon()
        finally:
            await self._outlet.close()

    # --- one event ---

    async def _work(self, job: Job) -> None:
        self._settle(job.received, await self._patience.conclusion(lambda: self._attempt(job)))
        self._begin_what_may()

    async def _attempt(self, job: Job) -> Conclusion:
        await self._going.wait()
        if self._suspects.is_suspect(job.received.position.offset):
            return await self._try(job)
        async with self._room.beside():
            return await self._desk.work(job.event, job.arrived, self._memory, self._backlog)

    async def _try(self, job: Job) -> Conclusion:
        """Work a suspect with nothing else of this partition in work; one that seems to have killed, alone at all."""
        async with self._alone:
            accused = self._suspects.is_accused(job.received.position.offset)
            async with self._room.alone() if accused else self._room.beside():
                return await self._on_trial(job)

    async def _on_trial(self, job: Job) -> Conclusion:
        """That it is tried is recorded first: else a death would say nothing."""
        offset = job.received.position.offset
        self._suspects.attempt(offset)
        await self._release()
        try:
            conclusion = await self._desk.work(job.event, job.arrived, self._memory, self._backlog)
        except (Held, Stopped) as error:
            self._suspects.excuse(offset)
            self._begin_what_may()
            if isinstance(error, Stopped):  # this process can't go on, and says so: it is not the event's doing
                await self._release()
            raise
        self._suspects.survived(offset)
        return conclusion

    def _settle(self, received: Received, conclusion: Conclusion) -> None:
        """Keep what an event led to until it leaves: one step, so that a release holds all of it or nothing."""
        if conclusion.assessment is not None:
            self._judge(self._memory.state(conclusion.assessment.segment.stream_id), conclusion.assessment)
        self._memory.apply(conclusion, received.position.offset)
        self._outbox.put(received, conclusion)
        self._ledger.finish(received.position.offset)
        self._finished += 1
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

    async def _release(self, *, clean: bool = False) -> None:
        async with self._releasing:  # a hand-over may come while the interval's release is on its way
            await self._release_finished(clean=clean)

    async def _release_finished(self, *, clean: bool) -> None:
        self._raise_failure()
        self._due.clear()
        next_offset = self._ledger.first_unfinished
        mark = self._suspects.mark(first_unfinished=next_offset, next_offset=self._ledger.next_offset, clean=clean)
        if not self._outbox and next_offset == self._released_through and mark == self._recorded:
            return
        parcel, told_of_silence = self._outbox.take(), self._let_go()
        of_silence = [message for conclusion in told_of_silence for message in conclusion.messages]
        await self._send([*parcel.messages, *of_silence, *self._memory.take_changes(next_offset, mark)], next_offset)
        self._recorded = mark
        self._suspects.recorded(mark)
        self._released_through = next_offset
        self._delivered = self._delivered or bool(parcel.told)
        self._bytes -= parcel.size_bytes
        self._tell(parcel, told_of_silence)
        if not clean:
            self._begin_what_may()

    def _tell(self, parcel: Parcel, told_of_silence: Sequence[Conclusion]) -> None:
        """Say what the broker has now."""
        now = self._now()
        for received, conclusion in parcel.told:
            self._observer.released(received, conclusion, now)
        for conclusion in told_of_silence:
            self._observer.silent(conclusion)
        self._observer.remembers(self._memory.census())

    def _let_go(self) -> list[Conclusion]:
        """Forget streams that have ended or gone silent; return what is told of their open incidents."""
        conclusions = []
        for silent in self._memory.silent(self._lanes.busy):
            conclusion = self._desk.silent(silent.state, final=silent.final)
            self._memory.close(conclusion.state or silent.state)
            if conclusion.incident is not None:  # none where a critical one goes on waiting for whoever reviews it
                conclusions.append(conclusion)
        return conclusions

    async def _send(self, messages: Sequence[Message], next_offset: int) -> None:
        try:
            with self._observer.releasing(messages):
                await self._outlet.release(messages, next_offset)
        except BaseException as error:
            # What it took along may be lost: no later release may commit past it.
            self._fail(error if isinstance(error, Exception) else PartitionLost("a release was cut off"))
            raise
