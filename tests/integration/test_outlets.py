"""A partition's way out on a real broker: all of a release or nothing of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from support.deployment import deployed

from worker.errors import PartitionLost
from worker.kafka import admin, clients
from worker.kafka.outlets import TransactionalOutlet
from worker.records import Message
from worker.topics import Topic


@asynccontextmanager
async def outlets(deployment, count: int):
    """So many owners of partition 0, none of them open."""
    settings = deployment.settings
    consumer = clients.member(settings.kafka)
    consumer.subscribe([settings.topics.segments])
    await consumer.start()
    # aiokafka leaks a connection that is being made when its client stops: let it settle first.
    async with asyncio.timeout(30):
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=50)
    made = [TransactionalOutlet(settings.kafka, settings.topics, 0, consumer) for _ in range(count)]
    try:
        yield made
    finally:
        for outlet in made:
            await outlet.close()
        await consumer.stop()


def state(deployment, value: bytes, key: bytes = b"k") -> Message:
    """A record for the risk topic."""
    return Message(topic=deployment.settings.topics.risk, key=key, value=value, partition=0)


async def test_a_record_that_the_broker_refuses_commits_nothing(broker):
    """Where one message of a release is too large for its topic, neither the others nor the offset are there."""
    async with deployed(broker, partitions=1) as deployment, outlets(deployment, 2) as (first, second):
        await first.open()
        await first.release([state(deployment, b"before")], 1)
        small = Topic(name="small", partitions=1, config={"max.message.bytes": "1000"})
        await admin.create(deployment.settings.kafka, [small], replication=1)
        refused = Message(topic="small", key=b"s", value=bytes(5000))
        with pytest.raises(PartitionLost):
            await first.release([state(deployment, b"with it"), refused], 2)
        assert await second.open() == 1
        assert [value async for _, value in second.changelog()] == [b"before"]


async def test_a_former_owner_is_fenced_and_its_transaction_ended(broker):
    """Opening a second outlet ends what the first one had begun; the first one's next release is lost."""
    async with deployed(broker, partitions=1) as deployment, outlets(deployment, 2) as (first, second):
        assert await first.open() is None
        await first.release([state(deployment, b"one")], 5)
        assert await second.open() == 5
        with pytest.raises(PartitionLost):
            await first.release([state(deployment, b"two")], 6)
        await second.release([state(deployment, b"three")], 7)
        assert [value async for _, value in second.changelog()] == [b"one", b"three"]


async def test_a_changelog_with_history_is_read_to_its_end(broker):
    """Thousands of records, markers of transactions and tombstones among them, come back in order."""
    async with deployed(broker, partitions=1) as deployment, outlets(deployment, 1) as (outlet,):
        await outlet.open()
        for batch in range(5):
            await outlet.release(
                [state(deployment, b"%d" % n, b"k%d" % n) for n in range(batch * 900, batch * 900 + 900)], 0
            )
        tombstone = Message(topic=deployment.settings.topics.risk, key=b"k1", value=None, partition=0)
        await outlet.release([tombstone], 1)
        read = [(key, value) async for key, value in outlet.changelog()]
    assert [key for key, _ in read] == [b"k%d" % n for n in range(4500)] + [b"k1"]
    assert read[-1] == (b"k1", None)
