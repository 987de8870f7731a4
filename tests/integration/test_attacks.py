"""Killed, stopped and cut off on a real broker, and records made to break the consumer."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
from collections import Counter

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from support import media
from support.cards import card, harmless
from support.deployment import deployed
from support.processes import processes

from worker.kafka import clients
from worker.records import Message
from worker.settings.tree import Kafka, Shutdown

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


async def outcomes(deployment, count: int) -> dict[tuple[str, int], tuple[str, float]]:
    """Outcome and risk of each segment, once each is told exactly once and its stream's are in order."""
    reports = await deployment.assessments(count)
    assert len(reports) == len({(report.partition, report.offset) for report in reports}) == count
    for stream in {report.stream_id for report in reports}:
        of_stream = [report.sequence for report in reports if report.stream_id == stream]
        assert of_stream == sorted(of_stream)
    return {(r.stream_id, r.sequence): (r.outcome, round(r.risk, 6)) for r in reports}


async def opened(deployment) -> Counter[str]:
    """How often each stream's incident was opened."""
    return Counter(i.stream_id for i in await deployment.incidents(1) if i.revision == 1)


async def test_a_killed_worker_changes_no_outcome(broker):
    """Three workers, one killed with work in its hands: outcomes, risks and incidents are those of a quiet run."""
    async with (
        deployed(broker, partitions=4, kafka=kafka(broker, "killed")) as deployment,
        processes(deployment, 3) as workers,
    ):
        await publish(deployment, range(12))
        await workers[0].kill()
        await publish(deployment, range(12, 25))
        disturbed = await outcomes(deployment, 25 * STREAMS), await opened(deployment)
    async with deployed(broker, partitions=4) as deployment, deployment.worker():
        await publish(deployment, range(25))
        quiet = await outcomes(deployment, 25 * STREAMS), await opened(deployment)
    assert disturbed == quiet
    assert set(quiet[1].values()) == {1}


async def test_a_worker_that_was_stopped_for_long_changes_nothing_when_it_goes_on(broker):
    """Another one has its partitions by then: what it still had in work is worked once, and it stays a member."""
    async with (
        deployed(broker, partitions=2, kafka=kafka(broker, "zombie")) as deployment,
        processes(deployment, 2) as (zombie, other),
    ):
        await other.says("partition works")
        await publish(deployment, range(5))
        zombie.signal(signal.SIGSTOP)
        await publish(deployment, range(5, 8))
        await outcomes(deployment, 8 * STREAMS)
        zombie.signal(signal.SIGCONT)
        await publish(deployment, range(8, 12))
        await outcomes(deployment, 12 * STREAMS)
        await zombie.says("assigned", times=2)
        zombie.signal(signal.SIGTERM)
        assert await zombie.end() == 0


async def test_a_broker_s_restart_under_load_loses_and_doubles_nothing(broker):
    """Partitions are taken again by the same process; nobody has to start it anew."""
    async with (
        deployed(broker, partitions=4, kafka=kafka(broker, "restart", send_deadline_s=5)) as deployment,
        processes(deployment, 1) as [worker],
    ):
        await publish(deployment, range(8))
        broker.restart()  # in this thread: the process dies with the thread that started it
        await publish(deployment, range(8, 12))
        await outcomes(deployment, 12 * STREAMS)
        worker.signal(signal.SIGTERM)
        assert await worker.end() == 0


async def test_impatient_signals_end_a_worker_at_once_and_lose_nothing(broker):
    """The second SIGTERM ends it; the other one does what it left."""
    async with (
        deployed(broker, partitions=2, kafka=kafka(broker, "impatient")) as deployment,
        processes(deployment, 2) as (hurried, _),
    ):
        await publish(deployment, range(6))
        hurried.signal(signal.SIGTERM)
        await hurried.says("draining")
        for _ in range(4):
            hurried.signal(signal.SIGTERM)
        assert await hurried.end() in (0, 1)
        await publish(deployment, range(6, 8))
        await outcomes(deployment, 8 * STREAMS)


async def test_a_worker_is_gone_within_its_grace_though_the_broker_is_silent(broker):
    """With work in its hands and a broker that accepts connections and answers nothing."""
    grace = Shutdown(grace_s=10)
    settings = kafka(broker, "silent")
    async with (
        deployed(broker, partitions=4, kafka=settings, shutdown=grace) as deployment,
        processes(deployment, 1) as [worker],
    ):
        await worker.says("partition works", times=4)
        await publish(deployment, range(4))
        broker.brokers[0].freeze()
        try:
            worker.signal(signal.SIGTERM)
            began = time.monotonic()
            await worker.end()
            took_s = time.monotonic() - began
        finally:
            broker.brokers[0].thaw()
        assert took_s < grace.grace_s, "\n".join([f"{took_s}", *worker.log[-12:]])


# --- records ---


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
