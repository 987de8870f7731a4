"""What is told of what happened."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment

from worker import conclude
from worker.conclude import Rules
from worker.escalation.context import Context
from worker.observe import PartitionObserver
from worker.policy.read import default
from worker.records import Received
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
