"""Assessments as the contract has them: one for each consumed event, whatever became of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from worker.records import AssessmentReport, ReportedFrame, ReportedMatch, Timings
from worker.references import appended_at, moment
from worker.uris import public_text

if TYPE_CHECKING:
    from datetime import datetime

    from worker.records import Failure, Look, Placed, Received, StreamRisk


class Stream(Protocol):
    """What an assessment tells of its stream (a ``StreamState``)."""

    @property
    def risk(self) -> StreamRisk:
        """Its risk after the segment."""


class Identity(Protocol):
    """What can be told of a record that may be unreadable (``worker.wire``'s)."""

    @property
    def stream_id(self) -> str | None:
        """The stream, None where there is no usable one."""

    @property
    def sequence(self) -> int | None:
        """The segment's sequence."""

    @property
    def event_id(self) -> str | None:
        """The event's id."""


def report(placed: Placed, state: Stream, now: datetime) -> AssessmentReport:
    """Return what became of a segment; ``state`` is its stream's after it."""
    assessment = placed.assessment
    segment = assessment.segment
    return AssessmentReport(
        topic=segment.position.topic,
        partition=segment.position.partition,
        offset=segment.position.offset,
        event_id=public_text(segment.event.id),
        stream_id=segment.stream_id,
        outcome=assessment.outcome,
        why=assessment.why,
        sequence=segment.sequence,
        media_time_s=placed.media_time_s,
        duration_s=assessment.duration_s if assessment.duration_s is not None else segment.duration_s,
        frames=tuple(_frame(look, placed.media_time_s) for look in assessment.looks),
        digest=assessment.sha256,
        risk=state.risk.value,
        timings=Timings(
            captured_at=segment.captured_at,
            appended_at=appended_at(segment),
            received_at=assessment.received_at,
            decided_at=now,
        ),
    )


def refused(
    received: Received, identity: Identity, failure: Failure, now: datetime, *, received_at: datetime | None = None
) -> AssessmentReport:
    """Return what became of an event that could not be read: a dead letter, and nothing seen of it."""
    position = received.position
    return AssessmentReport(
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        event_id=None if identity.event_id is None else public_text(identity.event_id),
        stream_id=identity.stream_id,
        outcome="dead_lettered",
        why=failure.error,
        sequence=identity.sequence,
        media_time_s=None,
        duration_s=None,
        frames=(),
        digest=None,
        risk=None,
        timings=Timings(appended_at=moment(position.timestamp_ms), received_at=received_at, decided_at=now),
    )


def _frame(look: Look, starts_at_s: float) -> ReportedFrame:
    return ReportedFrame(
        media_time_s=starts_at_s + look.offset_s,
        quality=look.hash.quality,
        scores=look.scores or {},
        matches=tuple(
            ReportedMatch(list=match.list, entry=match.entry, distance=match.distance) for match in look.matches
        ),
        near_duplicate=look.near_duplicate,
    )
