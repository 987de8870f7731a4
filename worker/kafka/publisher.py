"""A producer for commands that publish: one message at a time, acknowledged within a deadline."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.errors import IllegalOperation, KafkaError

from worker.errors import Stopped
from worker.kafka import admin, clients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaProducer

    from worker.records import Message
    from worker.settings.tree import Kafka


class Publisher:
    """Sends messages in order; made by ``publisher``."""

    def __init__(self, kafka: Kafka, producer: AIOKafkaProducer) -> None:
        """``producer`` is idempotent and has been started."""
        self._kafka = kafka
        self._producer = producer

    async def send(self, message: Message) -> None:
        """Return when the broker has the message.

        Raises:
            Stopped: It has refused it, or did not say so within ``kafka.send_deadline_s``. Nothing may be sent after
                that: an idempotent producer's count is off for good.
        """
        try:
            async with asyncio.timeout(self._kafka.send_deadline_s):
                await asyncio.gather(*await clients.send(self._producer, [message]))
        except TimeoutError as error:
            within = f"within {self._kafka.send_deadline_s:g} s"
            raise Stopped(f"Kafka at {self._kafka.bootstrap_servers} has not acknowledged {within}") from error
        except (KafkaError, IllegalOperation, OSError) as error:
            raise Stopped(f"Kafka at {self._kafka.bootstrap_servers} refused: {type(error).__name__}") from error


@asynccontextmanager
async def publisher(kafka: Kafka, topic: str) -> AsyncIterator[Publisher]:
    """A publisher for a topic that is there.

    Raises:
        Stopped: There is no broker, or the topic isn't there (a producer would wait for it).
    """
    if topic not in await admin.describe(kafka, [topic]):
        raise Stopped(f"Kafka at {kafka.bootstrap_servers} has no topic {topic}: framewatch topics create makes it")
    producer = clients.writer(kafka)
    await clients.start(producer, kafka)
    try:
        yield Publisher(kafka, producer)
    finally:
        await clients.stop(producer)
