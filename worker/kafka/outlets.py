"""One partition's way out: a transactional producer of its own, or acknowledged sends for brokers without transactions.

aiokafka has no KIP-447: a transaction's offsets are fenced by the producer's epoch alone. So each partition has its own
transactional id, starting its producer fences the former owner, and only then is anything read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from worker.errors import Moved, PartitionLost, UsageError
from worker.kafka import clients
from worker.topics import transactional_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from worker.records import Message
    from worker.settings.tree import Kafka, Topics


@asynccontextmanager
async def _lost_after(seconds: float, doing: str) -> AsyncIterator[None]:
    """Turn every error whose outcome is unknown, a passed deadline included, into ``PartitionLost``.

    aiokafka asserts what state a transaction is in, and its futures can end cancelled: neither is a defect of ours, and
    the latter would end the partition's task as if somebody had asked for it.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise PartitionLost(f"{doing}: cut off by the client") from error
    except (KafkaError, IllegalOperation, AssertionError, OSError, TimeoutError, UsageError) as error:
        # aiokafka's texts may hold keys; the class says what happened. The last one: a rotated file of the link is not
        # whole yet.
        raise PartitionLost(f"{doing}: {type(error).__name__}") from error


class _PartitionOutlet:
    """What both kinds share: the partition, its member of the group, its state records."""

    def __init__(self, kafka: Kafka, topics: Topics, partition: int, member: AIOKafkaConsumer) -> None:
        """``member`` is the consumer that the group gave the partition to."""
        self._kafka = kafka
        self._member = member
        self._segments = TopicPartition(topics.segments, partition)
        self._risk = TopicPartition(topics.risk, partition)
        self._producer: AIOKafkaProducer | None = None

    @property
    def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise PartitionLost("released before it was opened")
        return self._producer

    async def _open(self, transactional_id: str | None) -> int | None:
        async with _lost_after(self._kafka.send_deadline_s, "taking the partition"):
            self._producer = clients.writer(self._kafka, transactional_id=transactional_id)
            await clients.begin(self._producer)
            committed: int | None = await self._member.committed(self._segments)
        return committed

    async def changelog(self) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        """Yield the state records up to the end, oldest first."""
        async with _lost_after(self._kafka.send_deadline_s, "starting to restore"):
            reader = clients.reader(self._kafka)
        try:
            async with _lost_after(self._kafka.send_deadline_s, "starting to restore"):
                await clients.begin(reader)
                self._check_there(reader)
                reader.assign([self._risk])
                await reader.seek_to_beginning(self._risk)
                end = (await reader.end_offsets([self._risk]))[self._risk]
            async with aclosing(self._read_to(reader, end)) as records:
                async for key, value in records:
                    yield key, value
        finally:
            await clients.stop(reader)

    def _check_there(self, reader: AIOKafkaConsumer) -> None:
        """Raise Moved where the risk topic has no such partition: segments has grown, and streams are elsewhere now."""
        there = reader.partitions_for_topic(self._risk.topic)
        if there and self._risk.partition not in there:
            raise Moved(
                f"partition {self._risk.partition}: topic {self._risk.topic} has only {len(there)} partitions, "
                f"{self._segments.topic} has grown: stop all workers, framewatch state move --yes, start them"
            )

    async def _read_to(self, reader: AIOKafkaConsumer, end: int) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        # Markers of transactions take offsets too: the position tells the end, not the last record.
        while await self._position(reader) < end:
            async with _lost_after(self._kafka.send_deadline_s, "restoring"):
                batches = await reader.getmany(self._risk, timeout_ms=500, max_records=2000)
            for record in batches.get(self._risk, []):
                if record.key is not None:
                    yield record.key, record.value

    async def _position(self, reader: AIOKafkaConsumer) -> int:
        async with _lost_after(self._kafka.send_deadline_s, "restoring"):
            return int(await reader.position(self._risk))

    async def close(self) -> None:
        """Close the producer within a bound."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await clients.stop(producer)


class TransactionalOutlet(_PartitionOutlet):
    """Exactly once: results, state and offset in one transaction."""

    async def open(self) -> int | None:
        """Fence by starting the partition's transactional producer, then read the committed offset."""
        segments = self._segments
        return await self._open(f"{transactional_prefix(self._kafka.group_id, segments.topic)}{segments.partition}")

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        """Commit one transaction; nothing was computed in it, so it is open for milliseconds."""
        producer = self._open_producer
        async with _lost_after(self._kafka.send_deadline_s, "releasing"):
            await producer.begin_transaction()
            sent = await clients.send(producer, messages)
            await producer.send_offsets_to_transaction({self._segments: next_offset}, self._kafka.group_id)
            # aiokafka commits a transaction whose records the broker refused: only these futures know.
            await asyncio.gather(*sent)
            await producer.commit_transaction()


class AcknowledgedOutlet(_PartitionOutlet):
    """At least once: incidents first and acknowledged, then the rest, then the offset; a crash can repeat them."""

    async def open(self) -> int | None:
        """Start an idempotent producer, then read the committed offset."""
        return await self._open(None)

    async def release(self, messages: Sequence[Message], next_offset: int) -> None:
        """Send topic by topic in the order of the messages, each acknowledged before the next; commit last."""
        producer = self._open_producer
        by_topic: defaultdict[str, list[Message]] = defaultdict(list)
        for message in messages:
            by_topic[message.topic].append(message)
        async with _lost_after(self._kafka.send_deadline_s, "releasing"):
            for of_topic in by_topic.values():
                await asyncio.gather(*await clients.send(producer, of_topic))
            await self._member.commit({self._segments: next_offset})
