"""What a read_committed reader is told, and what it would have been told had nothing gone wrong."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from support.deployment import Deployment

from worker.records import AssessmentReport, Position, Received
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import ConsumerRecord

    from worker.records import Incident

PATIENCE_S = 120.0
"""How long no outcome may come before a reader gives up."""
SHOWN = 12
"""Differences that are shown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a segment."""

    stream_id: str | None
    sequence: int | None
    outcome: str
    why: str | None
    risk: float | None
    at_ms: int = field(compare=False)
    """When its assessment was written, by the worker's clock."""
    appended_ms: int | None = field(compare=False)
    """When its segment was."""


@dataclass(frozen=True, slots=True)
class Revision:
    """What one escalation said, but for what depends on the time of day."""

    stream_id: str
    revision: int
    state: str
    closed_why: str | None
    severity: str
    sequence: int | None
    risk: float


@dataclass(slots=True)
class Told:
    """All that was read so far. ``doubled`` and ``disordered`` are empty where all is well."""

    outcomes: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    """By partition and offset."""
    incidents: defaultdict[str, list[Revision]] = field(default_factory=lambda: defaultdict(list))
    """By incident id, in the order in which they were read."""
    final_risk: dict[str, float | None] = field(default_factory=dict)
    """By stream: of its newest segment."""
    doubled: list[str] = field(default_factory=list)
    """Outcomes and revisions that were told before."""
    disordered: list[str] = field(default_factory=list)
    """Outcomes that came after that of a later segment of their stream."""
    _sequences: dict[str, int] = field(default_factory=dict)

    def learn_outcome(self, report: AssessmentReport, at_ms: int) -> None:
        """Take in one assessment."""
        place = (report.partition, report.offset)
        if place in self.outcomes:
            self.doubled.append(f"{place}: {report.outcome} after {self.outcomes[place].outcome}")
        risk = None if report.risk is None else round(report.risk, 6)
        appended = report.timings.appended_at
        appended_ms = None if appended is None else round(appended.timestamp() * 1000)
        told = (report.stream_id, report.sequence, report.outcome, report.why, risk)
        self.outcomes[place] = Outcome(*told, at_ms=at_ms, appended_ms=appended_ms)
        if report.stream_id is not None:
            self._follow(report.stream_id, report.sequence, risk)

    def _follow(self, stream_id: str, sequence: int | None, risk: float | None) -> None:
        if sequence is not None:
            newest = self._sequences.get(stream_id, -1)
            if sequence <= newest:
                self.disordered.append(f"{stream_id}: {sequence} after {newest}")
            self._sequences[stream_id] = sequence
        self.final_risk[stream_id] = risk

    def learn_incident(self, incident: Incident) -> None:
        """Take in one escalation."""
        known = self.incidents[incident.incident_id]
        if any(one.revision >= incident.revision for one in known):
            self.doubled.append(f"incident {incident.incident_id}: revision {incident.revision} again")
        known.append(
            Revision(
                stream_id=incident.stream_id,
                revision=incident.revision,
                state=incident.state,
                closed_why=incident.closed_why,
                severity=incident.severity,
                sequence=incident.sequence,
                risk=round(incident.risk.value, 6),
            )
        )

    def check(self, count: int) -> None:
        """Assert that so many segments have one outcome each, in order per stream."""
        assert self.doubled == []
        assert self.disordered == []
        assert len(self.outcomes) == count


class Reader:
    """Reads assessments and escalations on and on."""

    def __init__(self, deployment: Deployment, consumer: AIOKafkaConsumer) -> None:
        self._topics = deployment.settings.topics
        self._consumer = consumer
        self.told = Told()

    async def until(self, count: int, *, patience_s: float = PATIENCE_S) -> Told:
        """Read until so many segments have an outcome, and on to the end; fail when none comes for so long."""
        loop = asyncio.get_running_loop()
        last, known = loop.time(), -1
        while len(self.told.outcomes) < count:
            if len(self.told.outcomes) > known:
                last, known = loop.time(), len(self.told.outcomes)
            assert loop.time() - last < patience_s, f"{known} of {count} outcomes, none for {patience_s:.0f} s"
            await self.read()
        await self.to_the_end()
        return self.told

    async def to_the_end(self) -> None:
        """Read what is committed by now."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        for tp, end in ends.items():
            while await self._consumer.position(tp) < end:
                await self.read()

    async def read(self) -> None:
        """Read what comes within a third of a second."""
        for tp, records in (await self._consumer.getmany(timeout_ms=300)).items():
            for record in records:
                self._learn(tp.topic, record)

    def _learn(self, topic: str, record: ConsumerRecord) -> None:
        received = _received(record)
        if topic == self._topics.escalations:
            self.told.learn_incident(read.read_incident(received))
        elif isinstance(report := read.read_assessment(received), AssessmentReport):
            self.told.learn_outcome(report, record.timestamp)


@asynccontextmanager
async def reading(deployment: Deployment) -> AsyncIterator[Reader]:
    """A read_committed reader of a deployment's outcomes and incidents, from their start."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.settings.kafka.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        names = deployment.settings.topics
        consumer.assign(
            [
                TopicPartition(topic, number)
                for topic in (names.assessments, names.escalations)
                for number in consumer.partitions_for_topic(topic) or range(deployment.partitions)
            ]
        )
        await consumer.seek_to_beginning()
        yield Reader(deployment, consumer)


async def told(deployment: Deployment, count: int, *, patience_s: float = PATIENCE_S) -> Told:
    """Wait for so many outcomes and return all that was told, once each segment has one outcome, in order per stream.

    Raises:
        AssertionError: One is missing for ``patience_s`` without any other, or told twice, or out of order.
    """
    async with reading(deployment) as reader:
        found = await reader.until(count, patience_s=patience_s)
    found.check(count)
    return found


class _Aside(Deployment):
    """The same segments read by another group, with outputs of its own."""

    def __init__(self, other: Deployment) -> None:
        topics, kafka = other.settings.topics, other.settings.kafka
        self.partitions = other.partitions
        self._copies = other._copies
        self._producer = other._producer
        self.settings = replace(
            other.settings,
            kafka=replace(kafka, group_id=f"{kafka.group_id}-quiet", instance_id="", session_timeout_s=30),
            topics=replace(
                topics,
                **{
                    name: f"{getattr(topics, name)}-quiet"
                    for name in ("escalations", "dead_letters", "risk", "assessments")
                },
            ),
        )

    async def start(self) -> None:
        """Make the topics that are not there."""
        producer, self._producer = self._producer, _Started()
        await super().start()
        self._producer = producer


class _Started:
    """Stands for a producer that runs already."""

    async def start(self) -> None:
        """Do nothing."""


async def undisturbed(deployment: Deployment, count: int) -> Told:
    """Return what is told of the same segments by one worker in peace."""
    aside = _Aside(deployment)
    await aside.start()
    async with aside.worker():
        return await told(aside, count)


def assert_same(disturbed: Told, quiet: Told) -> None:
    """Assert that both were told the same: each segment's outcome and risk, the incidents, the final risks."""
    differences = [
        *_differences("outcome of", quiet.outcomes, disturbed.outcomes),
        *_differences("incident", dict(quiet.incidents), dict(disturbed.incidents)),
        *_differences("final risk of", quiet.final_risk, disturbed.final_risk),
    ]
    shown = "\n".join(differences[:SHOWN])
    assert not differences, f"{len(differences)} differences from a quiet run, the first of them:\n{shown}"


def _differences(what: str, wanted: dict, found: dict) -> list[str]:
    return [
        f"{what} {key}: {found.get(key, 'nothing')}, in peace {wanted.get(key, 'nothing')}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]


def _received(record: ConsumerRecord) -> Received:
    return Received(
        position=Position(
            topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp
        ),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
