"""The brokers that other tests stand on do what those tests believe of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.mock_cluster import mock_cluster

from worker.demo.broker import main, parse_topics
from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.kafka import Cluster


async def produce(bootstrap: str, topic: str, values: Sequence[bytes], *, transactional_id: str | None = None) -> None:
    """Writes values to partition 0, idempotently, in one transaction if it has an id."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        transactional_id=transactional_id,
        max_request_size=9 * 1024 * 1024,
    )
    async with producer:
        if transactional_id is None:
            for value in values:
                await producer.send_and_wait(topic, value, partition=0, headers=[("ce_id", b"1")])
        else:
            async with producer.transaction():
                # Awaited one by one: aiokafka commits a transaction although a record in it was refused.
                for value in values:
                    await producer.send_and_wait(topic, value, key=b"k", partition=0)


async def consume(bootstrap: str, topic: str, count: int, *, group: str | None) -> list[bytes]:
    """Reads so many values as the only member of a group, and commits them."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with asyncio.timeout(30), consumer:
        values = [(await consumer.getone()).value for _ in range(count)]
        await consumer.commit()
    return values


async def test_the_real_broker_takes_a_transaction_and_shows_it_to_a_group(broker: Cluster) -> None:
    """What one transaction wrote is read by a read_committed member."""
    broker.create_topics({"broker.transactions": 2}, config={"broker.transactions": {"cleanup.policy": "compact"}})
    await produce(broker.bootstrap_servers, "broker.transactions", [b"a", b"b"], transactional_id="broker.t")
    assert await consume(broker.bootstrap_servers, "broker.transactions", 2, group="broker.g") == [b"a", b"b"]


async def test_the_real_broker_takes_the_largest_inline_body(broker: Cluster) -> None:
    """A record of 8 MiB passes."""
    broker.create_topics({"broker.large": 1})
    await produce(broker.bootstrap_servers, "broker.large", [bytes(8 * 1024 * 1024)])
    [value] = await consume(broker.bootstrap_servers, "broker.large", 1, group="broker.large")
    assert len(value) == 8 * 1024 * 1024


async def test_the_embedded_broker_has_the_partitions_asked_for_and_serves_a_group() -> None:
    """The mock cluster serves an idempotent producer and one member of a group, and keeps its commit."""
    with mock_cluster({"a": 6, "b": 3}) as bootstrap:
        await produce(bootstrap, "a", [b"1", b"2"])
        assert await consume(bootstrap, "a", 2, group="g") == [b"1", b"2"]
        reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id="g", enable_auto_commit=False)
        async with reader:
            assert await reader.committed(TopicPartition("a", 0)) == 2
            await reader._client.force_metadata_update()
            assert [len(reader.partitions_for_topic(topic) or ()) for topic in ("a", "b")] == [6, 3]


def test_topics_are_read_as_name_and_partitions() -> None:
    """Spaces around a pair do not matter."""
    assert parse_topics("a:6, b.c:3") == {"a": 6, "b.c": 3}


@pytest.mark.parametrize("text", ["", "a", "a:", "a:0", "a:x", ":3", "a:1,a:2", "a:-1"])
def test_a_mistake_in_topics_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no list of name:partitions is a mistake in use, told in one line with status 2."""
    with pytest.raises(UsageError):
        parse_topics(text)
    assert main(["--topics", text]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
