"""Quix Streams, "Tutorial - Word Count" and "Processing & Transforming Data": ``apply``, ``filter`` and ``to_topic``.

Defaults (at least once), except that a group starts with what is there.
"""

from __future__ import annotations

from typing import Any

import decide
from quixstreams import Application

told = decide.plan()
decider = decide.Decider(told)
app = Application(
    broker_address=told["servers"], consumer_group=told["group"], auto_offset_reset="earliest", auto_create_topics=False
)
segments = app.topic(told["segments"], key_deserializer="bytes", value_deserializer="bytes")
decisions = app.topic(told["decisions"], key_serializer="bytes", value_serializer="json")
escalations = app.topic(told["escalations"], key_serializer="bytes", value_serializer="json")


def on_segment(value: bytes, _key: bytes, _timestamp: int, headers: list[tuple[str, bytes]]) -> dict[str, Any]:
    """Decide on one segment."""
    return {"event": dict(headers)["ce_id"].decode(), "escalates": decider.escalates(value)}


decided = app.dataframe(segments).apply(on_segment, metadata=True)
decided[decided["escalates"]].to_topic(escalations)
decided.to_topic(decisions)

if __name__ == "__main__":
    app.run()
