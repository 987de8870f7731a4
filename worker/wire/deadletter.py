"""Dead letters: what can't be worked, why, and what it came with, bounded and without anything secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from worker.errors import SegmentError
from worker.records import DeadLetter, EventId, Message
from worker.uris import public_text
from worker.wire import headers as h
from worker.wire.envelope import envelope, media_type
from worker.wire.read import DEAD_LETTER, identify
from worker.wire.trace import following

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.records import Failure, Received, Trace

MAX_HEADERS = 64
"""Most original headers repeated."""
MAX_NAME_CHARACTERS = 128
MAX_VALUE_BYTES = 2048
"""Longest value of an original header repeated whole."""
MAX_REASON_CHARACTERS = 500
_SPARE_BYTES = 1024
"""Room for Kafka's own framing of a record."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = {h.CONTENT_TYPE, *(f"ce_{name}" for name in h.ATTRIBUTES)}


def dead_letter_message(
    received: Received,
    failure: Failure,
    *,
    topic: str,
    source: str,
    at: datetime,
    with_payload: bool,
    max_message_bytes: int = 8 * 1024 * 1024,
) -> Message:
    """Return the dead letter of a record.

    The original headers follow as ``orig_<name>``, a structured event's attributes as ``orig_ce_<name>``. In each value
    a URL is without user, password, query and fragment; what isn't UTF-8 is left out, since it may be imagery. So that
    any record has a dead letter, at most 64 headers are repeated (the contract's own first) and a value of more than
    2,048 bytes is cut. The payload is left out (null) where the message would exceed ``max_message_bytes`` with it.
    """
    position = received.position
    stream_id = identify(received).stream_id
    event = EventId(source=source, id=f"deadletter/{position.topic}/{position.partition}/{position.offset}")
    attributes: dict[str, h.Value | None] = {"ce_subject": stream_id, "ce_time": at, "content-type": h.JSON}
    headers = h.written(event, DEAD_LETTER, attributes, _trace(received)) + _originals(received)
    key = None if stream_id is None else stream_id.encode()
    room = max_message_bytes - _SPARE_BYTES - len(key or b"") - sum(len(name) * 4 + len(raw) for name, raw in headers)
    body = _body(received, failure)
    payload = _payload(received) if with_payload else None
    if payload is not None and _encoded_bytes(payload) + len(msgspec.json.encode(body)) <= room:
        body = msgspec.structs.replace(body, payload=payload)
    return Message(topic=topic, key=key, value=msgspec.json.encode(body), headers=headers)


def _trace(received: Received) -> Trace | None:
    found = h.trace(dict(received.headers))
    return None if found is None else following(found, received.position)


def _body(received: Received, failure: Failure) -> DeadLetter:
    identity = identify(received)
    position = received.position
    return DeadLetter(
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        timestamp=_time(position.timestamp_ms),
        stream_id=identity.stream_id,
        sequence=identity.sequence,
        event_id=None if identity.event_id is None else public_text(identity.event_id),
        stage=failure.stage,
        error=failure.error,
        reason=_line(failure.reason),
        attempts=failure.attempts,
    )


def _time(timestamp_ms: int) -> datetime | None:
    """Return a record's timestamp; a producer may have set it to anything, and -1 is Kafka's word for none."""
    try:
        return _EPOCH + timedelta(milliseconds=timestamp_ms) if timestamp_ms >= 0 else None
    except OverflowError:
        return None


def _line(reason: str) -> str:
    return public_text(" ".join(reason.split()))[:MAX_REASON_CHARACTERS]


def _originals(received: Received) -> h.Headers:
    headers = [*_attributes(received), *received.headers]
    # The contract's own come first: nobody can push them out with others.
    headers.sort(key=lambda header: header[0] not in _FIRST)
    return tuple((f"orig_{_name(name)}", _value(raw)) for name, raw in headers[:MAX_HEADERS])


def _attributes(received: Received) -> Iterable[tuple[str, bytes]]:
    """Return a structured event's attributes; a binary one's are headers already."""
    if media_type(dict(received.headers).get(h.CONTENT_TYPE) or b"") != h.STRUCTURED:
        return ()
    try:
        found = envelope(received.headers, received.value).headers
    except SegmentError:
        return ()
    return ((name, raw) for name, raw in found.items() if name.startswith("ce_"))


def _name(name: str) -> str:
    return public_text(name)[:MAX_NAME_CHARACTERS]


def _value(raw: bytes | None) -> bytes:
    if not raw:
        return b""
    try:
        # First made public, then cut: a URL that is cut before its host shows its password.
        value = public_text(raw.decode()).encode()
    except UnicodeDecodeError:
        return f"({len(raw)} bytes that are not UTF-8, left out)".encode()
    if len(value) <= MAX_VALUE_BYTES:
        return value
    return value[: MAX_VALUE_BYTES - 3].decode(errors="ignore").encode() + "…".encode()


def _payload(received: Received) -> bytes | None:
    """Return the event's body: media as they are, but of a text no URL's secrets."""
    try:
        body = envelope(received.headers, received.value).body
    except SegmentError:
        # The value is a structured event that can't be read, so that its secrets can't be told from the rest.
        return None
    if body is None:
        return None
    try:
        return public_text(body.decode()).encode()
    except UnicodeDecodeError:
        return body


def _encoded_bytes(payload: bytes) -> int:
    """Return how many bytes base64 makes of a payload."""
    return (len(payload) + 2) // 3 * 4
