"""Counts what a released event led to: its outcome, what of its stream was watched, what was found, how late."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from worker.references import moment
from worker.telemetry.catalogue.bounds import Unwatched
from worker.wire.trace import sampled_id

if TYPE_CHECKING:
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.records import Assessment, Incident, Look, Received
    from worker.streams.coverage import Gained
    from worker.telemetry import Telemetry

LONGEST_S = 86_400.0
"""A publisher may set a record's timestamp to 1970: no single one shall be most of a histogram's sum."""
CAUSES: dict[str, Unwatched] = {cause: cause for cause in get_args(Unwatched)}


class Outcomes:
    """Counts in a telemetry."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Count in ``telemetry``."""
        self._telemetry = telemetry

    def released(self, received: Received, conclusion: Conclusion, now: datetime) -> None:
        """Count an event whose results the broker has since ``now``."""
        assessment, failure = conclusion.assessment, conclusion.failure
        trace_id = sampled_id(assessment.segment.trace) if assessment is not None else None
        if assessment is not None:
            self._telemetry.outcome(assessment.outcome, assessment.why)
            self._look(assessment)
        elif failure is not None:
            self._telemetry.outcome("dead_lettered", failure.error)
        else:
            self._telemetry.noticed()
            return
        self._telemetry.known_after(_age_s(received, now), trace_id)
        if failure is not None:
            self._telemetry.dead_letter(failure.stage, failure.error)
        if conclusion.gained is not None and assessment is not None:
            self._cover(conclusion.gained, _cause(assessment))

    def incident(self, incident: Incident, received: Received, conclusion: Conclusion, now: datetime) -> float:
        """Count an incident that a segment led to; return how many seconds after its append the broker has it."""
        segment = conclusion.assessment.segment if conclusion.assessment is not None else None
        captured_at = segment.captured_at if segment is not None else None
        seconds = _age_s(received, now)
        self._telemetry.escalated_after(
            seconds,
            None if captured_at is None else _bounded((now - captured_at).total_seconds()),
            sampled_id(segment.trace) if segment is not None else None,
        )
        self._count(incident, change(incident))
        return seconds

    def of_silence(self, incident: Incident) -> None:
        """Count an incident that the silence of its stream led to."""
        self._count(incident, "closed" if incident.state == "closed" else "updated")

    def _count(self, incident: Incident, changed: str) -> None:
        self._telemetry.incident(changed, incident.severity, test=incident.test)
        if changed == "opened":
            self._telemetry.opened_for({reason.kind for reason in incident.reasons}, incident.severity)

    def _cover(self, gained: Gained, cause: Unwatched) -> None:
        telemetry = self._telemetry
        telemetry.watched(gained.watched_s)
        if gained.recovered_s:
            telemetry.recovered(gained.recovered_s)
        if gained.missing_s:
            telemetry.unwatched("missing", gained.missing_s)
        if gained.unseen_s:
            telemetry.unwatched(cause, gained.unseen_s)
        if gained.missing_s or gained.unseen_s:
            telemetry.gap(cause if gained.unseen_s else "missing", gained.gap_s)

    def _look(self, assessment: Assessment) -> None:
        looks = assessment.looks
        counts = {"seen": assessment.keyframes_seen}
        if looks:
            counts["looked"] = len(looks)
            counts["hashed"] = sum(look.hash.pdq is not None for look in looks)
            counts["scored"] = sum(look.scores is not None for look in looks)
        self._telemetry.keyframes(counts)
        for look in looks:
            self._found(look)

    def _found(self, look: Look) -> None:
        for match in look.matches:
            self._telemetry.matched(match.list)
        for label, score in (look.scores or {}).items():
            self._telemetry.scored(label, score.probability)


def change(incident: Incident) -> str:
    """Return what became of an incident with this revision."""
    return "opened" if incident.revision == 1 else "closed" if incident.state == "closed" else "updated"


def _cause(assessment: Assessment) -> Unwatched:
    """Return why what was not seen of a segment was not."""
    if assessment.failure is not None:
        return CAUSES[assessment.failure.stage]
    if assessment.outcome == "assessed":
        return "overload" if assessment.why == "hurried" else "unmeasured"
    return CAUSES.get(assessment.why or "", "unmeasured")


def _age_s(received: Received, now: datetime) -> float:
    """Return how long ago the broker had a record; its publisher may have set the timestamp, to anything."""
    appended_at = moment(received.position.timestamp_ms) or now
    return _bounded((now - appended_at).total_seconds())


def _bounded(seconds: float) -> float:
    return min(LONGEST_S, max(0.0, seconds))
