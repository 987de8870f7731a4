"""Reads a whole topic as it grows, outside of any group: for people who watch."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Literal

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from worker.errors import Stopped
from worker.kafka import admin, clients
from worker.records import Position, Received

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from aiokafka import AIOKafkaConsumer

    from worker.settings.tree import Kafka

POLL_MS = 200
START_S = 30.0

Since = Literal["earliest", "latest"]


@asynccontextmanager
async def following(kafka: Kafka, topic: str, *, since: Since) -> AsyncIterator[AsyncIterator[Received]]:
    """Give a topic's committed records without end, those of one partition in their order.

    Where ``latest`` is, is settled on entering. Partitions that are added later are not seen.

    Raises:
        Stopped: There is no broker, or no such topic, or it can't be read (any more).
    """
    topics = await admin.describe(kafka, [topic])
    if topic not in topics:
        raise Stopped(f"Kafka at {kafka.bootstrap_servers} has no topic {topic}: framewatch topics create makes it")
    consumer = clients.reader(kafka)
    await clients.start(consumer, kafka)
    try:
        partitions = [TopicPartition(topic, number) for number in range(topics[topic].partitions)]
        await _seek(consumer, partitions, since)
        async with aclosing(_records(consumer, topic)) as records:
            yield records
    finally:
        await clients.stop(consumer)


async def _seek(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since: Since) -> None:
    consumer.assign(partitions)
    seek = consumer.seek_to_beginning if since == "earliest" else consumer.seek_to_end
    try:
        async with asyncio.timeout(START_S):
            await seek(*partitions)
            for partition in partitions:
                await consumer.position(partition)
    except (KafkaError, TimeoutError) as error:
        raise Stopped(f"topic {partitions[0].topic} can't be read: {type(error).__name__}") from error


async def _records(consumer: AIOKafkaConsumer, topic: str) -> AsyncGenerator[Received, None]:
    while True:
        try:
            batches = await consumer.getmany(timeout_ms=POLL_MS)
        except OffsetOutOfRangeError as error:  # retention was quicker than we
            await consumer.seek_to_beginning(*error.args[0])
            continue
        except KafkaError as error:
            raise Stopped(f"topic {topic} can't be read: {type(error).__name__}") from error
        for records in batches.values():
            for record in records:
                position = Position(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    timestamp_ms=record.timestamp,
                )
                yield Received(position=position, key=record.key, value=record.value, headers=tuple(record.headers))
