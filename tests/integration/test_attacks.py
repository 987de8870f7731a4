"""Killed, stopped and cut off on a real broker, and records made to break the consumer."""

from __future__ import annotations

import asyncio
import signal
import struct
import time
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from support import media
from support.cards import card, harmless
from support.deployment import deployed
from support.processes import WorkerProcess, processes

from worker.kafka import clients
from worker.records import Message
from worker.settings.tree import Intake, Kafka, Shutdown

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
    found = []
    for disturbed in (False, True):
        async with deployed(broker, partitions=4, kafka=kafka(broker, f"killed-{disturbed}")) as deployment:
            async with processes(deployment, 3 if disturbed else 1) as workers:
                await publish(deployment, range(12))
                if disturbed:
                    await workers[0].kill()
                await publish(deployment, range(12, 25))
                found.append((await outcomes(deployment, 25 * STREAMS), await opened(deployment)))
    assert found[0] == found[1]
    assert set(found[0][1].values()) == {1}
