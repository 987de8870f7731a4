"""Faults at a real worker, and the alerts that a real Prometheus makes of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from support import load, prometheus
from support.deployment import deployed
from support.faults.pace import time_passes
from support.kafka import free_ports

from worker.records import Reference
from worker.settings.tree import Fetch, Root, Web

RULES = Path(__file__).parents[2] / "deploy" / "helm" / "framewatch" / "files" / "rules.yaml"
HURRY = 120
"""Two minutes of the rules are a second here."""
EXPECTED = {
    "FramewatchCoverageBurnsFast",
    "FramewatchDeadLetterFlood",
    "FramewatchPartitionStandsStill",
    "FramewatchStoreAway",
}


async def move_offset(deployment, partition: int, offset: int) -> None:
    """Somebody moves the group's offset of a partition while no worker runs."""
    kafka, topic = deployment.settings.kafka, deployment.settings.topics.segments
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=kafka.group_id, enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, partition)])
        await consumer.commit({TopicPartition(topic, partition): offset})


async def go_wrong(deployment, streams: load.Load) -> None:
    """Streams of rubbish, and for each partition some that points to a store that nobody answers for."""
    rounds = 0
    while True:
        away = Reference(uri=f"{deployment.settings.fetch.roots[0].uri}{rounds}.ts")
        await deployment.send(*(deployment.segment(f"away-{n}", away, sequence=rounds) for n in range(6)))
        await streams.round()
        rounds += 1
        await time_passes(0.5)


async def test_faults_of_a_real_worker_fire_their_alerts(broker, tmp_path):
    """A moved offset, a store that is away and streams of rubbish are each told by name."""
    prometheus.needed()
    port, nobody = free_ports(2)
    store = Root(uri=f"http://127.0.0.1:{nobody}/", private=True, plaintext=True)
    settings = {"web": Web(port=port), "fetch": Fetch(roots=(store,))}
    rules = prometheus.hurried(RULES.read_text(), HURRY)
    target = {"framewatch": [f"127.0.0.1:{port}"]}
    async with deployed(broker, partitions=2, **settings) as deployment:
        streams = load.Load(deployment, rubbish=20)
        await streams.round()
        async with deployment.worker():
            committed = await deployment.assessments(27)
        moved = next(report.partition for report in committed if report.offset > 0)
        await move_offset(deployment, moved, 1)
        async with prometheus.prometheus(tmp_path / "prometheus", target, rules=rules) as prom, deployment.worker():
            publishing = asyncio.create_task(go_wrong(deployment, streams))
            found: set[str] = set()

            async def all_told() -> bool:
                found.update(await prom.alerts())
                return found >= EXPECTED

            try:
                await prometheus.eventually(all_told, lambda: f"only {found}")
            finally:
                publishing.cancel()
                await asyncio.wait({publishing})
