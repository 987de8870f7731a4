"""One process of the latency benchmark: ``latency_child.py worker SETTINGS`` or ``latency_child.py echo SETTINGS``.

``worker`` is what ``framewatch run`` starts. ``echo`` is the floor: it reads a segment and does nothing with it but to
send one small record and wait for the acknowledgement. Its topics are ``<segments>-echo`` and
``<assessments>-echo``. SETTINGS are those of the worker, as JSON. Both end on SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import msgspec
from aiokafka import TopicPartition

from worker import app
from worker.kafka import clients
from worker.settings.tree import Settings

ECHO = "-echo"
PARTITIONS = 4


async def echo(settings: Settings) -> None:
    """Answer each segment with a record of its partition and offset; ends when it is cancelled."""
    consumer = clients.reader(settings.kafka)
    producer = clients.writer(settings.kafka)
    topic = settings.topics.segments + ECHO
    await producer.start()
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    await consumer.seek_to_beginning()
    try:
        async for record in consumer:
            where = f"{record.partition} {record.offset}".encode()
            await producer.send_and_wait(settings.topics.assessments + ECHO, where, key=record.key)
    finally:
        await consumer.stop()
        await producer.stop()


async def until_told(settings: Settings) -> None:
    """Echo until SIGTERM."""
    task = asyncio.create_task(echo(settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def main(what: str, settings: Settings) -> None:
    """Run as the one or the other."""
    logging.basicConfig(level=logging.WARNING)
    if what == "worker":
        app.run(settings)
    else:
        asyncio.run(until_told(settings))


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=Settings))
