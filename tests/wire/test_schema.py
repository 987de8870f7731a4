"""The schemas in docs, against the code and against what really goes over the wire."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from worker.records import (
    EventId,
    Failure,
    Initialisation,
    Position,
    Reference,
    Segment,
    StreamEnd,
)
from worker.wire import schema, write

if TYPE_CHECKING:
    from worker.records import AssessmentReport, ConfigReport, Incident, Message, Received

DOCS = Path(__file__).parents[2] / "docs"
POSITION = Position(topic="segments", partition=0, offset=0, timestamp_ms=0)
EVENT = EventId(source="/packager", id="1")


FORMATS = FormatChecker(formats=())
FORMATS.checks("date-time", raises=ValueError)(lambda text: not isinstance(text, str) or rfc3339(text))


def rfc3339(text: str) -> bool:
    """Return whether a text is a time with a zone."""
    return datetime.fromisoformat(text).tzinfo is not None


def validator(name: str) -> Draft202012Validator:
    """Return the validator of one schema, formats included."""
    return Draft202012Validator(schema.json_schemas()[name], format_checker=FORMATS)


def body(message: Message) -> dict[str, Any]:
    """Return a message's JSON body."""
    found: dict[str, Any] = json.loads(message.value or b"")
    return found


def test_the_files_in_docs_are_those_that_the_code_makes(tmp_path: Path) -> None:
    """Run ``framewatch schema docs`` after a change of the records."""
    made = {path.relative_to(tmp_path): path.read_text(encoding="utf-8") for path in schema.write(tmp_path)}
    kept = [*DOCS.glob("schemas/*.json"), DOCS / "asyncapi.json"]
    assert {path.relative_to(DOCS): path.read_text(encoding="utf-8") for path in kept} == made


@pytest.mark.parametrize("name", schema.json_schemas())
def test_a_schema_is_valid_and_requires_every_field_of_a_body(name: str) -> None:
    """A field is never absent from a body; of headers only the contract's are required."""
    made = schema.json_schemas()[name]
    Draft202012Validator.check_schema(made)
    if not name.endswith(".headers"):
        for part in (made, *made.get("$defs", {}).values()):
            assert part["required"] == list(part["properties"])
            assert part["description"].endswith(".")


def test_what_is_written_is_what_the_schemas_say(
    incident: Incident, report: AssessmentReport, config: ConfigReport, letter: Received, now: datetime
) -> None:
    """Real messages of every kind pass, as they stand in Kafka."""
    failure = Failure(stage="wire", error="no_body", reason="there is none")
    escalation = write.incident_message(incident, topic="t", source="s", at=now, trace=None)
    validator("incident").validate(body(escalation))
    assessment = write.assessment_message(report, topic="t", source="s", at=now, trace=None)
    validator("assessment").validate(body(assessment))
    validator("config").validate(body(write.config_message(config, topic="t", source="s")))
    for with_payload in (False, True):
        dead = write.dead_letter_message(letter, failure, topic="t", source="s", at=now, with_payload=with_payload)
        validator("dead-letter").validate(body(dead))


@pytest.mark.parametrize(
    ("path", "value"),
    [(["severity"], "fatal"), (["opened_at"], "yesterday"), (["reasons", 0, "weight"], "much"), (["revision"], None)],
)
def test_a_wrong_body_does_not_pass(incident: Incident, now: datetime, path: list[str | int], value: object) -> None:
    """The schemas are no rubber stamp."""
    wrong: Any = body(write.incident_message(incident, topic="t", source="s", at=now, trace=None))
    part = wrong
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises(ValidationError):
        validator("incident").validate(wrong)
    del part[path[-1]]
    with pytest.raises(ValidationError):
        validator("incident").validate(wrong)


def test_what_publishers_write_is_what_the_header_schemas_say(now: datetime) -> None:
    """A publisher can check its headers before it sends them."""
    reference = Reference(uri="s3://b/k", sha256="ab" * 32, size_bytes=9, etag="e", version="v", byterange=(0, 8))
    segment = Segment(
        position=POSITION,
        event=EVENT,
        stream_id="s",
        content_type="video/iso.segment",
        payload=reference,
        init=Reference(uri="s3://b/init"),
        sequence=1,
        captured_at=now,
        media_time_s=0.1,
        duration_s=1e-7,
        discontinuity=True,
        test=True,
        tenant="t",
        account="a",
        viewers=0,
    )
    init = Initialisation(position=POSITION, event=EVENT, stream_id="s", payload=b"x")
    messages = {
        "segment.headers": write.segment_message(segment, topic="t"),
        "init.headers": write.init_message(init, topic="t"),
        "end.headers": write.end_message(StreamEnd(position=POSITION, event=EVENT, stream_id="s"), topic="t"),
    }
    for name, message in messages.items():
        headers = {header: raw.decode() for header, raw in message.headers}
        validator(name).validate(headers)
        with pytest.raises(ValidationError):
            validator(name).validate({**headers, "ce_type": "framewatch.other.v1"})
    headers = {header: raw.decode() for header, raw in messages["segment.headers"].headers}
    assert set(schema.json_schemas()["segment.headers"]["properties"]) - set(headers) == {
        "ce_partitionkey",
        "traceparent",
        "tracestate",
    }
    for wrong in ({"content-type": "video/quicktime"}, {"ce_sequence": "-1"}, {"ce_test": "yes"}):
        with pytest.raises(ValidationError):
            validator("segment.headers").validate({**headers, **wrong})
    validator("segment.headers").validate({**headers, "content-type": "Video/MP4; codecs=avc1"})


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    """And each channel has an operation that speaks of it."""
    document = schema.asyncapi()

    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            mine = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return mine + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        part: Any = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
    spoken_of = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert spoken_of == {f"#/channels/{name}" for name in document["channels"]}
    assert {message["name"] for message in document["components"]["messages"].values()} >= {
        "framewatch.segment.v1",
        "framewatch.incident.closed.v1",
        "framewatch.deadletter.v1",
    }
