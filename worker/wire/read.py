"""Kafka records to events and reports: every byte is checked here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, get_args

import msgspec
from msgspec import Struct

from worker.errors import SegmentError, Unreadable
from worker.records import (
    AssessmentReport,
    ConfigReport,
    ContentType,
    DeadLetter,
    EventId,
    Incident,
    Initialisation,
    Reference,
    Segment,
    StreamEnd,
)
from worker.uris import public_text
from worker.wire import headers as h
from worker.wire.envelope import Envelope, envelope, media_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.records import Event, Received

SEGMENT = "framewatch.segment.v1"
INIT = "framewatch.init.v1"
END = "framewatch.end.v1"
INCIDENTS = tuple(f"framewatch.incident.{change}.v1" for change in ("opened", "updated", "closed"))
DEAD_LETTER = "framewatch.deadletter.v1"
ASSESSMENT = "framewatch.assessment.v1"
CONFIG = "framewatch.config.v1"

MAX_INIT_BYTES = 256 * 1024
CONTENT_TYPES: dict[str, ContentType] = {name: name for name in get_args(ContentType)}
_INIT_TYPE = "video/mp4"
_NAMES_SHOWN = 64

Body = TypeVar("Body", bound=Struct)


def read(received: Received, *, max_message_bytes: int) -> Event:
    """Return the event that a record of the segments topic carries, in either content mode.

    Raises:
        SegmentError: Stage ``wire`` with one of the contract's names; the reason repeats nothing secret.
    """
    value = received.value
    if value is not None and len(value) > max_message_bytes:
        reason = f"the message has {len(value)} bytes, the limit is {max_message_bytes}; use a claim check"
        raise SegmentError("wire", "too_large", reason)
    opened = envelope(received.headers, value)
    kind, event = _event(opened.headers)
    stream_id = _stream_id(received.key, opened.headers)
    if kind == SEGMENT:
        return _segment(received, opened, event, stream_id)
    if kind == INIT:
        return _initialisation(received, opened, event, stream_id)
    return StreamEnd(position=received.position, event=event, stream_id=stream_id)


class Identity(Struct, frozen=True, kw_only=True):
    """What can be told of a record that may be unreadable."""

    stream_id: str | None
    sequence: int | None
    event_id: str | None


def identify(received: Received) -> Identity:
    """Return what can be told of a record; never raises."""
    try:
        found = envelope(received.headers, received.value).headers
    except SegmentError:
        found = {}
    return Identity(
        stream_id=_stream_id_if_any(received.key),
        sequence=_if_readable(found, "ce_sequence", h.integer),
        event_id=_if_readable(found, "ce_id", h.text),
    )


def read_incident(received: Received) -> Incident:
    """Return the incident that a message of the escalations topic carries.

    Raises:
        Unreadable: The message is none, or not as the contract has it.
    """
    return _body(received, INCIDENTS, Incident)


def read_dead_letter(received: Received) -> DeadLetter:
    """Return the body of a dead letter.

    Raises:
        Unreadable: The message is none, or not as the contract has it.
    """
    return _body(received, (DEAD_LETTER,), DeadLetter)


def read_assessment(received: Received) -> AssessmentReport | ConfigReport:
    """Return what a message of the assessments topic carries: an assessment or a config event.

    Raises:
        Unreadable: The message is neither, or not as the contract has it.
    """
    if event_type(received) == CONFIG:
        return _body(received, (CONFIG,), ConfigReport)
    return _body(received, (ASSESSMENT,), AssessmentReport)


def event_type(received: Received) -> str | None:
    """Return a record's ``ce_type``, or None where it can't be read."""
    try:
        return h.optional(envelope(received.headers, received.value).headers, "ce_type", h.text)
    except SegmentError:
        return None


# --- the parts of an event ------------------------------------------------------------------------------------------


def _event(found: Mapping[str, bytes]) -> tuple[str, EventId]:
    version = h.required(found, "ce_specversion", h.text)
    if version != h.SPECVERSION:
        raise h.bad("ce_specversion", f"is not {h.SPECVERSION}")
    event = EventId(source=h.required(found, "ce_source", h.text), id=h.required(found, "ce_id", h.text))
    kind = h.required(found, "ce_type", h.text)
    if kind not in {SEGMENT, INIT, END}:
        raise SegmentError("wire", "unknown_type", _unknown(kind))
    return kind, event


def _unknown(kind: str) -> str:
    shown = ascii(public_text(kind)[:_NAMES_SHOWN])
    for known in (SEGMENT, INIT, END):
        stem, _, version = known.rpartition(".")
        if kind == stem or kind.startswith(f"{stem}."):
            return f"ce_type is {shown}; of {stem} this worker reads version {version} only"
    return f"ce_type is {shown}; this topic carries {SEGMENT}, {INIT} and {END}"


def _stream_id(key: bytes | None, found: Mapping[str, bytes]) -> str:
    stream_id = h.key(key)
    partition_key = found.get("ce_partitionkey")
    if partition_key is not None and partition_key != key:
        raise SegmentError("wire", "bad_key", "the message's key is not its ce_partitionkey")
    return stream_id


def _segment(received: Received, opened: Envelope, event: EventId, stream_id: str) -> Segment:
    found = opened.headers
    init = h.optional(found, "ce_initref", h.uri)
    return Segment(
        position=received.position,
        event=event,
        stream_id=stream_id,
        content_type=_content_type(found),
        payload=_payload(opened),
        init=None if init is None else Reference(uri=init),
        sequence=h.optional(found, "ce_sequence", h.integer),
        captured_at=h.optional(found, "ce_time", h.time),
        media_time_s=h.optional(found, "ce_mediatime", h.seconds),
        duration_s=h.optional(found, "ce_duration", h.seconds),
        discontinuity=h.optional(found, "ce_discontinuity", h.flag) or False,
        test=h.optional(found, "ce_test", h.flag) or False,
        tenant=h.optional(found, "ce_tenant", h.label),
        account=h.optional(found, "ce_account", h.label),
        viewers=h.optional(found, "ce_viewers", h.integer),
        trace=h.trace(found),
    )


def _initialisation(received: Received, opened: Envelope, event: EventId, stream_id: str) -> Initialisation:
    if _content_type(opened.headers) != _INIT_TYPE:
        raise h.bad(h.CONTENT_TYPE, f"is not {_INIT_TYPE}, which an initialisation segment has")
    payload = _payload(opened)
    size = payload.size_bytes if isinstance(payload, Reference) else len(payload)
    if size is not None and size > MAX_INIT_BYTES:
        reason = f"the initialisation segment has {size} bytes, the limit is {MAX_INIT_BYTES}"
        raise SegmentError("wire", "too_large", reason)
    return Initialisation(position=received.position, event=event, stream_id=stream_id, payload=payload)


def _content_type(found: Mapping[str, bytes]) -> ContentType:
    raw = found.get(h.CONTENT_TYPE)
    if raw is None:
        raise SegmentError("wire", "missing_header", f"{h.CONTENT_TYPE} is missing")
    content_type = CONTENT_TYPES.get(media_type(raw))
    if content_type is None:
        raise h.bad(h.CONTENT_TYPE, f"is none of {', '.join(CONTENT_TYPES)}")
    return content_type


def _payload(opened: Envelope) -> bytes | Reference:
    reference = _reference(opened.headers)
    if reference is None:
        if not opened.body:
            raise SegmentError("wire", "no_body", "there is neither a body nor a ce_dataref")
        if opened.json_data:
            raise SegmentError("wire", "no_body", "the event has JSON as data; media go into data_base64")
        return opened.body
    if opened.body:
        raise SegmentError("wire", "body_and_dataref", "there is a body and a ce_dataref: send one of them")
    return reference


def _reference(found: Mapping[str, bytes]) -> Reference | None:
    # Read even where there is no claim check to pin: a malformed header is a publisher's bug in any case.
    uri = h.optional(found, "ce_dataref", h.uri)
    sha256 = h.optional(found, "ce_datasha256", h.sha256)
    size_bytes = h.optional(found, "ce_datasize", h.integer)
    etag = h.optional(found, "ce_dataetag", h.text)
    version = h.optional(found, "ce_dataversion", h.text)
    byterange = h.optional(found, "ce_byterange", h.byterange)
    if uri is None:
        return None
    return Reference(uri=uri, sha256=sha256, size_bytes=size_bytes, etag=etag, version=version, byterange=byterange)


# --- best effort, and bodies ----------------------------------------------------------------------------------------


def _stream_id_if_any(key: bytes | None) -> str | None:
    try:
        return h.key(key)
    except SegmentError:
        return None


def _if_readable(found: Mapping[str, bytes], name: str, parse: h.Parse[h.T]) -> h.T | None:
    try:
        return h.optional(found, name, parse)
    except SegmentError:
        return None


def _body(received: Received, kinds: tuple[str, ...], record: type[Body]) -> Body:
    kind = event_type(received)
    if kind not in kinds:
        raise Unreadable(f"{_where(received)}: the event's type is {kind!a}, not {' or '.join(kinds)}")
    try:
        return msgspec.json.decode(envelope(received.headers, received.value).body or b"", type=record)
    except (msgspec.DecodeError, SegmentError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{_where(received)}: {str(error)[:200]}") from None


def _where(received: Received) -> str:
    position = received.position
    return f"{position.topic}/{position.partition} at {position.offset}"
