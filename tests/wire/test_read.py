"""Reading the segments topic."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SegmentError
from worker.records import EventId, Initialisation, Position, Received, Reference, Segment, StreamEnd, Trace
from worker.wire.read import Identity, identify, read

POSITION = Position(topic="segments", partition=3, offset=41, timestamp_ms=1_790_000_000_000)
LIMIT = 8 * 1024 * 1024
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUIRED = {
    "ce_specversion": "1.0",
    "ce_id": "seg-17",
    "ce_source": "/packager/7",
    "ce_type": "framewatch.segment.v1",
    "content-type": "video/mp2t",
}


def binary(value: bytes | None = b"media", key: bytes | None = b"stream-1", **headers: str | bytes | None) -> Received:
    """Return a record in binary mode; a header given as None is left out, ``_`` stands for ``-``."""
    wanted = {**REQUIRED, **{name.replace("content_type", "content-type"): raw for name, raw in headers.items()}}
    pairs = tuple(
        (name, raw if isinstance(raw, bytes) else raw.encode()) for name, raw in wanted.items() if raw is not None
    )
    return Received(position=POSITION, key=key, value=value, headers=pairs)


def structured(key: bytes | None = b"stream-1", **attributes: object) -> Received:
    """Return a record in structured mode."""
    event = {
        "specversion": "1.0",
        "id": "seg-17",
        "source": "/packager/7",
        "type": "framewatch.segment.v1",
        "datacontenttype": "video/mp2t",
        **attributes,
    }
    return raw_structured(json.dumps(event).encode(), key)


def raw_structured(value: bytes | None, key: bytes | None = b"stream-1") -> Received:
    """Return a record that says it is in structured mode."""
    headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    return Received(position=POSITION, key=key, value=value, headers=headers)


def refusal(received: Received, limit: int = LIMIT) -> SegmentError:
    """Return the error that reading a record ends in."""
    with pytest.raises(SegmentError) as caught:
        read(received, max_message_bytes=limit)
    assert caught.value.stage == "wire"
    assert "\n" not in caught.value.reason
    return caught.value


def segment(received: Received) -> Segment:
    """Return the segment that a record carries."""
    event = read(received, max_message_bytes=LIMIT)
    assert isinstance(event, Segment)
    return event


def test_a_segment_needs_only_the_required_headers() -> None:
    """What is optional is None or false where nobody says it."""
    assert segment(binary()) == Segment(
        position=POSITION,
        event=EventId(source="/packager/7", id="seg-17"),
        stream_id="stream-1",
        content_type="video/mp2t",
        payload=b"media",
    )


def test_every_optional_header_is_read() -> None:
    """Each header of the contract's table lands in its field."""
    received = binary(
        value=None,
        content_type="video/iso.segment",
        ce_sequence="9007199254740991",
        ce_time="2026-11-01T13:00:00.250+01:00",
        ce_mediatime="34.5",
        ce_duration="2",
        ce_discontinuity="true",
        ce_test="true",
        ce_tenant="kids-1",
        ce_account="acc 7 é",
        ce_viewers="120",
        ce_dataref="s3://bucket/a/17.m4s?versionId=3",
        ce_datasha256="AB" * 32,
        ce_datasize="1000",
        ce_dataetag='"5d41"',
        ce_dataversion="v7",
        ce_byterange="0-999",
        ce_initref="s3://bucket/a/init.mp4",
        ce_partitionkey="stream-1",
        traceparent=PARENT,
        tracestate="vendor=1",
        ce_unheard="of",
        other=b"\xff\xfe",
    )
    assert segment(received) == Segment(
        position=POSITION,
        event=EventId(source="/packager/7", id="seg-17"),
        stream_id="stream-1",
        content_type="video/iso.segment",
        payload=Reference(
            uri="s3://bucket/a/17.m4s?versionId=3",
            sha256="ab" * 32,
            size_bytes=1000,
            etag='"5d41"',
            version="v7",
            byterange=(0, 999),
        ),
        init=Reference(uri="s3://bucket/a/init.mp4"),
        sequence=2**53 - 1,
        captured_at=datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        media_time_s=34.5,
        duration_s=2.0,
        discontinuity=True,
        test=True,
        tenant="kids-1",
        account="acc 7 é",
        viewers=120,
        trace=Trace(traceparent=PARENT, tracestate="vendor=1"),
    )


def test_times_are_kept_in_utc() -> None:
    """An offset in ce_time is counted away, so that records compare."""
    read_at = segment(binary(ce_time="2026-11-01T13:00:00+01:00")).captured_at
    assert read_at is not None
    assert read_at.utcoffset() == timedelta(0)


def test_of_a_repeated_header_the_last_counts() -> None:
    """Kafka allows a header twice; a publisher that adds one means the last."""
    once = binary(ce_sequence="1")
    twice = Received(
        position=POSITION,
        key=once.key,
        value=once.value,
        headers=(*once.headers, ("ce_sequence", b"2"), ("content-type", b"video/mp4")),
    )
    assert (segment(twice).sequence, segment(twice).content_type) == (2, "video/mp4")


@pytest.mark.parametrize("content_type", ["VIDEO/MP4", 'video/mp4; codecs="avc1.4d401f"', " Video/Mp4 ;x=y"])
def test_case_and_parameters_of_the_content_type_do_not_matter(content_type: str) -> None:
    """Media types compare without case, and their parameters say nothing we need."""
    assert segment(binary(content_type=content_type)).content_type == "video/mp4"


def test_the_content_type_header_may_be_spelt_in_capitals() -> None:
    """Some clients write it as HTTP does."""
    assert segment(binary(content_type=None, **{"Content-Type": "video/webm"})).content_type == "video/webm"


def test_a_header_without_a_value_is_not_there() -> None:
    """Kafka's headers can be null, and a client passes that on as None."""
    whole = binary()
    received = Received(
        position=POSITION,
        key=whole.key,
        value=whole.value,
        headers=(*whole.headers, ("ce_sequence", None)),  # type: ignore[arg-type]  # what aiokafka does for a null
    )
    assert segment(received).sequence is None


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_header_is_named(name: str) -> None:
    """The reason says which header it is."""
    error = refusal(binary(**{name: None}))
    assert (error.error, name in error.reason) == ("missing_header", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", "0.3"),
        ("ce_specversion", ""),
        ("ce_id", ""),
        ("ce_id", "x" * 1025),
        ("ce_id", "a\nb"),
        ("ce_source", b"\xff"),
        ("ce_source", "x" * 1025),
        ("ce_type", b"\xff"),
        ("content-type", "video/quicktime"),
        ("content-type", b"\xff"),
        ("content-type", "v" * 5000),
        ("ce_sequence", "-1"),
        ("ce_sequence", "+1"),
        ("ce_sequence", " 1"),
        ("ce_sequence", "1_000"),
        ("ce_sequence", "1.0"),
        ("ce_sequence", "٣"),
        ("ce_sequence", ""),
        ("ce_sequence", str(2**53)),
        ("ce_sequence", "9" * 5000),
        ("ce_time", "yesterday"),
        ("ce_time", "2026-11-01"),
        ("ce_time", "2026-11-01T12:00:00"),
        ("ce_time", "2026-02-30T12:00:00Z"),
        ("ce_time", "0001-01-01T00:00:00+10:00"),
        ("ce_time", "1790000000"),
        ("ce_mediatime", "nan"),
        ("ce_mediatime", "inf"),
        ("ce_mediatime", "1e999"),
        ("ce_mediatime", "1e11"),
        ("ce_mediatime", "-0.5"),
        ("ce_mediatime", "1,5"),
        ("ce_mediatime", "0x10"),
        ("ce_duration", "PT2S"),
        ("ce_duration", "2s"),
        ("ce_duration", ""),
        ("ce_discontinuity", "True"),
        ("ce_discontinuity", "1"),
        ("ce_test", "yes"),
        ("ce_test", ""),
        ("ce_viewers", "-3"),
        ("ce_viewers", "many"),
        ("ce_tenant", "x" * 257),
        ("ce_tenant", "a\x00b"),
        ("ce_tenant", ""),
        ("ce_account", "a\x85b"),
        ("ce_account", b"\xc3"),
        ("ce_initref", "init.mp4"),
        ("ce_initref", "s3://bucket/a b"),
        ("ce_datasha256", "zz" * 32),
        ("ce_datasha256", "ab" * 31),
        ("ce_datasize", "1k"),
        ("ce_dataetag", ""),
        ("ce_dataversion", "x" * 1025),
        ("ce_byterange", "bytes=0-9"),
        ("ce_byterange", "9-0"),
        ("ce_byterange", "0-"),
        ("ce_byterange", f"0-{2**53}"),
        ("ce_dataref", "../17.ts"),
        ("ce_dataref", "s3://" + "x" * 8192),
        ("ce_dataref", ""),
    ],
)
def test_a_malformed_header_is_refused_by_name(name: str, value: str | bytes) -> None:
    """The reason names the header, required or optional."""
    error = refusal(binary(**{name: value}))
    assert (error.error, name in error.reason) == ("bad_header", True)


def test_a_refusal_repeats_no_url() -> None:
    """A malformed reference may hold a credential."""
    received = binary(value=None, ce_dataref="https://user:hunter2@host/a b?token=hunter2")
    assert "hunter2" not in refusal(received).reason


@pytest.mark.parametrize(
    ("key", "why"),
    [(None, "no key"), (b"", "no key"), (b"\xff\xfe", "UTF-8"), (b"x" * 257, "257")],
)
def test_a_key_that_is_no_stream_id_is_refused(key: bytes | None, why: str) -> None:
    """The key has to be UTF-8 of 1 to 256 bytes."""
    error = refusal(binary(key=key))
    assert (error.error, why in error.reason) == ("bad_key", True)


def test_a_key_of_256_bytes_is_a_stream_id() -> None:
    """The bound is inclusive, and counts bytes."""
    assert segment(binary(key=("é" * 128).encode())).stream_id == "é" * 128


def test_a_partition_key_that_is_not_the_key_is_refused() -> None:
    """Else two readers would tell different streams."""
    assert refusal(binary(ce_partitionkey="stream-2")).error == "bad_key"


@pytest.mark.parametrize(
    "kind", ["framewatch.segment.v2", "framewatch.init.v9", "framewatch.end", "framewatch.segment"]
)
def test_another_version_says_which_is_read(kind: str) -> None:
    """A publisher that is ahead of the worker learns what the worker reads."""
    error = refusal(binary(ce_type=kind))
    assert (error.error, "version v1 only" in error.reason) == ("unknown_type", True)


@pytest.mark.parametrize("kind", ["com.example.other", "framewatch.segmented.v1", "x" * 1000, "Framewatch.Segment.v1"])
def test_another_type_says_what_the_topic_carries(kind: str) -> None:
    """The reason stays bounded, whatever the type is."""
    error = refusal(binary(ce_type=kind))
    assert (error.error, "framewatch.segment.v1" in error.reason) == ("unknown_type", True)
    assert len(error.reason) < 300


@pytest.mark.parametrize("value", [None, b""])
def test_a_segment_without_bytes_is_refused(value: bytes | None) -> None:
    """There has to be a body or a claim check."""
    assert refusal(binary(value=value)).error == "no_body"


def test_a_body_beside_a_claim_check_is_refused() -> None:
    """Nobody could tell which of them counts."""
    assert refusal(binary(ce_dataref="s3://bucket/17.ts")).error == "body_and_dataref"


def test_an_empty_value_beside_a_claim_check_is_fine() -> None:
    """Some clients can't send a null."""
    assert segment(binary(value=b"", ce_dataref="s3://bucket/17.ts")).payload == Reference(uri="s3://bucket/17.ts")


def test_a_body_over_the_limit_is_refused() -> None:
    """The limit is inclusive and both sizes are told."""
    assert segment(binary(value=b"x" * 100)).payload == b"x" * 100
    assert isinstance(read(binary(value=b"x" * 100), max_message_bytes=100), Segment)
    error = refusal(binary(value=b"x" * 101), limit=100)
    assert (error.error, "101" in error.reason, "100" in error.reason) == ("too_large", True, True)


@pytest.mark.parametrize(
    "parent",
    [
        "garbage",
        PARENT.upper(),
        PARENT + "-extra",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        b"\xff",
    ],
)
def test_a_malformed_trace_is_no_trace(parent: str | bytes) -> None:
    """W3C has receivers go on without one; a segment is never lost over it."""
    assert segment(binary(traceparent=parent, tracestate="a=1")).trace is None


def test_a_trace_of_a_later_version_is_kept() -> None:
    """Only version 00 has nothing after its flags."""
    later = "01" + PARENT[2:] + "-more"
    assert segment(binary(traceparent=later)).trace == Trace(traceparent=later)


def test_an_initialisation_carries_a_body_or_a_claim_check() -> None:
    """Both ways give one record."""
    kind = {"ce_type": "framewatch.init.v1", "content_type": "video/mp4"}
    event = EventId(source="/packager/7", id="seg-17")
    inline = read(binary(**kind), max_message_bytes=LIMIT)
    assert inline == Initialisation(position=POSITION, event=event, stream_id="stream-1", payload=b"media")
    checked = read(binary(value=None, ce_dataref="s3://b/init.mp4", **kind), max_message_bytes=LIMIT)
    assert isinstance(checked, Initialisation)
    assert checked.payload == Reference(uri="s3://b/init.mp4")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"value": b"x" * (256 * 1024 + 1)}, "too_large"),
        ({"value": None, "ce_dataref": "s3://b/i", "ce_datasize": str(256 * 1024 + 1)}, "too_large"),
        ({"content_type": "video/mp2t"}, "bad_header"),
        ({"content_type": None}, "missing_header"),
        ({"value": None}, "no_body"),
    ],
)
def test_an_initialisation_keeps_to_its_bounds(change: dict[str, str | bytes | None], error: str) -> None:
    """At most 256 KiB of video/mp4, and never nothing."""
    kind = {"ce_type": "framewatch.init.v1", "content_type": "video/mp4"}
    assert refusal(binary(**{**kind, **change})).error == error  # type: ignore[arg-type]  # the table mixes them


def test_an_end_needs_neither_body_nor_content_type() -> None:
    """It says only that the stream is over."""
    end = read(binary(value=None, content_type=None, ce_type="framewatch.end.v1"), max_message_bytes=LIMIT)
    assert end == StreamEnd(position=POSITION, event=EventId(source="/packager/7", id="seg-17"), stream_id="stream-1")


def test_structured_mode_says_the_same() -> None:
    """Attributes may be JSON text, numbers or booleans, null is not there, the body is base64."""
    body = b"\x00media\xff"
    received = structured(
        data_base64=base64.b64encode(body).decode(),
        sequence=17,
        mediatime=34.5,
        duration="2.0",
        test=True,
        discontinuity="false",
        time="2026-11-01T12:00:00Z",
        viewers=None,
        partitionkey="stream-1",
        extension={"any": ["thing"]},
    )
    assert segment(received) == segment(
        binary(
            value=body,
            ce_sequence="17",
            ce_mediatime="34.5",
            ce_duration="2.0",
            ce_test="true",
            ce_time="2026-11-01T12:00:00Z",
        )
    )


def test_a_structured_claim_check_keeps_the_trace_of_its_headers() -> None:
    """The trace is a plain Kafka header in both modes."""
    event = structured(dataref="s3://b/17.ts")
    received = Received(
        position=POSITION, key=event.key, value=event.value, headers=(*event.headers, ("traceparent", PARENT.encode()))
    )
    read_back = segment(received)
    assert (read_back.payload, read_back.trace) == (Reference(uri="s3://b/17.ts"), Trace(traceparent=PARENT))


@pytest.mark.parametrize(
    ("received", "error"),
    [
        (raw_structured(None), "no_body"),
        (raw_structured(b""), "no_body"),
        (raw_structured(b"{"), "bad_header"),
        (raw_structured(b"[]"), "bad_header"),
        (raw_structured(b"\xff"), "bad_header"),
        (raw_structured(b'{"x":' + b"[" * 100_000), "bad_header"),
        (raw_structured(b"{}"), "missing_header"),
        (structured(dataref="s3://b/17.ts", id={"a": 1}), "bad_header"),
        (structured(dataref="s3://b/17.ts", id=["a"]), "bad_header"),
        (structured(dataref="s3://b/17.ts", sequence=1.5), "bad_header"),
        (structured(dataref="s3://b/17.ts", sequence=10**400), "bad_header"),
        (structured(dataref="s3://b/17.ts", tenant="x" * 20_000), "bad_header"),
        (structured(dataref="s3://b/17.ts", id="\ud800"), "bad_header"),
        (structured(dataref="s3://b/17.ts", test="True"), "bad_header"),
        (structured(dataref="s3://b/17.ts", datacontenttype=None), "missing_header"),
        (structured(dataref="s3://b/17.ts", specversion="0.3"), "bad_header"),
        (structured(dataref="s3://b/17.ts", data_base64="AAAA"), "body_and_dataref"),
        (structured(data_base64="not base64"), "bad_header"),
        (structured(data_base64=""), "no_body"),
        (structured(data={"a": 1}), "no_body"),
        (structured(), "no_body"),
        (structured(key=None, dataref="s3://b/17.ts"), "bad_key"),
        (structured(partitionkey="other", dataref="s3://b/17.ts"), "bad_key"),
        (structured(type="framewatch.segment.v2", dataref="s3://b/17.ts"), "unknown_type"),
    ],
)
def test_a_structured_event_is_checked_as_strictly(received: Received, error: str) -> None:
    """Each mistake has the name that it has in binary mode."""
    assert refusal(received).error == error


def test_identity_is_told_from_whatever_can_be_read() -> None:
    """A dead letter says as much as there is, each part for itself."""
    assert identify(binary(ce_sequence="7")) == Identity(stream_id="stream-1", sequence=7, event_id="seg-17")
    assert identify(structured(sequence=7)) == Identity(stream_id="stream-1", sequence=7, event_id="seg-17")
    assert identify(binary(key=b"\xff", ce_sequence="x", ce_id=b"\xff")) == Identity(
        stream_id=None, sequence=None, event_id=None
    )
    assert identify(raw_structured(b"{")) == Identity(stream_id="stream-1", sequence=None, event_id=None)


NAMES = [*REQUIRED, "ce_sequence", "ce_dataref", "ce_time", "ce_byterange", "traceparent", "x"]
VALUES = st.binary(max_size=30) | st.sampled_from(
    [b"1.0", b"1", b"framewatch.segment.v1", b"video/mp2t", b"application/cloudevents+json", b"s3://b/k", b"0-1"]
)


@given(
    key=st.none() | st.binary(max_size=300),
    value=st.none() | st.binary(max_size=300) | st.from_regex(rb'\{"id":.*\}', fullmatch=True),
    headers=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=12),
)
def test_any_bytes_are_an_event_or_a_named_refusal(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """Nothing but SegmentError leaves read, and nothing at all leaves identify."""
    received = Received(position=POSITION, key=key, value=value, headers=tuple(headers))
    identify(received)
    try:
        read(received, max_message_bytes=200)
    except SegmentError as error:
        names = {"missing_header", "bad_header", "bad_key", "unknown_type", "no_body", "body_and_dataref", "too_large"}
        assert error.error in names  # noqa: PT017  # both ends are right; only another error is wrong
