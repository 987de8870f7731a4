"""An event's headers, one value at a time, both ways: text as it stands in Kafka to Python's values and back.

Formats: CloudEvents 1.0.2 and its Kafka protocol binding; RFC 3339; W3C Trace Context.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec

from worker.errors import SegmentError
from worker.records import EventId, Trace

T = TypeVar("T")
Parse = Callable[[str, bytes], T]
"""Takes a header's name and value; raises `SegmentError` where the value is malformed."""
Value = str | int | float | bool | datetime
Headers = tuple[tuple[str, bytes], ...]

CONTENT_TYPE = "content-type"
STRUCTURED = "application/cloudevents+json"
JSON = "application/json"
TRACE = ("traceparent", "tracestate")
"""Plain Kafka headers in both modes."""
SPECVERSION = "1.0"

MAX_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact."""
MAX_SECONDS = 1e10
"""Largest number of seconds taken, some 300 years: a clock can count it in microseconds and stay exact."""
MAX_KEY_BYTES = 256
MAX_NAME_BYTES = 1024
"""Longest ``ce_id``, ``ce_source``, ``ce_dataetag``, ``ce_dataversion``."""
MAX_LABEL_BYTES = 256
"""Longest ``ce_tenant``, ``ce_account``."""
MAX_URI_BYTES = 8192

ATTRIBUTES = (
    "specversion",
    "id",
    "source",
    "type",
    "partitionkey",
    "sequence",
    "time",
    "mediatime",
    "duration",
    "discontinuity",
    "test",
    "tenant",
    "account",
    "viewers",
    "dataref",
    "datasha256",
    "datasize",
    "dataetag",
    "dataversion",
    "byterange",
    "initref",
    "traceparent",
    "tracestate",
)
"""The attributes that are read of any event; a header's name is ``ce_`` and the attribute's."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIGITS = re.compile(rb"[0-9]{1,32}")
_NUMBER = re.compile(rb"[0-9]{1,32}(?:\.[0-9]{1,32})?(?:[eE][+-]?[0-9]{1,3})?")
_RANGE = re.compile(rb"([0-9]{1,32})-([0-9]{1,32})")
_SHA256 = re.compile(rb"[0-9a-fA-F]{64}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s]+")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?")
_MAX_TRACE_BYTES = 512
_AWARE = Annotated[datetime, msgspec.Meta(tz=True)]


def bad(name: str, what: str) -> SegmentError:
    """Return the error for a malformed header."""
    return SegmentError("wire", "bad_header", f"{name} {what}")


def required(headers: Mapping[str, bytes], name: str, parse: Parse[T]) -> T:
    """Return a header's value.

    Raises:
        SegmentError: ``missing_header`` or ``bad_header``.
    """
    raw = headers.get(name)
    if raw is None:
        raise SegmentError("wire", "missing_header", f"{name} is missing")
    return parse(name, raw)


def optional(headers: Mapping[str, bytes], name: str, parse: Parse[T]) -> T | None:
    """Return a header's value, or None where it isn't there.

    Raises:
        SegmentError: ``bad_header``.
    """
    raw = headers.get(name)
    return None if raw is None else parse(name, raw)


def text(name: str, raw: bytes, most_bytes: int = MAX_NAME_BYTES) -> str:
    """Return a CloudEvents string: UTF-8, not empty, without control characters."""
    if not 0 < len(raw) <= most_bytes:
        raise bad(name, f"is longer than {most_bytes} bytes" if raw else "is empty")
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise bad(name, "is not UTF-8") from None
    if not value.isprintable() and _CONTROL.search(value):
        raise bad(name, "holds a control character")
    return value


def label(name: str, raw: bytes) -> str:
    """Return a tenant's or account's id."""
    return text(name, raw, MAX_LABEL_BYTES)


def uri(name: str, raw: bytes) -> str:
    """Return an absolute URI; whether anybody may follow it is not asked here."""
    value = text(name, raw, MAX_URI_BYTES)
    if not _URI.fullmatch(value):
        raise bad(name, "is not a URI with a scheme")
    return value


def integer(name: str, raw: bytes) -> int:
    """Return a whole number from 0 to 2^53-1, written in ASCII digits."""
    if not _DIGITS.fullmatch(raw) or (value := int(raw)) > MAX_INTEGER:
        raise bad(name, f"is not a whole number from 0 to {MAX_INTEGER} in ASCII digits")
    return value


def seconds(name: str, raw: bytes) -> float:
    """Return a number of seconds, not negative, finite, at most `MAX_SECONDS`."""
    if not _NUMBER.fullmatch(raw) or not math.isfinite(value := float(raw)) or value > MAX_SECONDS:
        raise bad(name, f"is not a number of seconds from 0 to {MAX_SECONDS:.0f}")
    return value


def flag(name: str, raw: bytes) -> bool:
    """Return what ``true`` or ``false`` says, in exactly these letters."""
    if raw == b"true":
        return True
    if raw == b"false":
        return False
    raise bad(name, "is neither true nor false")


def time(name: str, raw: bytes) -> datetime:
    """Return an RFC 3339 time in UTC."""
    try:
        return msgspec.convert(text(name, raw, 64), _AWARE).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise bad(name, "is not a time as RFC 3339 has it, such as 2026-11-01T12:00:00.000Z") from None


def byterange(name: str, raw: bytes) -> tuple[int, int]:
    """Return a range's first and last byte, both inclusive."""
    found = _RANGE.fullmatch(raw)
    if not found:
        raise bad(name, "is not first-last in ASCII digits")
    first, last = int(found[1]), int(found[2])
    if not first <= last <= MAX_INTEGER:
        raise bad(name, "ends before it begins" if first > last else f"ends after {MAX_INTEGER}")
    return first, last


def sha256(name: str, raw: bytes) -> str:
    """Return a SHA-256 digest as 64 lower-case hex digits."""
    if not _SHA256.fullmatch(raw):
        raise bad(name, "is not 64 hex digits")
    return raw.decode().lower()


def trace(headers: Mapping[str, bytes]) -> Trace | None:
    """Return the W3C trace context, or None where there is none or where it is malformed.

    A malformed one is no error: the recommendation has receivers go on without (W3C Trace Context, 3.2 and 4.3).
    CloudEvents' attributes of the same name (its extension Distributed Tracing) stand in for Kafka's plain headers.
    """
    for prefix in ("", "ce_"):
        parent = _plain(headers.get(f"{prefix}traceparent"))
        if parent is not None and _is_traceparent(parent):
            return Trace(traceparent=parent, tracestate=_plain(headers.get(f"{prefix}tracestate")))
    return None


def _is_traceparent(text: str) -> bool:
    found = _TRACEPARENT.fullmatch(text)
    return found is not None and (found["more"] is None or not text.startswith("00"))


def _plain(raw: bytes | None) -> str | None:
    """Return printable ASCII of bounded length, or None."""
    if not raw or len(raw) > _MAX_TRACE_BYTES or not raw.isascii():
        return None
    value = raw.decode()
    return value if value.isprintable() else None


def key(raw: bytes | None) -> str:
    """Return the stream id of a Kafka key.

    Raises:
        SegmentError: ``bad_key``.
    """
    if not raw:
        raise SegmentError("wire", "bad_key", "the message has no key; the key is the stream id")
    if len(raw) > MAX_KEY_BYTES:
        raise SegmentError("wire", "bad_key", f"the key has {len(raw)} bytes; a stream id has 1 to {MAX_KEY_BYTES}")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SegmentError("wire", "bad_key", "the key is not UTF-8") from None


# --- writing --------------------------------------------------------------------------------------------------------


def written(event: EventId, kind: str, attributes: Mapping[str, Value | None], trace: Trace | None) -> Headers:
    """Return the headers of a message in binary mode; what is None is left out."""
    known: dict[str, Value | None] = {"ce_specversion": SPECVERSION, "ce_id": event.id, "ce_source": event.source}
    known |= {"ce_type": kind, **attributes}
    if trace is not None:
        known |= {"traceparent": trace.traceparent, "tracestate": trace.tracestate}
    return tuple((name, spell(value).encode()) for name, value in known.items() if value is not None)


def spell(value: Value) -> str:
    """Return a value as a header says it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def rfc3339(at: datetime) -> str:
    """Return a time in UTC as RFC 3339 has it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
