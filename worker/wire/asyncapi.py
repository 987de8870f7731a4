"""The AsyncAPI 3.0 document: which topic carries which message, which way, under which key.

Format: https://www.asyncapi.com/docs/reference/specification/v3.0.0, with its Kafka bindings 0.5.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.settings.tree import Topics
from worker.wire import headers as h
from worker.wire.published import event_headers
from worker.wire.read import ASSESSMENT, CONFIG, DEAD_LETTER, END, INCIDENTS, INIT, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Schema = dict[str, Any]

_BINDING = "0.5.0"
_STREAM_ID = {
    "type": "string",
    "minLength": 1,
    "maxLength": h.MAX_KEY_BYTES,
    "description": f"The stream id, UTF-8, 1 to {h.MAX_KEY_BYTES} bytes.",
}
_STREAM_ID_OR_NONE = {"oneOf": [_STREAM_ID, {"type": "null"}], "description": "The stream id, or none if it had none."}
_MEDIA = {"type": ["string", "null"], "format": "binary", "description": "The media; null with a claim check."}
_NOTHING = {"type": "null", "description": "No body."}
_CHANNELS = {
    "segments": (Topics().segments, "receive", "Streams' segments, published by the platform.", (SEGMENT, INIT, END)),
    "escalations": (Topics().escalations, "send", "Incidents for people to review.", INCIDENTS),
    "deadLetters": (Topics().dead_letters, "send", "Events that can't be worked, with the reason.", (DEAD_LETTER,)),
    "assessments": ("assessments", "send", "Off by default: what became of each segment.", (ASSESSMENT, CONFIG)),
}


def document(*, bodies: Mapping[str, Schema], components: Mapping[str, Schema]) -> dict[str, Any]:
    """Return the document for these JSON bodies (references into ``components``).

    Topics stand under their default names; what a deployment calls them is its settings' business.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Framewatch",
            "version": "1",
            "description": "Live streams' segments in, incidents for human review out. Every message is a CloudEvent"
            " 1.0 in Kafka's binary mode; what is read may come in structured mode too.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": h.JSON,
        "channels": {name: _channel(*channel) for name, channel in _CHANNELS.items()},
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": summary,
            }
            for name, (_, action, summary, _) in _CHANNELS.items()
        },
        "components": {"messages": _messages(bodies), "schemas": dict(components)},
    }


def _channel(address: str, _action: str, summary: str, kinds: Iterable[str]) -> dict[str, Any]:
    return {
        "address": address,
        "summary": summary,
        "messages": {_id(kind): {"$ref": f"#/components/messages/{_id(kind)}"} for kind in kinds},
        "bindings": {"kafka": {"topic": address, "bindingVersion": _BINDING}},
    }


def _messages(bodies: Mapping[str, Schema]) -> dict[str, Any]:
    segment, init, end = event_headers().values()
    messages = {
        SEGMENT: _message(SEGMENT, segment, _MEDIA, _STREAM_ID),
        INIT: _message(INIT, init, _MEDIA, _STREAM_ID),
        END: _message(END, end, _NOTHING, _STREAM_ID),
    }
    messages |= {kind: _json_message(kind, bodies["incident"], _STREAM_ID) for kind in INCIDENTS}
    told = {DEAD_LETTER: "dead-letter", ASSESSMENT: "assessment", CONFIG: "config"}
    messages |= {kind: _json_message(kind, bodies[body], _STREAM_ID_OR_NONE) for kind, body in told.items()}
    return {_id(kind): message for kind, message in messages.items()}


def _json_message(kind: str, body: Schema, key: Schema) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    must = {
        "ce_specversion": {"type": "string", "const": h.SPECVERSION},
        "ce_id": {**text, "description": "The same fact twice has the same id: remove repeats by it."},
        "ce_source": {**text, "description": "The deployment, the same for all its workers."},
        "ce_type": {"type": "string", "const": kind},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"type": "string", "const": h.JSON},
    }
    more = {
        "ce_subject": {**text, "description": "The stream id."},
        "traceparent": {**text, "description": "The trace id is that of the event which this follows from."},
        "tracestate": text,
    }
    schema = {"type": "object", "properties": {**must, **more}, "required": list(must)}
    return {**_message(kind, schema, body, key), "contentType": h.JSON}


def _message(kind: str, headers: Schema, payload: Schema, key: Schema) -> dict[str, Any]:
    return {
        "name": kind,
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
    }


def _id(kind: str) -> str:
    """Return a message's name in the document: letters only, without the prefix and the version."""
    _, *words, _ = kind.split(".")
    return words[0] + "".join(word.capitalize() for word in words[1:])
