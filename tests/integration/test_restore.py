"""A new owner's memory from a real broker's changelog with history: many records of a key, tombstones, transactions."""

from __future__ import annotations

import os
import time

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace
from support.assessments import a_segment, an_assessment
from support.deployment import deployed

from worker.errors import Moved
from worker.kafka import clients
from worker.kafka.outlets import TransactionalOutlet
from worker.partition.memory import Memory
from worker.records import LogRange, Message
from worker.settings.tree import Streams
from worker.streams.memory import advance
from worker.streams.state import StreamState
from worker.streams.store import Store

STREAMS = int(os.environ.get("FRAMEWATCH_TEST_RESTORE_STREAMS", "2000"))
HISTORY = 3
RESTORED_WITHIN_S = 5.0
"""For 100,000 streams, on a machine with nothing else to do: looked at where the variable asks for so many."""
FULL = 100_000


def a_full_stream() -> StreamState:
    """A stream that remembers its last 64 segments, without those to preserve (they are records of their own)."""
    state = StreamState(stream_id="s")
    for number in range(66):
        state, _ = advance(state, an_assessment(a_segment(number)), preserve_before_s=120.0)
    return replace(state, tail=(), older=b"")


def write(deployment, store: Store, states: list[StreamState]) -> None:
    """What so many releases would have left on the risk topic."""
    settings = deployment.settings
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "transactional.id": settings.topics.risk,
            "linger.ms": 5,
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    for at in range(0, len(states), 1000):
        for state in states[at : at + 1000]:
            store.put(state)
        store.pack(())
        producer.begin_transaction()
        for key, value in store.take():
            producer.produce(settings.topics.risk, value, key=key, partition=0)
        producer.commit_transaction(30)


async def restored(deployment) -> tuple[Memory, float, float]:
    """A new owner's memory, and how many seconds it took by the wall and of our CPU."""
    settings = deployment.settings
    consumer = clients.member(settings.kafka)
    outlet = TransactionalOutlet(settings.kafka, settings.topics, 0, consumer)
    memory = Memory(topic=settings.topics.risk, partition=0, on_rewind="stop", limits=Streams(max=10**6))
    started_s, cpu_s = time.perf_counter(), time.process_time()
    try:
        async for key, value in outlet.changelog():
            memory.learn(key, value)
        memory.agree(None, LogRange(first=0, end=0))
    finally:
        await consumer.stop()
    return memory, time.perf_counter() - started_s, time.process_time() - cpu_s


async def test_streams_are_restored_from_a_topic_with_history(broker):
    """The newest snapshot of each counts, what was forgotten stays forgotten; the whole number in seconds."""
    full = a_full_stream()
    async with deployed(broker, partitions=1) as deployment:
        store = Store(Streams(max=10**6))
        for version in range(HISTORY):
            write(
                deployment,
                store,
                [replace(full, stream_id=f"live/channel-{n:07d}", viewers=version) for n in range(STREAMS)],
            )
        write(deployment, store, [replace(store.get("live/channel-0000007"), ended=True)])
        memory, seconds, cpu_s = await restored(deployment)
    assert memory.census().streams == STREAMS - 1
    assert memory.census().size_bytes < 1300 * STREAMS
    assert memory.state("live/channel-0000007") == StreamState(stream_id="live/channel-0000007")
    assert memory.state("live/channel-0000008") == store.get("live/channel-0000008")
    assert memory.state("live/channel-0000008").viewers == HISTORY - 1
    if STREAMS >= FULL:
        assert seconds < RESTORED_WITHIN_S, f"{STREAMS} streams took {seconds:.1f} s, {cpu_s:.1f} s of CPU"


@pytest.mark.parametrize("damage", [b"\xc1", b"\x95\x03\x00\x00\x00\x00"])
async def test_a_damaged_or_newer_record_is_loud(broker, damage):
    """It is found before the partition works, and the line says which setting decides."""
    async with deployed(broker, partitions=1) as deployment:
        store = Store(Streams())
        write(deployment, store, [replace(a_full_stream(), stream_id="good")])
        await deployment.send(_raw(deployment, b"bad", damage))
        with pytest.raises(Moved, match=r"damaged|newer Framewatch"):
            await restored(deployment)


def _raw(deployment, key: bytes, value: bytes) -> Message:
    return Message(topic=deployment.settings.topics.risk, partition=0, key=key, value=value)
