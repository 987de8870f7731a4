"""The headers of the events that a platform publishes, as JSON Schemas of their text; ``read`` enforces them."""

from __future__ import annotations

from typing import Any

from worker.wire import headers as h
from worker.wire.read import CONTENT_TYPES, END, INIT, SEGMENT

Schema = dict[str, Any]

_WHOLE = r"^[0-9]{1,32}$"
_SECONDS = r"^[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?$"
_NO_CONTROL = r"^[^\u0000-\u001f\u007f-\u009f]+$"


def _text(description: str, most: int, **more: Any) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most, **more, "description": description}


def _flag(description: str) -> Schema:
    return {"type": "string", "enum": ["true", "false"], "description": description}


def _whole(description: str) -> Schema:
    return _text(f"{description} From 0 to {h.MAX_INTEGER}.", 32, pattern=_WHOLE)


def _seconds(description: str) -> Schema:
    return _text(f"{description} Seconds from 0 to {h.MAX_SECONDS:.0f}.", 70, pattern=_SECONDS)


def _name(description: str, most: int = h.MAX_NAME_BYTES) -> Schema:
    return _text(f"{description} At most {most} bytes of UTF-8.", most, pattern=_NO_CONTROL)


def _uri(description: str) -> Schema:
    return _text(description, h.MAX_URI_BYTES, format="uri")


_TRACE: dict[str, Schema] = {
    "traceparent": {"type": "string", "description": "W3C trace context; a malformed one is ignored."},
    "tracestate": {"type": "string", "description": "W3C trace context."},
}
_REQUIRED: dict[str, Schema] = {
    "ce_specversion": {"type": "string", "const": h.SPECVERSION, "description": "Version of CloudEvents."},
    "ce_id": _name("With ce_source it names the event once and for all: a retry carries the same."),
    "ce_source": _name("Who publishes; a URI reference."),
}
_CLAIM_CHECK: dict[str, Schema] = {
    "ce_dataref": _uri("Claim check: where the bytes lie, instead of a body. Under an allowed root."),
    "ce_datasha256": _text("Digest of the bytes in hex; checked.", 64, pattern="^[0-9a-fA-F]{64}$"),
    "ce_datasize": _whole("Size in bytes; checked."),
    "ce_dataetag": _name("Pins the object by its entity tag."),
    "ce_dataversion": _name("Pins the object by its version."),
    "ce_byterange": _text("first-last, both inclusive.", 65, pattern=r"^[0-9]{1,32}-[0-9]{1,32}$"),
}
_PARTITION_KEY: dict[str, Schema] = {"ce_partitionkey": _text("If it is there, it is the key.", h.MAX_KEY_BYTES)}
_SEGMENT: dict[str, Schema] = {
    "ce_sequence": _whole("The segment's number in its stream; without it the record's offset orders."),
    "ce_time": _text("When its first frame was captured, RFC 3339; orders nothing.", 64, format="date-time"),
    "ce_mediatime": _seconds("From the start of the stream; else counted from durations."),
    "ce_duration": _seconds("How long it is; else measured."),
    "ce_discontinuity": _flag("true: clock, codec or numbering starts afresh here."),
    "ce_test": _flag("true: a test or a canary; every incident of it says so."),
    "ce_tenant": _name("Which platform or channel group.", h.MAX_LABEL_BYTES),
    "ce_account": _name("Who streams, an opaque id.", h.MAX_LABEL_BYTES),
    "ce_viewers": _whole("How many watch now."),
    "ce_initref": _uri("Claim check of the CMAF initialisation segment."),
}


def event_headers() -> dict[str, Schema]:
    """Return the schemas of the headers of segment, initialisation and end events."""
    video = {"type": "string", "description": "Media type; case and parameters don't matter."}
    return {
        "segment": _headers(
            "A media segment of a live stream.",
            SEGMENT,
            {"content-type": {**video, "pattern": _media_types(*CONTENT_TYPES)}},
            _SEGMENT | _CLAIM_CHECK,
        ),
        "init": _headers(
            "A CMAF initialisation segment, which serves its stream until the next one.",
            INIT,
            {"content-type": {**video, "pattern": _media_types("video/mp4")}},
            _CLAIM_CHECK,
        ),
        "end": _headers("The stream is over.", END, {}, {}),
    }


def _media_types(*names: str) -> str:
    """Return a pattern that takes these media types in any case, with or without parameters."""
    either = "|".join("".join(f"[{c}{c.upper()}]" if c.islower() else _literal(c) for c in name) for name in names)
    return rf"^\s*({either})\s*(;.*)?$"


def _literal(character: str) -> str:
    return rf"\{character}" if character in "./" else character


def _headers(description: str, kind: str, required: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    must = {**_REQUIRED, "ce_type": {"type": "string", "const": kind, "description": "What it is."}, **required}
    return {
        "title": kind,
        "description": f"Headers of {kind}. {description} Unknown ones are ignored.",
        "type": "object",
        "properties": {**must, **optional, **_PARTITION_KEY, **_TRACE},
        "required": list(must),
    }
