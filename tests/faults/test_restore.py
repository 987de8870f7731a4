"""A new owner's memory from a real broker's changelog with history: many records of a key, tombstones, transactions."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from msgspec.structs import replace
from support.assessments import a_segment, an_assessment
from support.deployment import deployed
from support.faults.restoring import cost, restored

from worker.errors import Moved
from worker.kafka import clients
from worker.kafka.outlets import AT_ONCE
from worker.records import Message
from worker.settings.tree import Streams
from worker.streams.memory import advance
from worker.streams.state import VERSION, StreamState
from worker.streams.store import Store

if TYPE_CHECKING:
    from support.deployment import Deployment
    from support.faults.report import Measured, Scale

HISTORY = 3
RESTORED_WITHIN_S = 5.0
"""By the wall, on a machine with little else to do: what was spent waiting for a core is published beside it."""
STREAM_BYTES = 1536
"""RSS, with holes in the heap: its snapshot, with the digests of its last 64 segments, and its key."""
DAY_MS = 24 * 3600 * 1000


def a_full_stream() -> StreamState:
    """A stream that remembers its last 64 segments, without those to preserve (they are records of their own)."""
    state = StreamState(stream_id="s")
    for number in range(66):
        state, _ = advance(state, an_assessment(a_segment(number)), preserve_before_s=120.0)
    return replace(state, tail=(), older=b"")


def keep_history(deployment: Deployment) -> None:
    """The broker's cleaner leaves the risk topic alone."""
    settings = deployment.settings
    keep = {"min.compaction.lag.ms": DAY_MS, "max.compaction.lag.ms": 2 * DAY_MS}
    wanted = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET) for name, value in keep.items()
    ]
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 0})
    topic = ConfigResource(ConfigResource.Type.TOPIC, settings.topics.risk, incremental_configs=wanted)
    for done in admin.incremental_alter_configs([topic]).values():
        done.result(30.0)


def write(deployment: Deployment, store: Store, states: list[StreamState]) -> None:
    """What so many releases would have left on the risk topic."""
    settings = deployment.settings
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "transactional.id": settings.topics.risk,
            "batch.size": clients.BATCH_BYTES,
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


async def test_streams_are_restored_from_a_topic_with_history(broker, scale: Scale, measured: Measured):
    """A partition with 100,000 streams and three records of each, not compacted, is restored in seconds."""
    count = scale.pick(short=2000, full=100_000)
    full = a_full_stream()
    async with deployed(broker, partitions=2) as deployment:
        settings = deployment.settings
        keep_history(deployment)
        store = Store(Streams(max=10**6))
        for version in range(HISTORY):
            states = [replace(full, stream_id=f"live/channel-{n:07d}", viewers=version) for n in range(count)]
            await asyncio.to_thread(write, deployment, store, states)
        write(deployment, store, [replace(store.get("live/channel-0000007"), ended=True)])
        spent = await cost(settings.kafka, settings.topics)
        memory = await restored(settings.kafka, settings.topics)
    measured("restored", spent.streams, "streams")
    measured("in", spent.wall_s, f"s (load {os.getloadavg()[0]:.1f})")
    measured("of that waiting for a core", spent.queued_s, "s")
    measured("CPU", spent.cpu_s, "s")
    assert memory.state("live/channel-0000007") == StreamState(stream_id="live/channel-0000007")
    assert memory.state("live/channel-0000008") == store.get("live/channel-0000008")
    assert memory.state("live/channel-0000008").viewers == HISTORY - 1
    assert spent.streams == memory.census().streams == count - 1
    assert spent.size_bytes < 1200 * count
    if scale.full:  # of few streams the rest of the process is most of both
        measured("memory", round(spent.rss_bytes / count), "bytes a stream")
        assert spent.rss_bytes <= STREAM_BYTES * count
        assert spent.wall_s < RESTORED_WITHIN_S, spent


@pytest.mark.parametrize("damage", [b"\xc1", bytes([0x95, VERSION + 1, 0, 0, 0, 0])], ids=["damaged", "newer"])
async def test_a_damaged_or_newer_record_is_loud(broker, damage: bytes):
    """A record of the state that is damaged or a newer Framewatch's is found before the partition works."""
    async with deployed(broker, partitions=1) as deployment:
        store = Store(Streams())
        write(deployment, store, [replace(a_full_stream(), stream_id="good")])
        await deployment.send(_raw(deployment, b"bad", damage))
        with pytest.raises(Moved, match=r"damaged|newer Framewatch"):
            await restored(deployment.settings.kafka, deployment.settings.topics)


@pytest.mark.parametrize("count", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE])
async def test_the_end_is_found_behind_a_transactions_marker(broker, count: int):
    """State is read to its end also where the last that is there is no record, and nothing is waited for then."""
    async with deployed(broker, partitions=1) as deployment:
        write(deployment, Store(Streams()), [StreamState(stream_id=f"s{n}", viewers=1) for n in range(count)])
        async with asyncio.timeout(20):
            memory = await restored(deployment.settings.kafka, deployment.settings.topics)
    assert memory.census().streams == count


async def test_a_record_larger_than_a_fetch_is_read(broker):
    """A stream's segments to preserve may take more than is asked for at once."""
    large = bytes(3 * 1024 * 1024)
    async with deployed(broker, partitions=1) as deployment:
        await deployment.send(_raw(deployment, b"\xffshared\xff1", large))
        write(deployment, Store(Streams()), [StreamState(stream_id="s", init=b"1", viewers=1)])
        memory = await restored(deployment.settings.kafka, deployment.settings.topics)
    assert memory.initialisation("s") == large


def _raw(deployment: Deployment, key: bytes, value: bytes) -> Message:
    return Message(topic=deployment.settings.topics.risk, partition=0, key=key, value=value)
