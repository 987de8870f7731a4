"""Segments to a broker: a backlog as fast as it goes, or each at its time, fixed ahead, whatever the broker does.

librdkafka sends from threads of its own and answers with offset and append time, at little CPU: a generator must not be
what is measured.
"""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import Producer
from msgspec import Struct

from worker.records import ContentType, EventId, Position, Reference, Segment
from worker.wire import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOWHERE = Position(topic="", partition=0, offset=0, timestamp_ms=0)
SENT_WITHIN_S = 60.0
FINE_S = 0.002
"""So close to a segment's time it is slept for, since librdkafka waits in whole milliseconds."""
CONFIG: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 0,
    "log_level": 3,  # that a coordinator is still loading is no news
    "message.max.bytes": 9 * 1024 * 1024,
    "queue.buffering.max.kbytes": 256 * 1024,
}


class Due(Struct, frozen=True, kw_only=True):
    """A segment to be sent."""

    at_s: float = 0.0
    """Seconds after the start."""
    stream_id: str
    sequence: int
    partition: int
    body: int | str
    """Which of the bodies; or a URI, for a claim check."""


class Sent(Struct, frozen=True, kw_only=True):
    """What became of a ``Due``, in the same place of its list."""

    partition: int
    offset: int
    due_ms: float
    """When it was to be sent, milliseconds since the epoch."""
    handed_ms: float
    """When the generator did."""
    appended_ms: int
    """The broker's stamp."""

    @property
    def where(self) -> tuple[int, int]:
        """Partition and offset."""
        return self.partition, self.offset


class Schedule(Struct, frozen=True, kw_only=True):
    """What a generator's process is told."""

    servers: str
    topic: str
    bodies: tuple[str, ...]
    """Files."""
    start_s: float
    """Seconds since the epoch."""
    due: tuple[Due, ...]
    """In the order of their times."""
    out: str
    """File for what was sent, JSON; there when the process has ended well."""
    content_type: ContentType = "video/mp2t"


def main(plan: bytes) -> None:
    """Be the generator: publish a ``Schedule``, and write down what was sent."""
    schedule = msgspec.json.decode(plan, type=Schedule)
    bodies = [Path(file).read_bytes() for file in schedule.bodies]
    gc.disable()  # nothing here is a cycle, and a collection would make a segment late
    sent = publish(
        schedule.servers,
        schedule.topic,
        bodies,
        schedule.due,
        start_s=schedule.start_s,
        content_type=schedule.content_type,
    )
    Path(schedule.out).write_bytes(msgspec.json.encode(sent))


def publish(
    servers: str,
    topic: str,
    bodies: Sequence[bytes],
    due: Iterable[Due],
    *,
    start_s: float | None = None,
    content_type: ContentType = "video/mp2t",
) -> list[Sent]:
    """Send segments, each at its time after ``start_s`` (seconds since the epoch), or at once without one.

    A send never waits for another one's answer. ``ce_time`` is when a segment was due. Returns when the broker has all.

    Raises:
        RuntimeError: The broker refused one, or has not all within a minute.
    """
    sending = _Sending(servers, topic, bodies, content_type)
    for one in due:
        sending.send(one, None if start_s is None else start_s + one.at_s)
    return sending.end()


class _Sending:
    def __init__(self, servers: str, topic: str, bodies: Sequence[bytes], content_type: ContentType) -> None:
        self._producer = Producer({"bootstrap.servers": servers, **CONFIG})
        self._topic = topic
        self._bodies = bodies
        self._content_type = content_type
        self._sent: list[Sent | None] = []
        self._refused: list[str] = []

    def send(self, one: Due, due_s: float | None) -> None:
        """Wait for its time, and hand it over."""
        self._wait(due_s)
        now_s = time.time()
        message = write.segment_message(self._segment(one, due_s or now_s), topic=self._topic)
        place, noted = len(self._sent), ((due_s or now_s) * 1000, now_s * 1000)
        self._sent.append(None)
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    message.value,
                    key=message.key,
                    partition=one.partition,
                    headers=list(message.headers),
                    on_delivery=lambda error, told: self._delivered(place, noted, error, told),
                )
            except BufferError:  # so much is on its way: what is due next is late, and says so
                self._producer.poll(0.05)
            else:
                return

    def end(self) -> list[Sent]:
        """Wait until the broker has all."""
        self._producer.flush(SENT_WITHIN_S)
        if self._refused:
            raise RuntimeError(f"the broker refused {len(self._refused)} segments: {self._refused[0]}")
        sent = [one for one in self._sent if one is not None]
        if len(sent) < len(self._sent):
            raise RuntimeError(f"the broker has {len(sent)} of {len(self._sent)} segments after {SENT_WITHIN_S:g} s")
        return sent

    def _wait(self, due_s: float | None) -> None:
        while due_s is not None and (left_s := due_s - time.time()) > 0:
            if left_s > FINE_S:
                self._producer.poll(min(left_s - FINE_S, 0.1))
            else:
                time.sleep(left_s)
        self._producer.poll(0)

    def _segment(self, one: Due, due_s: float) -> Segment:
        body = one.body
        return Segment(
            position=NOWHERE,
            event=EventId(source="/benchmarks", id=f"{one.stream_id}/{one.sequence}"),
            stream_id=one.stream_id,
            content_type=self._content_type,
            payload=self._bodies[body] if isinstance(body, int) else Reference(uri=body),
            sequence=one.sequence,
            captured_at=datetime.fromtimestamp(due_s, UTC),
        )

    def _delivered(self, place: int, noted: tuple[float, float], error: Any, told: Any) -> None:
        if error is not None:
            self._refused.append(str(error))
            return
        due_ms, handed_ms = noted
        self._sent[place] = Sent(
            partition=told.partition(),
            offset=told.offset(),
            due_ms=due_ms,
            handed_ms=handed_ms,
            appended_ms=told.timestamp()[1],
        )
