"""Whether a broker's transactions work, found out without touching anything that a worker has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from worker.errors import Stopped
from worker.kafka import clients

if TYPE_CHECKING:
    from worker.settings.tree import Kafka


async def transactions(kafka: Kafka, transactional_id: str, *, timeout_s: float) -> None:
    """Start a transactional producer, begin a transaction, and abort it with nothing in it.

    ``transactional_id`` must be nobody else's: starting its producer fences whoever has the same.

    Raises:
        Stopped: The broker refused, or had not answered in time.
    """
    producer = clients.writer(kafka, transactional_id=transactional_id)
    try:
        async with asyncio.timeout(timeout_s):
            await producer.start()
            await producer.begin_transaction()
            await producer.abort_transaction()
    except TimeoutError as error:
        raise Stopped(f"the broker's transaction coordinator has not answered within {timeout_s:g} s") from error
    except (KafkaError, OSError) as error:
        raise Stopped(f"the broker refused: {type(error).__name__}") from error
    finally:
        await clients.stop(producer)
