"""From a fault to a person: a real worker, Prometheus and Alertmanager, and the alert arrives at a webhook."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support import load, prometheus
from support.deployment import deployed
from support.kafka import free_ports
from support.processes import processes

from worker.settings.tree import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RULES = Path(__file__).parents[2] / "deploy" / "helm" / "framewatch" / "files" / "rules.yaml"
HURRY = 120
"""Two minutes of the rules are a second here."""


@asynccontextmanager
async def publishing(streams: load.Load, every_s: float) -> AsyncIterator[None]:
    """The platform publishes meanwhile."""
    going_on = asyncio.create_task(streams.go_on(every_s))
    try:
        yield
        assert not going_on.done()
    finally:
        going_on.cancel()
        await asyncio.wait({going_on})


async def test_a_flood_of_dead_letters_and_a_dead_worker_reach_the_webhook(broker, tmp_path):
    """Each alert comes with its severity and its runbook, the first is resolved when the fault is over."""
    prometheus.needed()
    port = free_ports(1)[0]
    rules = prometheus.hurried(RULES.read_text(), HURRY)
    target = {"framewatch": [f"127.0.0.1:{port}"]}
    async with (
        deployed(broker, web=Web(port=port)) as deployment,
        processes(deployment, 1) as (worker,),
        prometheus.alertmanager(tmp_path / "alertmanager") as (address, inbox),
        prometheus.prometheus(tmp_path / "prometheus", target, rules=rules, alertmanager=address) as prom,
    ):
        async with publishing(load.Load(deployment, rubbish=0), 0.5):
            await prom.until('sum(increase(framewatch_segments_total{outcome="assessed"}[10s])) > 10')
            assert not any("DeadLetter" in one["labels"]["alertname"] for one in inbox.alerts)
            async with publishing(load.Load(deployment, rubbish=20), 0.5):
                flood = await inbox.until("FramewatchDeadLetterFlood", "firing")
            await inbox.until("FramewatchDeadLetterFlood", "resolved")
        await worker.kill()
        gone = await inbox.until("FramewatchNoWorker", "firing")
    assert flood["labels"] | {"severity": "page", "namespace": "safety", "job": "framewatch"} == flood["labels"]
    assert flood["annotations"]["runbook_url"] == "docs/runbooks/dead-letters.md"
    assert "framewatch in safety" in flood["annotations"]["description"]
    assert gone["labels"]["severity"] == "page"
    assert "framewatch in safety" in gone["annotations"]["description"]
