"""Reads what a topic got in a span of time, outside of any group: for people who look back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from worker.errors import Stopped
from worker.kafka import admin, clients
from worker.records import Position, Received

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from datetime import datetime

    from aiokafka import AIOKafkaConsumer

    from worker.settings.tree import Kafka

POLL_MS = 500
SILENT_POLLS = 10
"""So many empty polls in a row end it: a transaction that is still open keeps its end out of reach."""
START_S = 30.0


@asynccontextmanager
async def between(kafka: Kafka, topic: str, begin: datetime, end: datetime) -> AsyncIterator[AsyncIterator[Received]]:
    """Give the committed records that a topic got from ``begin`` to ``end`` by the broker's time, of now at most.

    Those of one partition come in their order.

    Raises:
        Stopped: There is no broker, or no such topic, or it can't be read.
    """
    topics = await admin.describe(kafka, [topic])
    if topic not in topics:
        raise Stopped(f"Kafka at {kafka.bootstrap_servers} has no topic {topic}")
    consumer = clients.reader(kafka)
    await clients.start(consumer, kafka)
    try:
        partitions = [TopicPartition(topic, number) for number in range(topics[topic].partitions)]
        ends = await _seek(consumer, partitions, _ms(begin))
        async with aclosing(_records(consumer, ends, _ms(end))) as records:
            yield records
    finally:
        await clients.stop(consumer)


async def _seek(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], begin_ms: int
) -> dict[TopicPartition, int]:
    """Stand where each partition's span begins, and return the ends of those that have any of it."""
    consumer.assign(partitions)
    try:
        async with asyncio.timeout(START_S):
            firsts = await consumer.offsets_for_times(dict.fromkeys(partitions, begin_ms))
            ends = await consumer.end_offsets(partitions)
    except (KafkaError, TimeoutError) as error:
        raise Stopped(f"topic {partitions[0].topic} can't be read: {type(error).__name__}") from error
    wanted = {partition: first.offset for partition, first in firsts.items() if first is not None}
    consumer.assign(list(wanted))
    for partition, offset in wanted.items():
        consumer.seek(partition, offset)
    return {partition: ends[partition] for partition in wanted}


async def _records(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], until_ms: int
) -> AsyncGenerator[Received, None]:
    reading, silent = set(ends), 0
    while reading and silent < SILENT_POLLS:
        try:
            batches = await consumer.getmany(*reading, timeout_ms=POLL_MS)
            reading = {at for at in reading if await consumer.position(at) < ends[at]}
        except KafkaError as error:
            raise Stopped(f"the topic can't be read: {type(error).__name__}") from error
        silent = 0 if batches else silent + 1
        for at, records in batches.items():
            for record in records:
                if record.timestamp > until_ms:
                    reading.discard(at)
                    break
                yield Received(
                    position=Position(
                        topic=at.topic, partition=at.partition, offset=record.offset, timestamp_ms=record.timestamp
                    ),
                    key=record.key,
                    value=record.value,
                    headers=tuple(record.headers),
                )
        consumer.pause(*(set(ends) - reading))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
