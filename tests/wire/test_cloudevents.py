"""The CloudEvents SDK as an oracle: what it writes is read, what is written it reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from worker.records import EventId, Failure, Position, Received, Reference, Segment
from worker.wire import write
from worker.wire.read import read

if TYPE_CHECKING:
    from worker.records import AssessmentReport, Incident, Message

POSITION = Position(topic="segments", partition=0, offset=0, timestamp_ms=0)
CAPTURED = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)
ATTRIBUTES = {
    "id": "seg-17",
    "source": "/packager/7",
    "type": "framewatch.segment.v1",
    "specversion": "1.0",
    "time": CAPTURED,
    "partitionkey": "ström-1",
    "sequence": "17",
    "mediatime": "34.5",
}


def received(message: kafka.KafkaMessage) -> Received:
    """Return what the SDK sends as it arrives."""
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return Received(position=POSITION, key=key, value=message.value, headers=tuple(message.headers.items()))


def understood(message: Message) -> CloudEvent:
    """Return what the SDK reads of a message of ours."""
    sent = kafka.KafkaMessage(headers=dict(message.headers), key=message.key, value=message.value or b"")
    event = kafka.from_kafka(sent, JSONFormat())
    assert isinstance(event, CloudEvent)
    return event


@pytest.mark.parametrize("to_kafka", [kafka.to_binary_event, kafka.to_structured_event])
def test_a_segment_that_the_sdk_writes_is_read(to_kafka: object) -> None:
    """Both content modes, body and all."""
    assert callable(to_kafka)
    event = CloudEvent(attributes={**ATTRIBUTES, "datacontenttype": "video/mp2t"}, data=b"\x00\xffmedia")
    assert read(received(to_kafka(event)), max_message_bytes=1000) == Segment(
        position=POSITION,
        event=EventId(source="/packager/7", id="seg-17"),
        stream_id="ström-1",
        content_type="video/mp2t",
        payload=b"\x00\xffmedia",
        sequence=17,
        captured_at=CAPTURED,
        media_time_s=34.5,
    )


def test_a_structured_claim_check_that_the_sdk_writes_is_read() -> None:
    """Without data, with integers and booleans as JSON has them."""
    claim = {"dataref": "s3://bucket/17.m4s", "datasize": 1000, "test": True, "datacontenttype": "video/iso.segment"}
    event = CloudEvent(attributes={**ATTRIBUTES, **claim})
    segment = read(received(kafka.to_structured_event(event)), max_message_bytes=1000)
    assert isinstance(segment, Segment)
    assert segment.payload == Reference(uri="s3://bucket/17.m4s", size_bytes=1000)
    assert segment.test


def test_the_sdk_reads_a_segment_of_ours() -> None:
    """A publisher's segment is a CloudEvent to anybody."""
    segment = Segment(
        position=POSITION,
        event=EventId(source="/packager/7", id="seg-17"),
        stream_id="ström-1",
        content_type="video/mp2t",
        payload=b"\x00\xffmedia",
        sequence=17,
        captured_at=CAPTURED,
        test=True,
    )
    event = understood(write.segment_message(segment, topic="segments"))
    assert (event.get_id(), event.get_source(), event.get_type()) == ("seg-17", "/packager/7", "framewatch.segment.v1")
    assert (event.get_time(), event.get_extension("sequence"), event.get_extension("test")) == (CAPTURED, "17", "true")
    assert (event.get_data(), event.get_extension("partitionkey")) == (b"\x00\xffmedia", "ström-1")


def test_the_sdk_reads_what_we_tell(incident: Incident, report: AssessmentReport) -> None:
    """Escalations and assessments are CloudEvents with JSON data."""
    told = understood(write.incident_message(incident, topic="t", source="framewatch", at=CAPTURED, trace=None))
    assert (told.get_type(), told.get_subject()) == ("framewatch.incident.opened.v1", "ström-1")
    assert (told.get_time(), told.get_datacontenttype()) == (CAPTURED, "application/json")
    data = told.get_data()
    assert isinstance(data, dict)
    assert data["incident_id"] == "inc-1"
    told = understood(write.assessment_message(report, topic="t", source="framewatch", at=CAPTURED, trace=None))
    assert told.get_id() == "assessment/segments/0/59"


def test_the_sdk_reads_a_dead_letter(letter: Received) -> None:
    """The original headers beside the event's own disturb nobody."""
    failure = Failure(stage="wire", error="no_body", reason="there is none")
    message = write.dead_letter_message(letter, failure, topic="t", source="s", at=CAPTURED, with_payload=False)
    event = understood(message)
    assert (event.get_id(), event.get_type()) == ("deadletter/segments/3/41", "framewatch.deadletter.v1")
