"""A trace that goes through us."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.records import Position, Trace
from worker.wire import headers
from worker.wire.trace import context, following, sampled_id, span_id

TRACE_ID, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
POSITION = Position(topic="segments", partition=3, offset=41, timestamp_ms=0)

hexes = st.text("0123456789abcdef")


def traced(flags: str = "01", version: str = "00", more: str = "") -> Trace:
    """A trace as it came."""
    return Trace(traceparent=f"{version}-{TRACE_ID}-{PARENT}-{flags}{more}", tracestate="a=1")


def test_what_follows_keeps_the_trace_and_names_our_work_as_its_parent() -> None:
    """Trace id, state and sampling stay; the parent is a span of ours."""
    after = following(traced(), POSITION)
    assert after == Trace(traceparent=f"00-{TRACE_ID}-{span_id(traced(), POSITION)}-01", tracestate="a=1")
    assert PARENT not in after.traceparent


def test_the_same_work_is_the_same_span_and_other_work_another() -> None:
    """A record that is worked again after a crash is not a second span; the next record is."""
    of = {span_id(traced(), POSITION), span_id(traced(), POSITION)}
    others = [
        Position(topic="segments", partition=3, offset=42, timestamp_ms=0),
        Position(topic="segments", partition=4, offset=41, timestamp_ms=0),
        Position(topic="other", partition=3, offset=41, timestamp_ms=0),
    ]
    assert len(of) == 1
    assert len(of | {span_id(traced(), position) for position in others}) == 4


@pytest.mark.parametrize(
    ("flags", "kept", "goes_on"),
    [("00", False, "00"), ("01", True, "01"), ("02", False, "02"), ("03", True, "03"), ("ff", True, "03")],
)
def test_whether_it_is_sampled_stays_as_it_is_and_unknown_flags_go(flags: str, *, kept: bool, goes_on: str) -> None:
    """Nobody samples here what the publisher did not, and a flag that we do not know is not passed on."""
    trace = traced(flags)
    assert sampled_id(trace) == (TRACE_ID if kept else None)
    assert following(trace, POSITION).traceparent.endswith(f"-{goes_on}")


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """What we write is version 00, whatever came."""
    after = following(traced(version="cc", more="-what-comes-later"), POSITION)
    assert after.traceparent.startswith(f"00-{TRACE_ID}-")
    assert after.traceparent.endswith("-01")


def test_without_a_trace_nothing_is_sampled() -> None:
    """Most publishers have none."""
    assert sampled_id(None) is None


@given(version=hexes, trace_id=hexes, parent=hexes, flags=hexes, more=st.text(max_size=20))
def test_whatever_is_read_as_a_trace_can_be_followed(
    version: str, trace_id: str, parent: str, flags: str, more: str
) -> None:
    """No header that passes the check breaks what comes after it."""
    sent = f"{version}-{trace_id.ljust(32, 'a')[:32]}-{parent.ljust(16, 'b')[:16]}-{flags[:2].rjust(2, '0')}{more}"
    found = headers.trace({"traceparent": sent.encode(errors="replace")})
    if found is not None:
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", following(found, POSITION).traceparent)
        assert context(found).trace_id in following(found, POSITION).traceparent


@pytest.mark.parametrize("plain", [None, b"garbage", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"])
def test_the_cloudevents_attribute_stands_in_for_the_plain_header(plain: bytes | None) -> None:
    """A publisher with CloudEvents' extension needs no second header, and a broken plain one hides it not."""
    found = {"ce_traceparent": traced().traceparent.encode(), "ce_tracestate": b"a=1"}
    assert headers.trace(found if plain is None else {**found, "traceparent": plain}) == traced()


def test_the_plain_header_counts_first() -> None:
    """It is of the last hop; the attribute may be older."""
    other = f"00-{TRACE_ID[::-1]}-{PARENT}-00"
    found = {"ce_traceparent": traced().traceparent.encode(), "traceparent": other.encode(), "ce_tracestate": b"a=1"}
    assert headers.trace(found) == Trace(traceparent=other)
