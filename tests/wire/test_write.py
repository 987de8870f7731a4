"""Writing what the worker tells and what publishers send."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from worker import records as r
from worker.errors import Unreadable
from worker.wire import write
from worker.wire.headers import MAX_INTEGER, MAX_SECONDS
from worker.wire.read import event_type, read, read_assessment, read_dead_letter, read_incident

POSITION = r.Position(topic="segments", partition=0, offset=7, timestamp_ms=1)
TRACE = r.Trace(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate="a=1")
CONTROL = "".join(map(chr, [*range(32), *range(127, 160)]))


def arrived(message: r.Message) -> r.Received:
    """Return a written message as its reader gets it."""
    return r.Received(position=POSITION, key=message.key, value=message.value, headers=message.headers)


def texts(most_bytes: int) -> st.SearchStrategy[str]:
    """Texts that a header can carry."""
    alphabet = st.characters(exclude_characters=CONTROL, exclude_categories=("Cs",))
    return st.text(alphabet, min_size=1, max_size=most_bytes).filter(lambda text: len(text.encode()) <= most_bytes)


INTEGERS = st.integers(0, MAX_INTEGER)
SECONDS = st.floats(0, MAX_SECONDS)
URIS = st.from_regex(r"(s3|https|file)://[!-~]{1,60}", fullmatch=True)
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=64)
EVENTS = st.builds(r.EventId, source=texts(60), id=texts(60))
REFERENCES = st.builds(
    r.Reference,
    uri=URIS,
    sha256=st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    size_bytes=st.none() | INTEGERS,
    etag=st.none() | texts(20),
    version=st.none() | texts(20),
    byterange=st.none() | st.tuples(INTEGERS, INTEGERS).map(lambda pair: (min(pair), max(pair))),
)
PAYLOADS = st.binary(min_size=1, max_size=50) | REFERENCES
SEGMENTS = st.builds(
    r.Segment,
    position=st.just(POSITION),
    event=EVENTS,
    stream_id=KEYS,
    content_type=st.sampled_from(["video/mp2t", "video/mp4", "video/iso.segment", "video/webm"]),
    payload=PAYLOADS,
    init=st.none() | st.builds(r.Reference, uri=URIS),
    sequence=st.none() | INTEGERS,
    captured_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    media_time_s=st.none() | SECONDS,
    duration_s=st.none() | SECONDS,
    discontinuity=st.booleans(),
    test=st.booleans(),
    tenant=st.none() | texts(40),
    account=st.none() | texts(40),
    viewers=st.none() | INTEGERS,
    trace=st.sampled_from([None, TRACE, r.Trace(traceparent=TRACE.traceparent)]),
)


@given(SEGMENTS)
def test_a_segment_read_back_is_the_segment_written(segment: r.Segment) -> None:
    """What a publisher says is what the worker understands, to the last bit of every number."""
    message = write.segment_message(segment, topic="segments")
    assert read(arrived(message), max_message_bytes=1000) == segment


@given(st.builds(r.Initialisation, position=st.just(POSITION), event=EVENTS, stream_id=KEYS, payload=PAYLOADS))
def test_an_initialisation_read_back_is_the_one_written(init: r.Initialisation) -> None:
    """The same for initialisation segments, as far as they keep to their size."""
    if isinstance(init.payload, r.Reference):
        init = replace(init, payload=replace(init.payload, size_bytes=1000))
    assert read(arrived(write.init_message(init, topic="segments")), max_message_bytes=1000) == init


@given(st.builds(r.StreamEnd, position=st.just(POSITION), event=EVENTS, stream_id=KEYS))
def test_an_end_read_back_is_the_end_written(end: r.StreamEnd) -> None:
    """The same for ends."""
    assert read(arrived(write.end_message(end, topic="segments")), max_message_bytes=1000) == end


def test_an_incident_read_back_is_the_incident_written(incident: r.Incident, now: datetime) -> None:
    """A reader in Python gets the very record."""
    message = write.incident_message(incident, topic="escalations", source="framewatch", at=now, trace=None)
    assert read_incident(arrived(message)) == incident


def test_an_escalation_is_the_event_that_the_contract_has(incident: r.Incident, now: datetime) -> None:
    """Every header is spelt out, the key is the stream id, the trace goes on."""
    message = write.incident_message(incident, topic="escalations", source="framewatch", at=now, trace=TRACE)
    assert (message.topic, message.key) == ("escalations", "ström-1".encode())
    assert {name: raw.decode() for name, raw in message.headers} == {
        "ce_specversion": "1.0",
        "ce_id": "inc-1/1",
        "ce_source": "framewatch",
        "ce_type": "framewatch.incident.opened.v1",
        "ce_subject": "ström-1",
        "ce_time": "2026-11-01T12:00:00.250000Z",
        "content-type": "application/json",
        "traceparent": TRACE.traceparent,
        "tracestate": "a=1",
    }


@pytest.mark.parametrize(
    ("revision", "state", "kind"),
    [
        (1, "open", "opened"),
        (2, "open", "updated"),
        (3, "closed", "closed"),
        (1, "closed", "opened"),
    ],
)
def test_the_type_tells_what_changed(
    incident: r.Incident, now: datetime, revision: int, state: r.IncidentState, kind: str
) -> None:
    """The first revision always opens a review."""
    changed = replace(incident, revision=revision, state=state)
    message = write.incident_message(changed, topic="t", source="s", at=now, trace=None)
    assert event_type(arrived(message)) == f"framewatch.incident.{kind}.v1"


def test_a_body_has_every_field_and_null_for_what_is_unknown(incident: r.Incident, now: datetime) -> None:
    """A field is never absent, and the names are those of the contract."""
    message = write.incident_message(incident, topic="t", source="s", at=now, trace=None)
    body = json.loads(message.value or b"")
    assert body["account"] is None
    assert set(body["preserve"]) == {"from", "until", "segments"}
    assert (body["reasons"][0]["list"], body["reasons"][0]["source"]) == (None, None)
    assert body["respond_by"] == "2026-11-01T12:05:00.250000Z"


def test_the_same_revision_has_the_same_id_and_another_another(incident: r.Incident, now: datetime) -> None:
    """A reader removes repeats by ce_id."""
    ids = [
        dict(write.incident_message(each, topic="t", source="s", at=now, trace=None).headers)["ce_id"]
        for each in (incident, replace(incident, viewers=99), replace(incident, revision=2))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_an_assessment_is_keyed_by_its_stream_if_it_has_one(report: r.AssessmentReport, now: datetime) -> None:
    """One without a usable stream id is told all the same."""
    message = write.assessment_message(report, topic="assessments", source="s", at=now, trace=TRACE)
    assert read_assessment(arrived(message)) == report
    assert message.key == "ström-1".encode()
    nameless = replace(report, stream_id=None, event_id=None)
    message = write.assessment_message(nameless, topic="assessments", source="s", at=now, trace=None)
    assert (message.key, read_assessment(arrived(message))) == (None, nameless)


def test_a_config_event_is_read_from_the_same_topic(config: r.ConfigReport) -> None:
    """Readers of assessments meet it among them."""
    message = write.config_message(config, topic="assessments", source="s")
    assert read_assessment(arrived(message)) == config
    assert dict(message.headers)["ce_id"] == b"config/pod-0/2026-11-01T12:00:00.250000Z"


def test_ids_of_different_facts_about_one_record_differ(
    report: r.AssessmentReport, letter: r.Received, now: datetime
) -> None:
    """A dead letter and an assessment of one record have one source, so their ids must tell them apart."""
    position = letter.position
    report = replace(report, topic=position.topic, partition=position.partition, offset=position.offset)
    failure = r.Failure(stage="wire", error="no_body", reason="there is none")
    messages = (
        write.assessment_message(report, topic="a", source="s", at=now, trace=None),
        write.dead_letter_message(letter, failure, topic="d", source="s", at=now, with_payload=False),
    )
    assert [dict(message.headers)["ce_id"] for message in messages] == [
        b"assessment/segments/3/41",
        b"deadletter/segments/3/41",
    ]


@pytest.mark.parametrize("reader", [read_incident, read_dead_letter, read_assessment])
def test_a_reader_tells_a_message_of_another_type(reader: object, letter: r.Received) -> None:
    """Somebody else's event on the topic is named with its place, and no traceback."""
    assert callable(reader)
    with pytest.raises(Unreadable, match=r"segments/3 at 41: the event's type is 'framewatch.segment.v1'"):
        reader(letter)


@pytest.mark.parametrize("value", [None, b"", b"{", b"{}", b'{"incident_id": 7}', b"\xff", b'{"a":' + b"[" * 99_999])
def test_a_reader_tells_a_body_that_is_not_the_contract_s(
    incident: r.Incident, now: datetime, value: bytes | None
) -> None:
    """Whatever stands there, it ends in one line."""
    message = write.incident_message(incident, topic="t", source="s", at=now, trace=None)
    with pytest.raises(Unreadable, match="segments/0 at 7"):
        read_incident(replace(arrived(message), value=value))


def test_a_reader_passes_over_fields_it_does_not_know(incident: r.Incident, now: datetime) -> None:
    """The contract may grow."""
    message = write.incident_message(incident, topic="t", source="s", at=now, trace=None)
    body = {**json.loads(message.value or b""), "later": [1]}
    assert read_incident(replace(arrived(message), value=json.dumps(body).encode())) == incident
