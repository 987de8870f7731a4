"""A Kafka record as a CloudEvent: both content modes become one envelope.

Formats: CloudEvents 1.0.2, its Kafka protocol binding and its JSON event format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from worker.errors import SegmentError
from worker.wire import headers as h

if TYPE_CHECKING:
    from collections.abc import Iterable


class Envelope(Struct, frozen=True, kw_only=True):
    """One CloudEvent, whichever mode it came in."""

    headers: Mapping[str, bytes]
    """As in binary mode: ``ce_<name>``, ``content-type``, the trace's; the last of each."""
    body: bytes | None
    """The event's data; None where it has none."""
    json_data: bool = False
    """True where the body is JSON that stood in a structured event's ``data``."""


_NOTHING = msgspec.Raw(b"")
_NULL = b"null"
_Structured: Any = msgspec.defstruct(
    "_Structured",
    [(name, msgspec.Raw, _NOTHING) for name in (*h.ATTRIBUTES, "datacontenttype", "data", "data_base64")],
)
# Unread values stay raw: whatever else the JSON holds takes no memory.
_structured = msgspec.json.Decoder(_Structured)
_scalar: msgspec.json.Decoder[str | int | float | bool | None] = msgspec.json.Decoder(str | int | float | bool | None)
_base64 = msgspec.json.Decoder(bytes)


def envelope(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Envelope:
    """Return the event of a record's headers and value; of a repeated header the last counts.

    Raises:
        SegmentError: ``bad_header`` or ``no_body`` where a structured event's JSON can't be read.
    """
    # A header without a value says nothing, and a client may pass it as None.
    found = {name: raw for name, raw in headers if raw is not None}
    if h.CONTENT_TYPE not in found:
        # Clients differ in how they spell the one header that isn't CloudEvents' own.
        spelt = [raw for name, raw in found.items() if name.lower() == h.CONTENT_TYPE]
        found |= {h.CONTENT_TYPE: spelt[-1]} if spelt else {}
    if media_type(found.get(h.CONTENT_TYPE, b"")) != h.STRUCTURED:
        return Envelope(headers=found, body=value)
    return _open(value, {name: found[name] for name in h.TRACE if name in found})


def media_type(raw: bytes) -> str:
    """Return a content type in lower case and without its parameters; empty where it isn't text."""
    if len(raw) > h.MAX_NAME_BYTES:
        return ""
    return raw.partition(b";")[0].decode("utf-8", "replace").strip().lower()


def _open(value: bytes | None, plain: Mapping[str, bytes]) -> Envelope:
    if not value:
        raise SegmentError("wire", "no_body", f"the content type is {h.STRUCTURED}, but the message has no value")
    try:
        event = _structured.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise h.bad(h.CONTENT_TYPE, f"is {h.STRUCTURED}, but the value is not a JSON object") from None
    headers = {f"ce_{name}": raw for name in h.ATTRIBUTES if (raw := _attribute(event, name)) is not None}
    headers.update(plain)
    content_type = _attribute(event, "datacontenttype")
    if content_type is not None:
        headers[h.CONTENT_TYPE] = content_type
    if _given(event.data_base64):
        return Envelope(headers=headers, body=_decoded(event.data_base64))
    if _given(event.data):
        return Envelope(headers=headers, body=bytes(event.data), json_data=True)
    return Envelope(headers=headers, body=None)


def _given(raw: msgspec.Raw) -> bool:
    view = memoryview(raw)
    return view.nbytes > len(_NULL) or bytes(view) not in {b"", _NULL}


def _decoded(raw: msgspec.Raw) -> bytes:
    try:
        return _base64.decode(raw)
    except msgspec.DecodeError:
        raise h.bad("data_base64", "is not base64") from None


def _attribute(event: Any, name: str) -> bytes | None:
    """Return an attribute of a structured event as it would stand in binary mode."""
    raw: msgspec.Raw = getattr(event, name)
    if not _given(raw):
        return None
    if memoryview(raw).nbytes > 2 * h.MAX_URI_BYTES:
        raise h.bad(f"ce_{name}", "is too long")
    try:
        scalar = _scalar.decode(raw)
        if isinstance(scalar, bool):
            return b"true" if scalar else b"false"
        return str(scalar).encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise h.bad(f"ce_{name}", "is neither text, a number nor true or false") from None
