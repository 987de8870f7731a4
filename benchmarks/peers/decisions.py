"""What a pipeline decided, ours or theirs, and whether that is right."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.peers.playing import is_known
from benchmarks.rig import topics
from benchmarks.rig.answers import CONFIG
from worker.records import Position, Received
from worker.topics import wanted
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.rig.processes import Process
    from benchmarks.rig.publishing import Due
    from worker.settings.tree import Settings

ESCALATED_WITHIN_S = 10.0


class Decisions:
    """What a pipeline decided so far, by the name of the segment."""

    def __init__(self, consumer: Consumer, process: Process, *, ours: bool) -> None:
        """``ours``: our records name a segment by partition and offset, theirs by its event."""
        self._consumer = consumer
        self._process = process
        self._named: Callable[[Any], Any] = ours_named if ours else theirs_named
        self.ours = ours
        self.decided: dict[Any, int] = {}
        """When the broker had it, milliseconds since the epoch."""
        self.escalated: dict[Any, int] = {}
        self.repeated = 0

    def until(self, decided: int, escalated: int, within_s: float) -> None:
        """Read until so many are decided and escalated; the latter is waited for only a little, and may be wrong.

        Raises TimeoutError, or RuntimeError where the pipeline ended.
        """
        self._until(lambda: len(self.decided) >= decided, within_s)
        if len(self.decided) < decided:
            told = self._process.told()
            raise TimeoutError(f"{self._process.what}: {len(self.decided)} of {decided} decided:\n{told}")
        self._until(lambda: len(self.escalated) >= escalated, ESCALATED_WITHIN_S)

    def _until(self, enough: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not enough() and time.monotonic() < deadline:
            self._process.raise_if_ended()
            for record in self._consumer.consume(500, 0.05):
                self._take(record)

    def _take(self, record: Any) -> None:
        named = self._named(record)
        if named is None:
            return
        seen = self.escalated if record.topic().endswith("escalations") else self.decided
        self.repeated += named in seen
        seen[named] = record.timestamp()[1]


def ours_named(record: Any) -> tuple[int, int] | None:
    """Partition and offset of the segment that an assessment, or an incident that was opened, is about."""
    told = Received(
        position=Position(
            topic=record.topic(),
            partition=record.partition(),
            offset=record.offset(),
            timestamp_ms=record.timestamp()[1],
        ),
        key=record.key(),
        value=record.value(),
        headers=tuple(record.headers() or ()),
    )
    kind = read.event_type(told)
    if kind == "framewatch.assessment.v1":
        report = read.read_assessment(told)
        return report.partition, report.offset
    if kind == "framewatch.incident.opened.v1":
        frame = read.read_incident(told).reasons[0].frame
        return None if frame is None else (frame.segment.partition, frame.segment.offset)
    return None


def theirs_named(record: Any) -> str:
    """The segment's name in a record of theirs."""
    name: str = json.loads(record.value())["event"]
    return name


def wrong(due: Sequence[Due], names: Sequence[Any], decisions: Decisions) -> int:
    """Return how many decisions are not what they should be; ``names`` are those of ``due``, in its order."""
    should = {name for name, one in zip(names, due, strict=True) if is_known(one)}
    return len(should ^ decisions.escalated.keys()) + len(set(names) ^ decisions.decided.keys()) + decisions.repeated


@contextmanager
def reading(settings: Settings) -> Iterator[Consumer]:
    """Give a reader of what a pipeline writes: a record of each segment, and escalations."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, **CONFIG})
    try:
        out = [wanted(settings, topics.PARTITIONS)[role] for role in ("assessments", "escalations")]
        consumer.assign([TopicPartition(topic.name, number, 0) for topic in out for number in range(topic.partitions)])
        yield consumer
    finally:
        consumer.close()
