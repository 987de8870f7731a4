"""What is told of what happened."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment, at_ms

from worker import conclude
from worker.breaker import Breaker
from worker.conclude import Rules
from worker.escalation.context import Context
from worker.observe import PartitionObserver, Sparing, breaker_judge
from worker.policy.read import default
from worker.records import Failure, Received
from worker.settings.tree import LinkTemplates, Topics
from worker.streams.state import StreamState
from worker.telemetry import Telemetry

CONTEXT = Context(
    model=None, policy=default().ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="test"
)
RULES = Rules(policy=default(), context=CONTEXT, topics=Topics(), max_message_bytes=1024**2, with_payload=False)


@pytest.mark.parametrize("timestamp_ms", [-1, -(10**15), 0, 10**18])
def test_an_incident_is_told_whatever_timestamp_its_publisher_set(timestamp_ms):
    """A record's timestamp may be no date: the incident has left, and telling of it must not end the worker."""
    segment = a_segment(0)
    received = Received(
        position=replace(segment.position, timestamp_ms=timestamp_ms), key=b"stream-1", value=b"", headers=()
    )
    assessment = an_assessment(segment, looks=(a_look(0.0, a_match()),))
    conclusion = conclude.segment(StreamState(stream_id="stream-1"), assessment, received, START, RULES)
    assert conclusion.incident is not None
    telemetry = Telemetry()
    PartitionObserver(telemetry, 0).released(received, conclusion, START)
    assert b'change="opened"' in telemetry.expose("")[0]


def test_one_bad_stream_is_told_once_in_a_while_and_no_other_is_kept_back():
    """A flood of one publisher's dead letters hides nobody else's."""
    sparing = Sparing(every_s=60.0, most=3)
    told = [sparing.pass_("bad", at_s) for at_s in (0.0, 1.0, 59.0, 60.0, 61.0)]
    assert told == [0, None, None, 2, None]
    assert sparing.pass_("other", 61.0) == 0
    for kind in ("a", "b", "c"):
        assert sparing.pass_(kind, 62.0) == 0
    assert sparing.pass_("bad", 63.0) == 0


def test_a_bad_deploy_halts_intake_with_the_breaker_s_line():
    """Each segment's turn reaches the breaker with what its stream was before; it halts once."""
    halts: list[str] = []
    judge = breaker_judge(Breaker(), halts.append, lambda: 0.0)
    failure = Failure(stage="score", error="model_failed", reason="x")
    for n in range(25):
        position = replace(a_segment(0).position, partition=n % 2)
        segment = a_segment(0, stream_id=f"s{n}", position=position)
        before = StreamState(stream_id=f"s{n}", last_look_ms=at_ms(-10))
        judge(before, an_assessment(segment, looks=(), outcome="dead_lettered", failure=failure))
    assert len(halts) == 1
    assert halts[0].startswith("20 of 20 streams")
