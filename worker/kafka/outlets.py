"""One partition's way out: a transactional producer of its own, or acknowledged sends for brokers without transactions.

aiokafka has no KIP-447: a transaction's offsets are fenced by the producer's epoch alone. So each partition has its own
transactional id, starting its producer fences the former owner, and only then is anything read.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, InvalidTxnState, KafkaError

from worker.errors import Moved, PartitionLost, UsageError
from worker.kafka import clients
from worker.topics import transactional_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

    from worker.records import Message
    from worker.settings.tree import Kafka, Topics

FETCH_BYTES = 1024 * 1024
"""Of the changelog that is read at once, by each partition that is being restored. More is hardly quicker, and its
buffers leave holes in the heap."""
AT_ONCE = 2000
"""So many records are taken in before others have their turn: some ten milliseconds."""
MARKERS_MS = 50
"""How long more records are waited for before looking whether only markers of transactions were left."""


class _Step:
    """What is being done, as an error tells it."""

    def __init__(self, doing: str) -> None:
        self.doing = doing


@asynccontextmanager
async def _lost_after(seconds: float, doing: str) -> AsyncIterator[_Step]:
    """Turn every error whose outcome is unknown, a passed deadline included, into ``PartitionLost``.

    aiokafka asserts what state a transaction is in, and its futures can end cancelled: neither is a defect of ours, and
    the latter would end the partition's task as if somebody had asked for it.
    """
    step = _Step(doing)
    try:
        async with asyncio.timeout(seconds):
            yield step
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise PartitionLost(f"{step.doing}: cut off by the client") from error
    except (KafkaError, IllegalOperation, AssertionError, OSError, TimeoutError, UsageError) as error:
        # aiokafka's texts may hold keys; the class says what happened. The last one: a rotated file of the link is not
        # whole yet.
        raise PartitionLost(f"{step.doing}: {type(error).__name__}") from error


async def _acknowledged(messages: Sequence[Message], sent: Sequence[asyncio.Future[Any]], step: _Step) -> None:
    """Wait until the broker has every message; ``step`` names the topic that it refused or that does not answer.

    Of several errors the cause is raised: where a transaction may not have one topic's records, it gets no other's.
    """
    try:
        if sent:
            await asyncio.wait(sent)
    finally:
        if silent := {m.topic for m, future in zip(messages, sent, strict=True) if not future.done()}:
            step.doing = f"releasing to {', '.join(sorted(silent))}"
        for future in sent:
            future.add_done_callback(_taken_note_of)
    refused = [(m.topic, error) for m, future in zip(messages, sent, strict=True) if (error := future.exception())]
    for topic, error in sorted(refused, key=lambda one: isinstance(one[1], InvalidTxnState))[:1]:
        step.doing = f"releasing to {topic}"
        raise error


def _taken_note_of(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging an error that one of its release was told for."""
    if not future.cancelled():
        future.exception()


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
            reader = clients.reader(self._kafka, fetch_bytes=FETCH_BYTES)
        try:
            async with _lost_after(self._kafka.send_deadline_s, "starting to restore"):
                await clients.begin(reader)
                self._check_there(reader)
                reader.assign([self._risk])
                await reader.seek_to_beginning(self._risk)
                end = (await reader.end_offsets([self._risk]))[self._risk]
            while records := await self._some(reader, end):
                for record in records:
                    if record.key is not None:
                        yield record.key, record.value
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

    async def _some(self, reader: AIOKafkaConsumer, end: int) -> Sequence[ConsumerRecord]:
        """Return the next records before the offset ``end``; none when there are no more."""
        async with _lost_after(self._kafka.send_deadline_s, "restoring"):
            # Markers of transactions take offsets too: the position tells the end, not the last record.
            while await reader.position(self._risk) < end:
                found = await reader.getmany(self._risk, timeout_ms=MARKERS_MS, max_records=AT_ONCE)
                if records := found.get(self._risk):
                    return records  # type: ignore[no-any-return] # aiokafka has no types
        return ()

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
        async with _lost_after(self._kafka.send_deadline_s, "releasing") as step:
            for topic in sorted({message.topic for message in messages}):  # one that is away shall not be waited for
                step.doing = f"releasing to {topic}"  # in an open transaction
                await producer.partitions_for(topic)
            step.doing = "releasing"
            await producer.begin_transaction()
            # aiokafka commits a transaction whose records the broker refused: only these futures know.
            await _acknowledged(messages, await clients.send(producer, messages), step)
            await producer.send_offsets_to_transaction({self._segments: next_offset}, self._kafka.group_id)
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
        async with _lost_after(self._kafka.send_deadline_s, "releasing") as step:
            for topic, of_topic in by_topic.items():
                step.doing = f"releasing to {topic}"
                await _acknowledged(of_topic, await clients.send(producer, of_topic), step)
            step.doing = "committing"
            await self._member.commit({self._segments: next_offset})
