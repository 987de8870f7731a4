"""What a worker wrote, and when the broker had it: assessments, escalations and dead letters by their append time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from worker.records import Position, Received
from worker.topics import wanted
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.rig.meter import Meter
    from benchmarks.rig.processes import Process
    from worker.settings.tree import Settings

Where = tuple[int, int]
"""Partition and offset of a segment."""
POLL_S = 0.1
AT_ONCE = 500
CONFIG = {
    "group.id": "benchmarks",  # of which it is no member: it reads by assignment
    "enable.auto.commit": False,
    "log_level": 3,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
}


class Outcome(NamedTuple):
    """What became of a segment."""

    at_ms: int
    """When the broker had its assessment."""
    outcome: str
    why: str | None


class Answers:
    """Everything that came out so far, by the segment that it is about."""

    def __init__(self, consumer: Consumer, meter: Meter | None, processes: Iterable[Process]) -> None:
        """``meter`` looks while this waits, and ``processes`` must live."""
        self._consumer = consumer
        self._meter = meter
        self._processes = list(processes)
        self.outcomes: dict[Where, Outcome] = {}
        self.opened: dict[Where, int] = {}
        """When the broker had the incident that a segment opened, milliseconds since the epoch."""
        self.repeated = 0
        """Assessments and incidents beyond the first."""

    def watch(self, *processes: Process) -> None:
        """From now on these must live as well."""
        self._processes += processes

    def until(self, enough: Callable[[], bool], within_s: float) -> None:
        """Read until it is enough. Raises TimeoutError, or RuntimeError where a process ended."""
        deadline = time.monotonic() + within_s
        while not enough():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {within_s:g} s for the answers")
            self.take(POLL_S)

    def take(self, within_s: float) -> None:
        """Take what has come, and wait so long for it. Raises RuntimeError where a process ended."""
        for process in self._processes:
            process.raise_if_ended()
        if self._meter is not None:
            self._meter.look()
        for record in self._consumer.consume(AT_ONCE, within_s):
            if record.error() is not None:
                raise RuntimeError(f"the answers can't be read: {record.error()}")
            self._take(_received(record))

    def _take(self, told: Received) -> None:
        kind, at_ms = read.event_type(told), told.position.timestamp_ms
        if kind == "framewatch.assessment.v1":
            report = read.read_assessment(told)
            where = report.partition, report.offset
            self.repeated += where in self.outcomes
            self.outcomes[where] = Outcome(at_ms, report.outcome, report.why)
        elif kind == "framewatch.incident.opened.v1":
            frame = read.read_incident(told).reasons[0].frame
            if frame is not None:
                where = frame.segment.partition, frame.segment.offset
                self.repeated += where in self.opened
                self.opened[where] = at_ms


@contextmanager
def reading(
    settings: Settings, partitions: int, *, meter: Meter | None = None, processes: Iterable[Process] = ()
) -> Iterator[Answers]:
    """Give a read_committed reader of everything that comes out."""
    topics = wanted(settings, partitions)
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, **CONFIG})
    try:
        consumer.assign(
            [
                TopicPartition(topics[role].name, number, 0)
                for role in ("assessments", "escalations")
                for number in range(topics[role].partitions)
            ]
        )
        yield Answers(consumer, meter, processes)
    finally:
        consumer.close()


def _received(record: Any) -> Received:
    position = Position(
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        timestamp_ms=record.timestamp()[1],
    )
    return Received(position=position, key=record.key(), value=record.value(), headers=tuple(record.headers() or ()))
