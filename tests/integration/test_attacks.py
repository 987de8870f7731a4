"""Records made to break the consumer, and a producer cut off. What dies or falls silent is in tests/faults."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from support import media
from support.cards import card, harmless
from support.deployment import deployed

from worker.kafka import clients
from worker.records import Message
from worker.settings.tree import Kafka

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))
RISKY = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: card(90, 160))
STREAMS = 12


def kafka(broker, group: str, **more: object) -> Kafka:
    """A group whose dead are noticed soon."""
    return Kafka(bootstrap_servers=broker.bootstrap_servers, group_id=group, session_timeout_s=2, **more)


async def publish(deployment, sequences: range) -> None:
    """Every third stream is risky."""
    for sequence in sequences:
        payloads = {f"s{n}": QUIET if n % 3 else RISKY for n in range(STREAMS)}
        await deployment.send(*(deployment.segment(s, payload, sequence=sequence) for s, payload in payloads.items()))


def unreadable(topic: str) -> ProduceRequest:
    """A record with a header whose name is no UTF-8, which the broker takes from anybody."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=65536,
    )
    builder.append(0, 1, b"s", b"value", [("kk", b"v")])
    batch = bytearray(bytes(builder.build()).replace(b"kk", b"\xff\xfe"))
    batch[17:21] = struct.pack(">I", calc_crc32c(bytes(batch[21:])))
    return ProduceRequest(None, -1, 10_000, [(topic, [(0, bytes(batch))])])


async def test_a_record_that_the_client_can_not_parse_is_a_dead_letter(broker):
    """It stands between good ones on two partitions: each has its one outcome, the worker goes on."""
    async with deployed(broker, partitions=2) as deployment:
        topic = deployment.settings.topics.segments
        await publish(deployment, range(2))
        for _ in range(2):
            client = deployment._producer.client
            await client.send(client.get_random_node(), unreadable(topic))
        await publish(deployment, range(2, 4))
        async with deployment.worker():
            reports = await deployment.assessments(4 * STREAMS + 2)
            letters = await deployment.dead_letters(2)
    assert Counter(report.outcome for report in reports) == {"assessed": 4 * STREAMS, "dead_lettered": 2}
    assert len({(report.partition, report.offset) for report in reports}) == 4 * STREAMS + 2
    assert [letter.stage for letter in letters] == ["wire", "wire"]


async def test_compressed_segments_are_read(broker):
    """A publisher may compress as Kafka's clients do."""
    codecs = ("gzip", "snappy", "lz4", "zstd")
    async with deployed(broker, partitions=1) as deployment, deployment.worker():
        for n, codec in enumerate(codecs):
            message = deployment.segment("s", QUIET, sequence=n)
            async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, compression_type=codec) as producer:
                await producer.send_and_wait(
                    message.topic, message.value, key=message.key, headers=list(message.headers)
                )
        reports = await deployment.assessments(len(codecs))
    assert [report.outcome for report in reports] == ["assessed"] * len(codecs)


async def test_a_producer_that_was_cut_off_sends_nothing_when_the_broker_is_back(broker):
    """Its successor has written newer state by then: older state behind it would win."""
    settings = kafka(broker, "cut-off")
    broker.create_topics({"cut-off": 1})
    producer = clients.writer(settings)
    await producer.start()
    await clients.send(producer, [Message(topic="cut-off", key=b"k", value=b"0", partition=0)])
    await producer.flush()
    broker.brokers[0].freeze()
    try:
        await clients.send(producer, [Message(topic="cut-off", key=b"k", value=b"in flight", partition=0)])
        async with asyncio.timeout(10):
            while not producer._sender._in_flight:
                await asyncio.sleep(0.02)
        await clients.send(producer, [Message(topic="cut-off", key=b"k", value=b"waiting", partition=0)])
        assert await clients.stop(producer) is False
    finally:
        broker.brokers[0].thaw()
    reader = clients.reader(settings)
    await reader.start()
    reader.assign([TopicPartition("cut-off", 0)])
    await reader.seek_to_beginning()
    found = []
    while batches := await reader.getmany(timeout_ms=2000):
        found += [record.value for batch in batches.values() for record in batch]
    await reader.stop()
    assert b"0" in found
    assert b"waiting" not in found
