"""Dead letters: what they tell, and what they must not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from worker import records as r
from worker.wire.deadletter import MAX_HEADERS, dead_letter_message
from worker.wire.read import read_dead_letter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAILURE = r.Failure(stage="fetch", error="not_found", reason="there is no such object", attempts=3)


def written(received: r.Received, now: datetime, **change: object) -> r.Message:
    """Return a record's dead letter."""
    settings = {"topic": "dead-letters", "source": "framewatch", "at": now, "with_payload": False, **change}
    return dead_letter_message(received, FAILURE, **settings)  # type: ignore[arg-type]  # the table mixes them


def body_of(message: r.Message) -> r.DeadLetter:
    """Return a dead letter's body as a reader gets it."""
    position = r.Position(topic="dead-letters", partition=0, offset=0, timestamp_ms=0)
    return read_dead_letter(
        r.Received(position=position, key=message.key, value=message.value, headers=message.headers)
    )


def test_a_dead_letter_tells_what_why_and_where(letter: r.Received, now: datetime) -> None:
    """The body has the contract's fields, the payload only where it was asked for."""
    message = written(letter, now)
    assert (message.topic, message.key) == ("dead-letters", "ström-1".encode())
    assert json.loads(message.value or b"") == {
        "topic": "segments",
        "partition": 3,
        "offset": 41,
        "timestamp": "2026-11-01T12:00:00.250000Z",
        "stream_id": "ström-1",
        "sequence": 17,
        "event_id": "seg-17",
        "stage": "fetch",
        "error": "not_found",
        "reason": "there is no such object",
        "attempts": 3,
        "payload": None,
    }


def test_the_original_headers_follow_and_the_trace_goes_on(letter: r.Received, now: datetime) -> None:
    """Text stays as it is; of URLs only what anybody may see."""
    headers = dict(written(letter, now).headers)
    assert headers["ce_type"] == b"framewatch.deadletter.v1"
    _, trace_id, span_id, flags = headers["traceparent"].split(b"-")
    assert (trace_id, flags) == (b"0af7651916cd43dd8448eb211c80319c", b"01")
    assert span_id != b"b7ad6b7169203331"  # it follows from our work, not beside it from the publisher's
    assert headers["orig_ce_source"] == b"//host/7"
    assert headers["orig_ce_dataref"] == b"https://store.example/a/17.ts"
    assert headers["orig_ce_initref"] == b"s3://bucket/init.mp4"
    assert headers["orig_x-callback"] == b"see https://host/x and rtmp://host/app too"
    assert headers["orig_x-note"] == b"plain text, kept as it is"
    assert headers["orig_content-type"] == b"video/mp2t"


def everything(message: r.Message) -> bytes:
    """Return all bytes of a message, and its base64 decoded."""
    payload = json.loads(message.value or b"{}").get("payload")
    headers = b"".join(name.encode() + raw for name, raw in message.headers)
    return (message.key or b"") + (message.value or b"") + headers + base64.b64decode(payload or "")


def structured(letter: r.Received, **more: str) -> r.Received:
    """Return the same event in structured mode."""
    event = {name[3:]: raw.decode() for name, raw in letter.headers if name.startswith("ce_")} | more
    headers = (("content-type", b"Application/CloudEvents+JSON"),)
    return replace(letter, value=json.dumps(event).encode(), headers=headers)


@pytest.mark.parametrize("with_payload", [False, True])
def test_no_credential_is_in_a_dead_letter(letter: r.Received, now: datetime, *, with_payload: bool) -> None:
    """Neither mode, reason nor payload lets a secret of a URL through."""
    failure = r.Failure(stage="fetch", error="refused", reason="got https://u:hunter2@h/x?hunter2\nwhich said no")
    cases = (letter, structured(letter), replace(letter, value=b"oops https://u:hunter2@h/x?y"))
    for received in cases:
        message = dead_letter_message(received, failure, topic="d", source="s", at=now, with_payload=with_payload)
        assert b"hunter2" not in everything(message)
    broken = replace(structured(letter), value=(structured(letter).value or b"") + b"!")
    message = dead_letter_message(broken, failure, topic="d", source="s", at=now, with_payload=with_payload)
    assert b"hunter2" not in everything(message)
    assert body_of(message).reason == "got https://h/x which said no"


def test_a_structured_event_s_attributes_follow_like_headers(letter: r.Received, now: datetime) -> None:
    """A reader of dead letters finds them in one place, whichever mode it was."""
    message = written(structured(letter, data_base64="/wBtZWRpYQ=="), now, with_payload=True)
    headers = dict(message.headers)
    assert headers["orig_ce_dataref"] == b"https://store.example/a/17.ts"
    assert headers["orig_ce_sequence"] == b"17"
    assert headers["orig_content-type"] == b"Application/CloudEvents+JSON"
    assert (body_of(message).sequence, body_of(message).payload) == (17, b"\xff\x00media")


def test_the_payload_follows_only_where_it_is_asked_for(letter: r.Received, now: datetime) -> None:
    """It is imagery: nothing of it is anywhere else."""
    assert body_of(written(letter, now, with_payload=True)).payload == b"\xff\x00media"
    assert b"media" not in everything(written(letter, now))


def test_a_payload_that_does_not_fit_is_left_out(letter: r.Received, now: datetime) -> None:
    """The dead letter itself always gets through."""
    large = replace(letter, value=b"\xff" * 100_000)
    assert body_of(written(large, now, with_payload=True, max_message_bytes=140_000)).payload == large.value
    assert body_of(written(large, now, with_payload=True, max_message_bytes=133_000)).payload is None
    many = replace(large, headers=large.headers + tuple((f"x-{number}", b"x" * 2000) for number in range(40)))
    assert body_of(written(many, now, with_payload=True, max_message_bytes=140_000)).payload is None


def test_what_is_not_text_is_not_repeated(letter: r.Received, now: datetime) -> None:
    """A header may hold a picture."""
    received = replace(letter, headers=(*letter.headers, ("thumbnail", b"\xff\xd8\xff" * 100)))
    headers = dict(written(received, now).headers)
    assert headers["orig_thumbnail"] == b"(300 bytes that are not UTF-8, left out)"


def test_an_unreadable_record_has_a_dead_letter_without_key(letter: r.Received, now: datetime) -> None:
    """What could not be read is null, and a timestamp that is none as well."""
    position = replace(letter.position, timestamp_ms=-1)
    message = written(r.Received(position=position, key=b"\xff", value=None, headers=()), now)
    body = body_of(message)
    assert (message.key, body.stream_id, body.sequence, body.event_id, body.timestamp) == (None, None, None, None, None)
    assert "ce_subject" not in dict(message.headers)


def test_the_contract_s_headers_can_t_be_pushed_out(letter: r.Received, now: datetime) -> None:
    """Thousands of others are cut, those that tell what it was are not."""
    junk = tuple((f"junk-{number}", b"x" * 5000) for number in range(2000))
    message = written(replace(letter, headers=junk + letter.headers), now)
    headers = dict(message.headers)
    assert headers["orig_ce_id"] == b"seg-17"
    assert sum(name.startswith("orig_") for name in headers) == MAX_HEADERS
    assert len(everything(message)) < MAX_HEADERS * 2200


@given(
    key=st.none() | st.binary(max_size=300),
    value=st.none() | st.binary(max_size=100),
    headers=st.lists(st.tuples(st.text(max_size=200), st.binary(max_size=200)), max_size=80),
    large=st.sampled_from([b"", b"x" * 1_000_000, "é".encode() * 3000, b"https://hunter2" + b"u" * 70_000 + b"@h"]),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
)
def test_any_record_has_a_dead_letter_of_bounded_size(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], large: bytes, timestamp_ms: int
) -> None:
    """Nothing raises, its reader reads it, and no header makes it large."""
    position = r.Position(topic="segments", partition=0, offset=1, timestamp_ms=timestamp_ms)
    received = r.Received(position=position, key=key, value=value, headers=(*headers, ("ce_source", large)))
    message = dead_letter_message(received, FAILURE, topic="d", source="s", at=EPOCH, with_payload=True)
    assert body_of(message).offset == 1
    assert b"hunter2" not in everything(message)
    assert len(everything(message)) < 64 * 2600 + 4000
