"""The floor of bytes in: a process that reads a topic as a worker does, and does nothing with it. Ends on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import msgspec
from aiokafka import TopicPartition
from msgspec import Struct

from worker.kafka import clients
from worker.settings.tree import Kafka

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

BATCH = 64
POLL_MS = 200


class Reading(Struct, frozen=True, kw_only=True):
    """What the process is told."""

    kafka: Kafka
    topic: str
    partitions: int


def main(plan: bytes) -> None:
    """Read from the topic's end on, until SIGTERM."""
    asyncio.run(_read(msgspec.json.decode(plan, type=Reading)))


async def _read(reading: Reading) -> None:
    consumer = clients.reader(reading.kafka)
    await consumer.start()
    consumer.assign([TopicPartition(reading.topic, number) for number in range(reading.partitions)])
    await consumer.seek_to_end()
    task = asyncio.create_task(_go_on(consumer))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait({task})
    await consumer.stop()
    if not task.cancelled():
        task.result()


async def _go_on(consumer: AIOKafkaConsumer) -> None:
    while True:
        await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
