"""Records to Kafka messages: what the worker tells, and what a publisher sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from worker.records import EventId, Message, Reference, StreamEnd
from worker.wire import headers as h
from worker.wire import read
from worker.wire.deadletter import dead_letter_message
from worker.wire.fit import fit
from worker.wire.read import Identity, identify

if TYPE_CHECKING:
    from datetime import datetime

    from worker.records import (
        AssessmentReport,
        ConfigReport,
        Incident,
        Initialisation,
        Segment,
        Trace,
    )

__all__ = [
    "Identity",
    "assessment_message",
    "config_message",
    "dead_letter_message",
    "end_message",
    "fit",
    "identify",
    "incident_message",
    "init_message",
    "segment_message",
]


def incident_message(incident: Incident, *, topic: str, source: str, at: datetime, trace: Trace | None) -> Message:
    """Return an incident's revision as an escalation.

    Its ``ce_id`` is a function of the incident's id and revision, so that a repeat can be told. The first revision is
    always ``opened``, whatever its state: nobody must miss the start of a review.
    """
    return Message(
        topic=topic,
        key=incident.stream_id.encode(),
        value=msgspec.json.encode(incident),
        headers=h.written(
            EventId(source=source, id=f"{incident.incident_id}/{incident.revision}"),
            _incident_type(incident),
            {"ce_subject": incident.stream_id, "ce_time": at, "content-type": h.JSON},
            trace,
        ),
    )


def assessment_message(
    report: AssessmentReport, *, topic: str, source: str, at: datetime, trace: Trace | None
) -> Message:
    """Return an assessment; its ``ce_id`` is a function of topic, partition and offset."""
    event_id = f"assessment/{report.topic}/{report.partition}/{report.offset}"
    return Message(
        topic=topic,
        key=None if report.stream_id is None else report.stream_id.encode(),
        value=msgspec.json.encode(report),
        headers=h.written(
            EventId(source=source, id=event_id),
            read.ASSESSMENT,
            {"ce_subject": report.stream_id, "ce_time": at, "content-type": h.JSON},
            trace,
        ),
    )


def config_message(report: ConfigReport, *, topic: str, source: str) -> Message:
    """Return a config event; its ``ce_id`` is a function of the worker and the time."""
    event_id = f"config/{report.worker}/{h.rfc3339(report.at)}"
    return Message(
        topic=topic,
        key=None,
        value=msgspec.json.encode(report),
        headers=h.written(
            EventId(source=source, id=event_id), read.CONFIG, {"ce_time": report.at, "content-type": h.JSON}, None
        ),
    )


def segment_message(segment: Segment, *, topic: str) -> Message:
    """Return a segment event as a publisher sends it; `read` gives the same segment back.

    ``segment.position`` is not sent: the broker gives a new one. Of ``segment.init`` only the URI is.
    """
    attributes: dict[str, h.Value | None] = {
        "content-type": segment.content_type,
        "ce_sequence": segment.sequence,
        "ce_time": segment.captured_at,
        "ce_mediatime": segment.media_time_s,
        "ce_duration": segment.duration_s,
        "ce_discontinuity": segment.discontinuity or None,
        "ce_test": segment.test or None,
        "ce_tenant": segment.tenant,
        "ce_account": segment.account,
        "ce_viewers": segment.viewers,
        "ce_initref": None if segment.init is None else segment.init.uri,
    }
    return _published(topic, segment, read.SEGMENT, attributes, segment.trace)


def init_message(init: Initialisation, *, topic: str) -> Message:
    """Return an initialisation event as a publisher sends it; ``init.position`` is not sent."""
    return _published(topic, init, read.INIT, {"content-type": "video/mp4"}, None)


def end_message(end: StreamEnd, *, topic: str) -> Message:
    """Return an end event as a publisher sends it; ``end.position`` is not sent."""
    return _published(topic, end, read.END, {}, None)


def _incident_type(incident: Incident) -> str:
    opened, updated, closed = read.INCIDENTS
    if incident.revision == 1:
        return opened
    return closed if incident.state == "closed" else updated


def _published(
    topic: str,
    event: Segment | Initialisation | StreamEnd,
    kind: str,
    attributes: dict[str, h.Value | None],
    trace: Trace | None,
) -> Message:
    payload = None if isinstance(event, StreamEnd) else event.payload
    if isinstance(payload, Reference):
        attributes |= _claim_check(payload)
    return Message(
        topic=topic,
        key=event.stream_id.encode(),
        value=payload if isinstance(payload, bytes) else None,
        headers=h.written(event.event, kind, attributes, trace),
    )


def _claim_check(reference: Reference) -> dict[str, h.Value | None]:
    span = reference.byterange
    return {
        "ce_dataref": reference.uri,
        "ce_datasha256": reference.sha256,
        "ce_datasize": reference.size_bytes,
        "ce_dataetag": reference.etag,
        "ce_dataversion": reference.version,
        "ce_byterange": None if span is None else f"{span[0]}-{span[1]}",
    }
