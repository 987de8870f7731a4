"""What arrives and what leaves: records of Kafka and the events in them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class Position(Struct, frozen=True, kw_only=True):
    """Where a record stands in Kafka, and when the broker has it (milliseconds since 1970, UTC)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class LogRange(Struct, frozen=True, kw_only=True):
    """What a partition's log holds: offsets from ``first``, below ``end``."""

    first: int
    end: int


class Received(Struct, frozen=True, kw_only=True):
    """One Kafka record as consumed, before anybody believed a byte of it."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Message(Struct, frozen=True, kw_only=True):
    """One Kafka record to be produced."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class EventId(Struct, frozen=True, kw_only=True):
    """What names an event once and for all: CloudEvents' ``source`` and ``id``."""

    source: str
    id: str


class Trace(Struct, frozen=True, kw_only=True):
    """W3C trace context as it came."""

    traceparent: str
    tracestate: str | None = None


class Reference(Struct, frozen=True, kw_only=True):
    """A claim check: where the bytes lie instead of in the message."""

    uri: str
    sha256: str | None = None
    size_bytes: int | None = None
    etag: str | None = None
    version: str | None = None
    byterange: tuple[int, int] | None = None
    """First and last byte, both inclusive."""


ContentType = Literal["video/mp2t", "video/mp4", "video/iso.segment", "video/webm"]


class Segment(Struct, frozen=True, kw_only=True):
    """A segment event, read and checked; its media still unread."""

    position: Position
    event: EventId
    stream_id: str
    content_type: ContentType
    payload: bytes | Reference
    init: Reference | None = None
    sequence: int | None = None
    captured_at: datetime | None = None
    media_time_s: float | None = None
    duration_s: float | None = None
    discontinuity: bool = False
    test: bool = False
    tenant: str | None = None
    account: str | None = None
    viewers: int | None = None
    trace: Trace | None = None


class Initialisation(Struct, frozen=True, kw_only=True):
    """A CMAF initialisation segment that serves its stream's media segments until the next one."""

    position: Position
    event: EventId
    stream_id: str
    payload: bytes | Reference


class StreamEnd(Struct, frozen=True, kw_only=True):
    """The publisher says that the stream is over."""

    position: Position
    event: EventId
    stream_id: str


Event = Segment | Initialisation | StreamEnd
