"""A partition on a broker in memory, with a desk whose work the test lets finish when it likes."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from support.outlet import MemoryBroker, MemoryOutlet

from worker.conclude import Conclusion
from worker.errors import SegmentError
from worker.partition.life import Partition
from worker.partition.memory import Memory
from worker.partition.room import Room
from worker.records import EventId, Failure, LogRange, Message, Position, Received, StreamEnd
from worker.settings.tree import Intake
from worker.streams.state import StreamState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.partition.backlog import Arrived, Backlog
    from worker.partition.outlet import Outlet
    from worker.records import Assessment, Event
    from worker.streams.store import Census

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(offset: int, stream: str = "s", value: bytes = b"x") -> Received:
    """A record of a stream."""
    position = Position(topic="segments", partition=0, offset=offset, timestamp_ms=0)
    return Received(position=position, key=stream.encode(), value=value, headers=())


class GatedDesk:
    """Lets an event finish when its offset's gate is open; tells each as a message on ``out``."""

    def __init__(self, *, open_gates: bool = True) -> None:
        self.open_gates = open_gates
        self.started: list[int] = []
        self.finished: list[int] = []
        self.errors: dict[int, list[Exception]] = {}
        self.deadly: set[int] = set()
        """The process dies of these: they are begun and never end."""
        self.died_of: list[int] = []
        self._gates: dict[int, asyncio.Event] = {}

    def gate(self, offset: int) -> asyncio.Event:
        """The gate of an offset."""
        return self._gates.setdefault(offset, asyncio.Event())

    def read(self, received: Received) -> Event:
        """A record with the value ``bad`` can't be read."""
        if received.value == b"bad":
            raise SegmentError("wire", "missing_header", "it is bad")
        stream = (received.key or b"").decode()
        return StreamEnd(position=received.position, event=EventId(source="t", id="e"), stream_id=stream)

    def refuse(self, received: Received, error: SegmentError) -> Conclusion:
        """Tells it on ``dead``."""
        message = Message(topic="dead", key=received.key, value=str(received.position.offset).encode())
        failure = Failure(stage=error.stage, error=error.error, reason=error.reason)
        return Conclusion(state=None, messages=(message,), failure=failure)

    async def work(self, event: Event, arrived: Arrived, memory: Memory, backlog: Backlog) -> Conclusion:
        """Waits at the gate, raises what it was told to, then appends the offset to the stream's memory."""
        received = arrived.received
        offset = received.position.offset
        self.started.append(offset)
        state = memory.state(event.stream_id)
        if offset in self.deadly:
            self.died_of.append(offset)
            await asyncio.Event().wait()
        if not self.open_gates:
            await self.gate(offset).wait()
        if self.errors.get(offset):
            raise self.errors[offset].pop(0)
        self.finished.append(offset)
        told = f"{event.stream_id}:{offset}:{state.last_appended_ms or 0}".encode()
        count = (state.last_appended_ms or 0) + 1
        after = StreamState(stream_id=event.stream_id, last_appended_ms=count)
        return Conclusion(state=after, messages=(Message(topic="out", key=received.key, value=told),))


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.consumed_offsets: list[int] = []
        self.released_offsets: list[int] = []
        self.why_held: list[str] = []
        self.abandoned_events = 0
        self.expired_events = 0
        self.moves: list[str] = []
        self.silences: list[Conclusion] = []
        self.searches: list[tuple[int, int]] = []

    def consumed(self, received: Received) -> None:
        self.consumed_offsets.append(received.position.offset)

    def released(self, received: Received, conclusion: Conclusion, now: datetime) -> None:
        self.released_offsets.append(received.position.offset)

    @contextmanager
    def releasing(self, messages: Sequence[Message]) -> Iterator[None]:
        yield

    def held(self, why: str) -> None:
        self.why_held.append(why)

    def expired(self, events: int) -> None:
        self.expired_events += events

    def moved(self, why: str) -> None:
        self.moves.append(why)

    def searching(self, first: int, end: int) -> None:
        self.searches.append((first, end))

    def restoring(self, records: int) -> None:
        self.restored_records = records

    def took(self, with_incidents: Iterable[StreamState]) -> None:
        self.restored_incidents = [state.stream_id for state in with_incidents]

    def remembers(self, census: Census) -> None:
        self.census = census

    def silent(self, conclusion: Conclusion) -> None:
        self.silences.append(conclusion)

    def abandoned(self, events: int) -> None:
        self.abandoned_events += events


class Bench:
    """Builds owners of one partition, one after the other, on one broker."""

    def __init__(self, *, interval_s: float = 3600.0, drain_s: float = 5.0, open_gates: bool = True) -> None:
        self.broker = MemoryBroker()
        self.desk = GatedDesk(open_gates=open_gates)
        self.notes = Notes()
        self.settings = Intake(release_interval_s=interval_s, drain_s=drain_s)
        self.waits: list[float] = []
        self.judged: list[tuple[StreamState, Assessment]] = []
        self.earliest_offset = 0
        self.end_offset = 1_000_000
        self.room = Room()
        self.owner = "owner"
        """A new one is a new process: the one before has died."""

    def partition(self, *, on_rewind: str = "stop", outlet: Outlet | None = None) -> Partition:
        """A new owner."""
        return Partition(
            outlet=outlet or MemoryOutlet(self.broker),
            desk=self.desk,
            memory=Memory(topic="risk", partition=0, on_rewind=on_rewind),
            settings=self.settings,
            observer=self.notes,
            now=lambda: NOW,
            owner=self.owner,
            room=self.room,
            judge=self.judge,
            pause=self._wait,
        )

    async def earliest(self) -> LogRange:
        """What the log holds."""
        return LogRange(first=self.earliest_offset, end=self.end_offset)

    def judge(self, before: StreamState, assessment: Assessment) -> None:
        """Keep what the partition tells of its segments."""
        self.judged.append((before, assessment))

    async def taken(self, **more: str) -> Partition:
        """A new owner that has taken the partition."""
        partition = self.partition(**more)
        await partition.take(self.earliest)
        return partition

    def told(self, topic: str = "out") -> list[str]:
        """What a reader of a topic has seen."""
        return [(message.value or b"").decode() for message in self.broker.on(topic)]

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


async def settle() -> None:
    """Lets every task that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)
