"""Assessments as they are told: one for each consumed event."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment

from worker import reports
from worker.records import Failure, Placed, Position, Received, StreamRisk
from worker.streams.memory import advance
from worker.streams.state import StreamState

NOW = START + timedelta(seconds=30)
FAILURE = Failure(stage="wire", error="bad_key", reason="the key is no UTF-8")


class Told(msgspec.Struct, frozen=True):
    """What could be told of a record."""

    stream_id: str | None
    sequence: int | None
    event_id: str | None


def placed(**changes: object) -> tuple[StreamState, Placed]:
    """Return the first segment of a stream, placed."""
    looks = (a_look(0.5, a_match(), probability=None), replace(a_look(1.5, probability=0.75), near_duplicate=True))
    assessment = replace(an_assessment(a_segment(0, media_time_s=100.0), looks=looks), **changes)
    state, one = advance(StreamState(stream_id="stream-1"), assessment, preserve_before_s=120.0)
    return replace(state, risk=StreamRisk(value=2.5)), one


def test_an_assessment_tells_what_was_seen() -> None:
    """Frames with media time, quality, scores and matches, and the risk after them."""
    state, one = placed()
    report = reports.report(one, state, NOW)
    assert (report.topic, report.partition, report.offset, report.event_id) == ("segments", 3, 1000, "event-0")
    assert (report.outcome, report.why, report.media_time_s, report.duration_s) == ("assessed", None, 100.0, 2.0)
    assert [frame.media_time_s for frame in report.frames] == [100.5, 101.5]
    assert [match.entry for match in report.frames[0].matches] == ["clip-7"]
    assert [frame.near_duplicate for frame in report.frames] == [False, True]
    assert (report.frames[0].scores, report.frames[1].scores["card"].probability) == ({}, 0.75)
    assert (report.risk, report.digest) == (2.5, one.assessment.sha256)
    assert (report.timings.appended_at, report.timings.decided_at) == (START, NOW)


def test_a_failed_segment_of_a_stream_is_told_too() -> None:
    """Its stream is known, nothing was seen of it."""
    state, one = placed(outcome="dead_lettered", why="corrupt", failure=FAILURE, looks=(), duration_s=None)
    report = reports.report(one, state, NOW)
    assert (report.outcome, report.why, report.stream_id, report.frames) == ("dead_lettered", "corrupt", "stream-1", ())


def test_an_event_without_a_stream_is_told_too() -> None:
    """All that is unknown of it is null, and none of it is absent."""
    position = Position(topic="segments", partition=3, offset=7, timestamp_ms=-1)
    received = Received(position=position, key=b"\xff", value=None, headers=())
    identity = Told(stream_id=None, sequence=None, event_id="https://user:secret@host/e?secret")
    report = reports.refused(received, identity, FAILURE, NOW)
    body = msgspec.json.decode(msgspec.json.encode(report))
    assert body == {
        "topic": "segments",
        "partition": 3,
        "offset": 7,
        "event_id": "https://host/e",
        "stream_id": None,
        "outcome": "dead_lettered",
        "why": "bad_key",
        "sequence": None,
        "media_time_s": None,
        "duration_s": None,
        "frames": [],
        "digest": None,
        "risk": None,
        "timings": {
            "captured_at": None,
            "appended_at": None,
            "received_at": None,
            "decided_at": "2026-11-22T12:00:30Z",
        },
    }
