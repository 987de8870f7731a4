"""A whole deployment on a real broker: topics of its own, workers in this process, a publisher, readers."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from worker.app import Worker
from worker.kafka import admin
from worker.loaded import Loaded
from worker.records import EventId, Initialisation, Position, Received, Segment, StreamEnd
from worker.settings.tree import Escalation, Intake, Kafka, Scoring, Settings, Topics, Web
from worker.topics import wanted
from worker.wire import read, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.kafka import Cluster

    from worker.records import AssessmentReport, DeadLetter, Incident, Message

NOWHERE = Position(topic="", partition=0, offset=0, timestamp_ms=0)
PATIENCE_S = 60.0
NAMES = itertools.count()


class Deployment:
    """Topics, settings and the clients around them. Everything that a test reads is read_committed."""

    def __init__(self, cluster: Cluster, *, partitions: int = 3, model: str = "models/demo", **sections: Any) -> None:
        """``sections`` replaces whole sections of the settings; each topic has a copy on every broker."""
        name = f"t{next(NAMES)}"
        self.partitions = partitions
        self._copies = len(cluster.brokers)
        self.settings = Settings(
            **{
                "kafka": Kafka(
                    bootstrap_servers=cluster.bootstrap_servers, group_id=f"{name}-group", session_timeout_s=6
                ),
                "topics": Topics(
                    segments=f"{name}-segments",
                    escalations=f"{name}-escalations",
                    dead_letters=f"{name}-dead-letters",
                    risk=f"{name}-risk",
                    assessments=f"{name}-assessments",
                ),
                "intake": Intake(release_interval_s=0.05, drain_s=5),
                "scoring": Scoring(model=model),
                "escalation": Escalation(source="test"),
                "web": Web(port=0),
            }
            | sections
        )
        self._producer = AIOKafkaProducer(
            bootstrap_servers=cluster.bootstrap_servers,
            enable_idempotence=True,
            max_request_size=16 * 1024 * 1024,
            request_timeout_ms=180_000,  # a publisher waits for longer than any broker here is away
        )

    async def start(self) -> None:
        """Make the topics."""
        topics = wanted(self.settings, self.partitions, replication=self._copies).values()
        await admin.create(self.settings.kafka, topics, replication=self._copies)
        await self._producer.start()

    async def stop(self) -> None:
        """Close the publisher."""
        await self._producer.stop()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker that runs; stopped as by SIGTERM on the way out. Its failure fails the test."""
        worker = Worker(self.settings, Loaded(self.settings))
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            if not running.done():
                worker.stop()
            await running

    # --- publishing ---

    async def send(self, *messages: Message, at: datetime | None = None) -> None:
        """Publish, in order, acknowledged; with the timestamp ``at``, else with now's."""
        for message in messages:
            await self._producer.send_and_wait(
                message.topic,
                message.value,
                key=message.key,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=None if at is None else round(at.timestamp() * 1000),
            )

    def segment(self, stream_id: str, payload: Any, **more: Any) -> Message:
        """A segment event; its id is the stream's and the sequence's unless told."""
        sequence = more.get("sequence")
        event = more.pop("event", None) or EventId(source="tests", id=f"{stream_id}/{sequence}/{next(NAMES)}")
        segment = Segment(
            position=NOWHERE,
            event=event,
            stream_id=stream_id,
            content_type=more.pop("content_type", "video/mp2t"),
            payload=payload,
            **more,
        )
        return write.segment_message(segment, topic=self.settings.topics.segments)

    def init(self, stream_id: str, payload: Any) -> Message:
        """An initialisation event."""
        event = Initialisation(
            position=NOWHERE, event=EventId(source="tests", id=f"i{next(NAMES)}"), stream_id=stream_id, payload=payload
        )
        return write.init_message(event, topic=self.settings.topics.segments)

    def end(self, stream_id: str) -> Message:
        """An end event."""
        event = StreamEnd(position=NOWHERE, event=EventId(source="tests", id=f"e{next(NAMES)}"), stream_id=stream_id)
        return write.end_message(event, topic=self.settings.topics.segments)

    # --- reading ---

    async def read_until(self, topic: str, enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Read a topic from its start until it is enough, then to its end; fail after a minute."""
        async with self._reader(topic) as consumer, asyncio.timeout(PATIENCE_S):
            found: list[Received] = []
            while not enough(found):
                found += await _poll(consumer)
            while more := await _poll(consumer):
                found += more
        return found

    async def read(self, topic: str, count: int) -> list[Received]:
        """Read until so many records are there."""
        return await self.read_until(topic, lambda found: len(found) >= count)

    async def assessments(self, count: int) -> list[AssessmentReport]:
        """Wait for so many outcomes; config events are left out."""
        topic = self.settings.topics.assessments
        found = await self.read_until(topic, lambda records: len(_outcomes(records)) >= count)
        return [read.read_assessment(r) for r in _outcomes(found)]

    async def incidents(self, count: int = 0) -> list[Incident]:
        """Wait for so many escalations, and give all that are there."""
        return [read.read_incident(r) for r in await self.read(self.settings.topics.escalations, count)]

    async def dead_letters(self, count: int = 0) -> list[DeadLetter]:
        """Wait for so many dead letters, and give all that are there."""
        return [read.read_dead_letter(r) for r in await self.read(self.settings.topics.dead_letters, count)]

    async def committed(self) -> dict[int, int | None]:
        """The group's offsets."""
        topic = self.settings.topics.segments
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            group_id=self.settings.kafka.group_id,
            enable_auto_commit=False,
        )
        async with consumer:
            return {n: await consumer.committed(TopicPartition(topic, n)) for n in range(self.partitions)}

    @asynccontextmanager
    async def _reader(self, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=16 * 1024 * 1024,
        )
        async with consumer:
            numbers = consumer.partitions_for_topic(topic) or set(range(self.partitions))
            consumer.assign([TopicPartition(topic, number) for number in numbers])
            yield consumer


@asynccontextmanager
async def deployed(cluster: Cluster, **more: Any) -> AsyncIterator[Deployment]:
    """A deployment with its topics made."""
    deployment = Deployment(cluster, **more)
    try:
        await deployment.start()
        yield deployment
    finally:
        await deployment.stop()


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


async def _poll(consumer: AIOKafkaConsumer) -> list[Received]:
    batches = await consumer.getmany(timeout_ms=300)
    return [
        Received(
            position=Position(topic=r.topic, partition=r.partition, offset=r.offset, timestamp_ms=r.timestamp),
            key=r.key,
            value=r.value,
            headers=tuple(r.headers),
        )
        for records in batches.values()
        for r in records
    ]


def _outcomes(records: list[Received]) -> list[Received]:
    return [r for r in records if read.event_type(r) == "framewatch.assessment.v1"]
