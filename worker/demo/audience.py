"""Reads what the worker writes as an outside program would: three topics, read_committed, by the contract alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.demo.ledger import Escalated, Fate
from worker.kafka.follower import following
from worker.records import AssessmentReport
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from worker.demo.ledger import Ledger
    from worker.records import Received
    from worker.settings.tree import Settings


class Audience:
    """Keeps a show's ledger up to date. A repeat (same id) is dropped, as the contract asks of readers."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        """``settings`` are the worker's."""
        self._settings = settings
        self._ledger = ledger
        self._seen: set[tuple[str, str]] = set()

    async def read(self) -> None:
        """Read until cancelled. Raises Stopped when a topic can't be read."""
        topics = self._settings.topics
        readers: list[tuple[str, Callable[[Received], None]]] = [
            (topics.assessments, self._assessment),
            (topics.escalations, self._escalation),
            (topics.dead_letters, self._dead_letter),
        ]
        async with AsyncExitStack() as opened, asyncio.TaskGroup() as group:
            for topic, take in readers:
                records = await opened.enter_async_context(following(self._settings.kafka, topic, since="earliest"))
                group.create_task(self._each(records, take), name=f"read {topic}")

    async def _each(self, records: AsyncIterator[Received], take: Callable[[Received], None]) -> None:
        async for received in records:
            identity = (received.position.topic, read.identify(received).event_id or "")
            if identity not in self._seen:
                self._seen.add(identity)
                take(received)

    def _assessment(self, received: Received) -> None:
        report = read.read_assessment(received)
        if isinstance(report, AssessmentReport):
            fate = Fate(
                outcome=report.outcome,
                why=report.why,
                risk=report.risk,
                latency_s=_since(report.timings.appended_at),
                read_at_s=asyncio.get_running_loop().time(),
            )
            self._ledger.assess(report.event_id, fate)

    def _escalation(self, received: Received) -> None:
        incident = read.read_incident(received)
        change = (read.event_type(received) or "").split(".")[-2]
        self._ledger.escalate(
            Escalated(incident=incident, change=change, latency_s=_since(incident.timings.appended_at))
        )

    def _dead_letter(self, received: Received) -> None:
        self._ledger.letters.append(read.read_dead_letter(received))


def _since(moment: datetime | None) -> float | None:
    return None if moment is None else (datetime.now(UTC) - moment).total_seconds()
