"""Where a group stands, seen from outside: its offsets, the logs, what waits. Joins nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from worker.errors import Stopped
from worker.kafka import clients
from worker.records import LogRange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaConsumer

    from worker.settings.tree import Kafka

ASK_S = 30.0
POLL_MS = 500


class Standing:
    """A group's place in one topic; made by ``standing``."""

    def __init__(self, kafka: Kafka, topic: str, consumer: AIOKafkaConsumer) -> None:
        """``consumer`` is the group's, with every partition assigned by hand."""
        self._kafka = kafka
        self._topic = topic
        self.consumer = consumer
        """For outlets, which ask and commit offsets through it."""

    async def committed(self, partition: int) -> int | None:
        """Return the group's offset; None where it has none. Raises Stopped."""
        async with _asking():
            offset: int | None = await self.consumer.committed(TopicPartition(self._topic, partition))
        return offset

    async def log(self, partition: int) -> LogRange:
        """Return which offsets the log holds. Raises Stopped."""
        at = TopicPartition(self._topic, partition)
        async with _asking():
            first, end = await self.consumer.beginning_offsets([at]), await self.consumer.end_offsets([at])
        return LogRange(first=int(first[at]), end=int(end[at]))

    async def waiting(self, partition: int, begin: int, end: int) -> frozenset[str] | None:
        """Return the streams that have records from ``begin``, below ``end``; None where one of them can't be read.

        The records are read whole, since a broker gives no keys alone. Raises Stopped.
        """
        if begin >= end:
            return frozenset()
        at = TopicPartition(self._topic, partition)
        reader = clients.reader(self._kafka)
        await clients.start(reader, self._kafka)
        try:
            reader.assign([at])
            reader.seek(at, begin)
            return await _keys(reader, at, end)
        except UnicodeDecodeError:  # aiokafka reads no header with such a name; a worker gets past it
            return None
        finally:
            await clients.stop(reader)


async def _keys(reader: AIOKafkaConsumer, at: TopicPartition, end: int) -> frozenset[str]:
    found: set[str] = set()
    while True:
        async with _asking():
            if await reader.position(at) >= end:
                return frozenset(found)
            batches = await reader.getmany(at, timeout_ms=POLL_MS)
        keys = [record.key for record in batches.get(at, []) if record.key is not None]
        found.update(key.decode(errors="replace") for key in keys)


@asynccontextmanager
async def standing(kafka: Kafka, topic: str, partitions: int) -> AsyncIterator[Standing]:
    """A look at where the group stands in a topic. Raises Stopped: there is no broker."""
    consumer = clients.member(kafka)
    await clients.start(consumer, kafka)
    try:
        every = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(every)
        consumer.pause(*every)  # it is asked for offsets only
        yield Standing(kafka, topic, consumer)
    finally:
        await clients.stop(consumer)


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ASK_S):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Stopped(f"the broker could not be asked: {type(error).__name__}") from error
