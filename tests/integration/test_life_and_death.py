"""How a worker begins and ends on a real broker: stopped while it starts, parked, halted, with a weaker guarantee."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from support import media
from support.cards import harmless
from support.deployment import deployed
from support.processes import WorkerProcess

from worker.app import Worker
from worker.loaded import Loaded
from worker.settings.tree import Intake, Kafka

QUIET = media.make_segment(width=160, height=90, seconds=1.0, picture=lambda _: harmless(90, 160, 1))


def children() -> set[str]:
    """Processes that this one has started and not yet reaped."""
    return {
        pid for task in Path(f"/proc/{os.getpid()}/task").iterdir() for pid in (task / "children").read_text().split()
    }


@pytest.mark.parametrize("pauses", [0, 1, 3, 10])
async def test_a_worker_that_is_stopped_while_it_starts_ends_at_once_and_leaves_nothing(broker, pauses):
    """Wherever in its start it is: it does not join a group in order to leave it."""
    before = children()
    async with deployed(broker, partitions=1) as deployment:
        worker = Worker(deployment.settings, Loaded(deployment.settings))
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(20):
            for _ in range(pauses):
                await asyncio.sleep(0.05)
            worker.stop()
            await running
    assert children() == before


async def test_what_is_weaker_without_transactions_is_said_at_start(broker):
    """In one line, before anything is consumed."""
    link = Kafka(bootstrap_servers=broker.bootstrap_servers, group_id="weaker", guarantee="at_least_once")
    async with deployed(broker, partitions=1, kafka=link) as deployment:
        worker = await WorkerProcess.start(deployment)
        await worker.says("worker started")
        await worker.kill()
    assert sum("at_least_once" in line and "repeats them" in line for line in worker.log) == 1


async def rewound(deployment, offset: int) -> None:
    """Somebody moves the group's offset of partition 0."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.settings.kafka.bootstrap_servers,
        group_id=deployment.settings.kafka.group_id,
        enable_auto_commit=False,
    )
    async with consumer:
        consumer.assign([TopicPartition(deployment.settings.topics.segments, 0)])
        await consumer.commit({TopicPartition(deployment.settings.topics.segments, 0): offset})


async def test_a_rewound_partition_stands_still_until_told_and_the_other_goes_on(broker):
    """Readiness says what to do; with the setting it is worked again from where the offset was put."""
    async with deployed(broker, partitions=2) as deployment:
        for n in range(4):
            messages = [deployment.segment(f"s{stream}", QUIET, sequence=n) for stream in range(8)]
            await deployment.send(*messages)
        async with deployment.worker():
            reports = await deployment.assessments(32)
        on_first = sum(report.partition == 0 for report in reports)
        await rewound(deployment, 1)
        await deployment.send(*(deployment.segment(f"s{stream}", QUIET, sequence=4) for stream in range(8)))
        async with deployment.worker() as worker:
            await deployment.assessments(40 - on_first // 4)
            assert worker.partitions == {1}
            assert "intake.on_rewind" in worker._consuming.parked[0]
        settings = replace(deployment.settings, intake=Intake(on_rewind="reprocess"))
        told = Worker(settings, Loaded(settings))
        running = asyncio.create_task(told.run())
        reports = await deployment.assessments(40 + on_first - 1)
        told.stop()
        await running
    assert len(reports) == 40 + on_first - 1
