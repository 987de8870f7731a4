"""Clients with every setting that aiokafka's defaults get wrong for this job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from worker.errors import Stopped
from worker.kafka import diagnosis, security

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from worker.records import Message
    from worker.settings.tree import Kafka

TRANSACTION_TIMEOUT_MS = 10_000
"""A release is open for some 5 ms; a kill inside it holds read_committed readers for at most so long."""
RECORD_OVERHEAD_BYTES = 64 * 1024
"""Room for a record's key, headers and framing above ``max_message_bytes``."""
BATCH_BYTES = 256 * 1024
"""A partition's batches go one after the other: with aiokafka's 16 KiB a release of 1,000 streams takes a hundred. To a
topic a batch is one message: its max.message.bytes is a MiB by default."""
FETCH_BYTES = 8 * 1024 * 1024
"""Of all partitions at once, in one answer: what the processor's caches hold. A backlog of 579 kB segments took 0.62 ms
of CPU each to read, 0.89 ms with answers of 32 MiB and 0.9 to 1.0 ms with one segment in each."""
STOP_S = 1.5
"""How long closing a client may take; aiokafka waits for a broker that is gone for ever."""
CUT_S = 0.2
"""How long each step of cutting it off may take then."""


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _common(kafka: Kafka) -> dict[str, Any]:
    # A request must outlive a rebalance, since JoinGroup waits for the slowest member.
    return {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.instance_id or "framewatch",
        "request_timeout_ms": _ms(kafka.rebalance_timeout_s + 5),
        "metadata_max_age_ms": 60_000,
        "retry_backoff_ms": 100,
        **security.arguments(kafka),
    }


def _reader(kafka: Kafka, fetch_bytes: int | None = None, **more: Any) -> AIOKafkaConsumer:
    largest = fetch_bytes or kafka.max_message_bytes + RECORD_OVERHEAD_BYTES
    consumer = AIOKafkaConsumer(
        **_common(kafka),
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=largest,
        fetch_max_bytes=max(largest, FETCH_BYTES),
        fetch_max_wait_ms=100,
        **more,
    )
    security.rereading(consumer._client, kafka)  # noqa: SLF001 - the consumer has no other way to it
    return consumer


def member(kafka: Kafka) -> AIOKafkaConsumer:
    """Return a consumer that is to join the group; it has subscribed to nothing yet.

    RangePartitionAssignor keeps equal partition numbers of two topics together. Offsets are ours: auto-commit off, and
    ``none`` instead of a reset that would jump silently over what retention deleted.
    """
    return _reader(
        kafka,
        group_id=kafka.group_id,
        group_instance_id=kafka.instance_id or None,
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=_ms(kafka.session_timeout_s),
        heartbeat_interval_ms=min(3000, _ms(kafka.session_timeout_s / 3)),
        rebalance_timeout_ms=_ms(kafka.rebalance_timeout_s),
        max_poll_interval_ms=_ms(max(kafka.rebalance_timeout_s * 5, 300)),
    )


def reader(kafka: Kafka, *, fetch_bytes: int | None = None) -> AIOKafkaConsumer:
    """Return a read_committed consumer outside of any group, for topics that are read by assignment.

    ``fetch_bytes`` is how much of a partition is asked for at once; a larger record comes too, alone (KIP-74). Without
    it as much as the largest record takes.
    """
    return _reader(kafka, fetch_bytes, group_id=None)


def writer(kafka: Kafka, *, transactional_id: str | None = None) -> AIOKafkaProducer:
    """Return an idempotent producer; with an id, a transactional one.

    An idempotent producer never gives a batch up by itself: callers put a deadline around each send.
    """
    producer = AIOKafkaProducer(
        **_common(kafka),
        enable_idempotence=True,
        acks="all",
        max_request_size=kafka.max_message_bytes + RECORD_OVERHEAD_BYTES,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        compression_type=None,
        max_batch_size=BATCH_BYTES,
        linger_ms=0,
    )
    security.rereading(producer.client, kafka)
    return producer


async def send(producer: AIOKafkaProducer, messages: Iterable[Message]) -> list[asyncio.Future[Any]]:
    """Hand messages to a producer in order; the futures are done when the broker has them."""
    return [
        await producer.send(
            message.topic,
            message.value,
            key=message.key,
            partition=message.partition,
            headers=list(message.headers),
        )
        for message in messages
    ]


async def start(client: AIOKafkaConsumer | AIOKafkaProducer, kafka: Kafka) -> None:
    """Start a client or end with one line that names the broker; a client that failed is closed."""
    try:
        async with asyncio.timeout(30):
            await begin(client)
    except diagnosis.FAILURES as error:
        await stop(client)
        otherwise = f"no Kafka broker at {kafka.bootstrap_servers}: {type(error).__name__}"
        raise Stopped(await diagnosis.failed(kafka, error, otherwise)) from error


async def begin(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Start a client; where that is cancelled, wait within a bound until it has ended by itself.

    aiokafka leaves a connection behind that is being made when its start is cancelled.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=STOP_S)
        if not starting.cancel():
            starting.exception()  # told to nobody: who cancelled does not wait for it
        raise


async def stop(client: AIOKafkaConsumer | AIOKafkaProducer) -> bool:
    """Close a client within a bound, whatever the broker does; False when it had to be cut off.

    aiokafka's own stop waits for ever for what can't be sent any more, and leaves tasks and connections behind when it
    is cancelled: then they are closed one by one.
    """
    ended = await _ends(client.stop(), STOP_S)
    if not ended:
        for part in _parts(client):
            await _ends(part.close(), CUT_S)
    _take_note_of_transaction(client)
    return ended


def _take_note_of_transaction(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Keep asyncio from logging why a transaction ended: whoever released it was told."""
    transactions = client._txn_manager if isinstance(client, AIOKafkaProducer) else None  # noqa: SLF001 - see above
    end = transactions.wait_for_transaction_end() if transactions else None
    if end is not None and end.done() and not end.cancelled():
        end.exception()


def _parts(client: AIOKafkaConsumer | AIOKafkaProducer) -> list[Any]:
    if isinstance(client, AIOKafkaProducer):
        parts = [client._sender, client.client]  # noqa: SLF001 - see above
    else:
        parts = [client._coordinator, client._fetcher, client._client]  # noqa: SLF001 - see above
    return [part for part in parts if part is not None]


async def _ends(work: Coroutine[Any, Any, Any], within_s: float) -> bool:
    """Return whether something ended well within the bound; it is cancelled else."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=within_s)
    finally:
        cut_off = task.cancel()
    if cut_off:
        await asyncio.wait({task}, timeout=CUT_S)
        return False
    return not task.cancelled() and task.exception() is None
