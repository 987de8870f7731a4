"""A member of the consumer group: aiokafka's consumer behind the few words that intake speaks."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from worker.errors import PartitionLost, Stopped
from worker.kafka import clients
from worker.records import LogRange, Position, Received

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, ConsumerRecord

    from worker.settings.tree import Kafka


ASK_S = 5.0
SEARCH_S = 0.5
"""How long one partition is asked while an unreadable record is looked for."""


class Listener(Protocol):
    """Who is told of what the group gives and takes (``worker.intake``)."""

    async def on_assigned(self, partitions: Collection[int]) -> None:
        """Take partitions."""

    async def on_revoked(self, partitions: Collection[int]) -> None:
        """Hand partitions over, within a bound."""

    def on_out_of_range(self, partitions: Collection[int]) -> None:
        """Learn that the log does not have these partitions' positions."""


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Passes rebalances on; a failure, which aiokafka would only log, goes to ``fail``."""

    def __init__(self, listener: Listener, fail: Callable[[BaseException], None], settled: asyncio.Event) -> None:
        self._listener = listener
        self._fail = fail
        self._settled = settled

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._settled.clear()
        await self._tell(self._listener.on_revoked, revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._settled.set()
        await self._tell(self._listener.on_assigned, assigned)

    async def _tell(
        self, tell: Callable[[Collection[int]], Awaitable[None]], partitions: Collection[TopicPartition]
    ) -> None:
        try:
            await tell([tp.partition for tp in partitions])
        except Exception as error:  # noqa: BLE001 - aiokafka would swallow it: it goes to the supervisor instead
            self._fail(error)


class GroupMember:
    """One consumer on the segments topic."""

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        *,
        consumer: AIOKafkaConsumer,
        fail: Callable[[BaseException], None],
    ) -> None:
        """``consumer`` is ``clients.member(kafka)``, not started; ``fail`` is told of what must end the worker."""
        self._kafka = kafka
        self._topic = topic
        self._consumer = consumer
        self._listener: Listener | None = None
        self._fail = fail
        self._settled = asyncio.Event()
        self._positions: dict[int, int] = {}
        self._suspects: dict[int, int] = {}

    async def start(self, listener: Listener) -> None:
        """Join the group and tell ``listener`` what it gives and takes. Raises Stopped when there is no broker."""
        self._listener = listener
        self._consumer.subscribe([self._topic], listener=_Rebalances(listener, self._fail, self._settled))
        await clients.start(self._consumer, self._kafka)

    async def stop(self) -> None:
        """Leave the group, within a bound."""
        await clients.stop(self._consumer)

    async def poll(self, timeout_s: float, most: int) -> Mapping[int, Sequence[Received]]:
        """Return what has come; a position that is not set yet, or that retention overtook, is sought by intake."""
        if not await self._is_settled(timeout_s):
            return {}
        suspect = next(iter(self._suspects), None)
        try:
            with self._counting():
                found = await self._getmany(suspect, timeout_s, most)
            return self._taken(found)
        except UnicodeDecodeError:
            return self._search(most) if suspect is None else self._unreadable(suspect)
        except NoOffsetForPartitionError:
            return {}  # a fresh group: the partition is being taken and will seek
        except OffsetOutOfRangeError as error:
            if self._listener is not None:
                self._listener.on_out_of_range([tp.partition for tp in error.args[0]])
            return {}
        except KafkaError as error:
            raise Stopped(f"consuming {self._topic}: {type(error).__name__}") from error

    async def _is_settled(self, timeout_s: float) -> bool:
        """Wait for the group: during a rebalance getmany would not come back, whatever its timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Keep aiokafka's count of calls that wait for records: where one raises, it would be off for good.

        Then the consumer never looks idle again, and who consumes no more is never put out of the group.
        """
        calls = self._consumer._subscription  # noqa: SLF001 - aiokafka has no other way to it
        before = calls._fetch_count  # noqa: SLF001 - see above
        try:
            yield
        finally:
            calls._fetch_count = before  # noqa: SLF001 - see above

    async def _getmany(
        self, suspect: int | None, timeout_s: float, most: int
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        # A timeout of its own: cancelling getmany leaks a counter and disables max_poll_interval.
        if suspect is None:
            return await self._consumer.getmany(timeout_ms=round(timeout_s * 1000), max_records=most)  # type: ignore[no-any-return] # aiokafka has no types
        found = await self._consumer.getmany(self._tp(suspect), timeout_ms=round(SEARCH_S * 1000), max_records=1)
        self._suspects[suspect] -= 1
        if not found or not self._suspects[suspect]:
            del self._suspects[suspect]
        return found  # type: ignore[no-any-return] # aiokafka has no types

    def _taken(self, batches: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> Mapping[int, Sequence[Received]]:
        for tp, records in batches.items():
            self._positions[tp.partition] = records[-1].offset + 1
        return {tp.partition: [_received(record) for record in records] for tp, records in batches.items()}

    def _search(self, most: int) -> Mapping[int, Sequence[Received]]:
        """Look for a record that aiokafka can't parse: a header's name need not be UTF-8, and anybody can send one.

        It does not say where the record is, and what the failed call had taken from other partitions is gone: all go
        back to where we are, and the next polls take one record of one partition each.
        """
        self._suspects = dict.fromkeys(sorted(self.owned() & self._positions.keys()), most)
        for partition in self._suspects:
            self.seek(partition, self._positions[partition])
        return {}

    def _unreadable(self, partition: int) -> Mapping[int, Sequence[Received]]:
        """Give the record without its content, for it must have an outcome too, and go on behind it."""
        self._suspects.clear()
        offset = self._positions[partition]
        self.seek(partition, offset + 1)
        position = Position(topic=self._topic, partition=partition, offset=offset, timestamp_ms=-1)
        return {partition: [Received(position=position, key=None, value=None, headers=())]}

    def seek(self, partition: int, offset: int) -> None:
        """Go on from ``offset``."""
        try:
            self._consumer.seek(self._tp(partition), offset)
        except IllegalStateError as error:
            raise PartitionLost("no longer assigned") from error
        self._positions[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing more of these that are still ours."""
        self._consumer.pause(*(self._tp(n) for n in set(partitions) & self.owned()))

    def resume(self, partitions: Collection[int]) -> None:
        """Fetch these again, as far as they are still ours."""
        self._consumer.resume(*(self._tp(n) for n in set(partitions) & self.owned()))

    def owned(self) -> frozenset[int]:
        """Return the partitions of the present assignment."""
        return frozenset(tp.partition for tp in self._consumer.assignment())

    def partitions(self) -> int:
        """Return how many partitions the topic has, as of the last metadata: at most a minute ago."""
        return len(self._consumer.partitions_for_topic(self._topic) or ())

    async def log(self, partition: int) -> LogRange:
        """Return which offsets the log holds, those of open transactions left out."""
        tp = self._tp(partition)
        try:
            first = await self._consumer.beginning_offsets([tp])
            end = await self._consumer.end_offsets([tp])
        except KafkaError as error:
            raise PartitionLost(f"asking for the log's offsets: {type(error).__name__}") from error
        return LogRange(first=int(first[tp]), end=int(end[tp]))

    async def behind(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return where those of the partitions stand for which the broker has more than was consumed.

        The broker is asked: what the consumer believes of the log's end is as old as its last fetch. Nothing where it
        does not answer.
        """
        tps = [self._tp(number) for number in set(partitions) & self.owned()]
        if not tps:
            return {}
        try:
            async with asyncio.timeout(ASK_S):
                ends = await self._consumer.end_offsets(tps)
                positions = {tp.partition: (await self._consumer.position(tp), ends[tp]) for tp in tps}
        except (KafkaError, IllegalStateError, TimeoutError):
            return {}
        return {number: position for number, (position, end) in positions.items() if position < end}

    async def confirm(self, partition: int) -> None:
        """Commit the committed offset again under our generation: the coordinator refuses a member that is out.

        Taking a partition commits, so that there is one as soon as anybody else has it: only who is alone is not asked.
        """
        tp = self._tp(partition)
        try:
            committed = await self._consumer.committed(tp)
            if committed is not None:
                await self._consumer.commit({tp: committed})
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            raise PartitionLost(f"asking the group: {type(error).__name__}") from error

    def lag(self, partition: int) -> int | None:
        """Return the broker's end, as of the last fetch, less our position."""
        tp = self._tp(partition)
        if tp not in self._consumer.assignment() or partition not in self._positions:
            return None
        end = self._consumer.highwater(tp)
        return None if end is None else max(0, end - self._positions[partition])

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)


def _received(record: ConsumerRecord) -> Received:
    position = Position(
        topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp
    )
    return Received(position=position, key=record.key, value=record.value, headers=tuple(record.headers))
