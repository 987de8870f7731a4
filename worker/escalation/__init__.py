"""Incidents as the contract has them, made from a decision and what is known of its stream. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.escalation.context import Context, Stream
from worker.escalation.explanation import explain, weightiest_first
from worker.escalation.links import check_links, links
from worker.records import (
    Coverage,
    Group,
    Incident,
    Links,
    MediaTimeFrom,
    Preserve,
    Reason,
    ReasonFrame,
    RiskFigures,
    SegmentRef,
    Timings,
)
from worker.references import appended_at, later, material, moment, segment_ref, wall

if TYPE_CHECKING:
    from worker.records import Decision, Evidence, Placed
    from worker.references import Wall

__all__ = ["Context", "Stream", "check_links", "incident", "test_incident"]


class _Moment(Struct, frozen=True):
    """The moment that an incident is about: its weightiest frame, else its segment, else where the stream was last."""

    media_time_s: float
    media_time_from: MediaTimeFrom
    wall_time: datetime | None
    sequence: int | None


def incident(
    decision: Decision,
    placed: Placed | None,
    state: Stream,
    now: datetime,
    context: Context,
    *,
    earlier: tuple[Reason, ...] = (),
) -> Incident:
    """Return the body of an escalation.

    Args:
        decision: What a step of risk led to.
        placed: The segment that led to it; None where none did (the stream ended, fell silent, got a verdict).
        state: What is known of the stream, that segment included.
        now: When it was decided.
        context: What the deployment decides with.
        earlier: What segments before said, for an opening that many looks led to.
    """
    about = decision.incident
    at = _moment(decision, placed, state)
    closed = decision.change == "closed"
    return Incident(
        incident_id=about.incident_id,
        revision=about.revision,
        test=about.test,
        state="closed" if closed else "open",
        closed_why=decision.closed_why,
        live=None if decision.closed_why == "idle" else about.live,
        behind_s=_behind_s(state, now),
        stream_id=state.stream_id,
        tenant=state.tenant,
        account=state.account,
        group=Group(account=state.account, material=_material(decision, state)),
        severity=decision.severity,
        respond_by=later(about.opened_at if closed else now, decision.respond_within_s),
        opened_at=about.opened_at,
        updated_at=now,
        closed_at=now if closed else None,
        action=decision.action,
        media_time_s=at.media_time_s,
        media_time_from=at.media_time_from,
        sequence=at.sequence,
        viewers=state.viewers,
        links=_links(about.incident_id, at, state, context),
        risk=_figures(decision),
        reasons=(*reasons(decision.evidence, placed), *earlier),
        explanation=explain(
            decision,
            placed,
            state.coverage,
            earlier=earlier,
            with_model=context.model is not None,
            with_lists=bool(context.lists),
        ),
        preserve=_preserve(decision, placed, state, now, context.preserve_before_s),
        model=context.model,
        policy=context.policy,
        lists=context.lists,
        coverage=state.coverage,
        timings=_timings(placed, now),
    )


def test_incident(stream_id: str, now: datetime, context: Context) -> Incident:
    """Return an incident that shows whether a reviewer's tool gets them; it is about nothing, and says so."""
    digest = hashlib.sha256(f"test {now.isoformat()} {stream_id}".encode()).hexdigest()
    incident_id = f"test-{digest[:32]}"
    values = {"stream_id": stream_id, "incident_id": incident_id, "wall_time": now.isoformat(), "media_time_s": "0.000"}
    return Incident(
        incident_id=incident_id,
        revision=1,
        test=True,
        state="open",
        closed_why=None,
        live=None,
        behind_s=None,
        stream_id=stream_id,
        tenant=None,
        account=None,
        group=Group(account=None, material=None),
        severity="low",
        respond_by=None,
        opened_at=now,
        updated_at=now,
        closed_at=None,
        action="none",
        media_time_s=0.0,
        media_time_from="counted",
        sequence=None,
        viewers=None,
        links=links(context.links, values),
        risk=RiskFigures(value=0.0, peak=0.0, open_above=0.0, close_below=0.0),
        reasons=(),
        explanation="This is a test. Somebody asked for it to see whether incidents arrive; nothing was found.",
        preserve=Preserve(from_=None, until=None, segments=()),
        model=context.model,
        policy=context.policy,
        lists=context.lists,
        coverage=Coverage(),
        timings=Timings(decided_at=now),
    )


def _moment(decision: Decision, placed: Placed | None, state: Stream) -> _Moment:
    if placed is None:
        at = None if state.last_look_ms is None else moment(state.last_look_ms)
        return _Moment(state.media_time_s or 0.0, state.media_time_from, at, state.sequence)
    offset_s = _heaviest_offset_s(decision, placed)
    segment = placed.assessment.segment
    return _Moment(placed.media_time_s + offset_s, placed.media_time_from, wall(segment, offset_s).at, segment.sequence)


def _heaviest_offset_s(decision: Decision, placed: Placed) -> float:
    looks = (evidence.look for evidence in weightiest_first(decision.evidence))
    return next((placed.assessment.looks[look].offset_s for look in looks if look is not None), 0.0)


def _behind_s(state: Stream, now: datetime) -> float | None:
    looked_at = None if state.last_look_ms is None else moment(state.last_look_ms)
    return None if looked_at is None else max(0.0, (now - looked_at).total_seconds())


def _material(decision: Decision, state: Stream) -> str | None:
    """Return the key of the known material: the stream's, so that it stays the same over an incident's revisions."""
    if state.material is not None:
        return state.material
    matches = (evidence.match for evidence in decision.evidence)
    return next((material(match.list, match.entry) for match in matches if match is not None), None)


def _links(incident_id: str, at: _Moment, state: Stream, context: Context) -> Links:
    values = {
        "stream_id": state.stream_id,
        "account": state.account,
        "tenant": state.tenant,
        "sequence": None if at.sequence is None else str(at.sequence),
        "media_time_s": f"{at.media_time_s:.3f}",
        "wall_time": None if at.wall_time is None else at.wall_time.isoformat(),
        "incident_id": incident_id,
    }
    return links(context.links, values)


def _figures(decision: Decision) -> RiskFigures:
    return RiskFigures(
        value=decision.risk.value,
        peak=decision.risk.peak,
        open_above=decision.open_above,
        close_below=decision.close_below,
    )


def reasons(evidence: tuple[Evidence, ...], placed: Placed | None) -> tuple[Reason, ...]:
    """Return evidence with what a reader needs to find its frames again."""
    return tuple(_reason(one, placed) for one in evidence)


def _reason(evidence: Evidence, placed: Placed | None) -> Reason:
    match, score = evidence.match, evidence.score
    return Reason(
        kind=evidence.kind,
        weight=evidence.weight,
        category=evidence.category,
        policy_ref=evidence.policy_ref,
        list=match.list if match else None,
        list_kind=match.list_kind if match else None,
        list_version=match.list_version if match else None,
        entry=match.entry if match else None,
        distance=match.distance if match else None,
        radius=match.radius if match else None,
        algorithm=match.algorithm if match else None,
        label=evidence.label,
        score=score.score if score else None,
        probability=score.probability if score else None,
        frame=_frame(evidence, placed),
    )


def _frame(evidence: Evidence, placed: Placed | None) -> ReasonFrame | None:
    if placed is None or evidence.look is None:
        return None
    segment = placed.assessment.segment
    offset_s = placed.assessment.looks[evidence.look].offset_s
    captured: Wall = wall(segment, offset_s)
    return ReasonFrame(
        media_time_s=placed.media_time_s + offset_s,
        wall_time=captured.at,
        wall_time_from=captured.source,
        sequence=segment.sequence,
        segment=segment_ref(placed),
    )


def _preserve(
    decision: Decision, placed: Placed | None, state: Stream, now: datetime, preserve_before_s: float
) -> Preserve:
    """Return what to lock: from before the opening, or before the segment where we are behind, until now."""
    starts = [decision.incident.opened_at]
    if placed is not None and (captured_at := wall(placed.assessment.segment).at) is not None:
        starts.append(captured_at)
    return Preserve(from_=later(min(starts), -preserve_before_s), until=now, segments=_to_preserve(placed, state))


def _to_preserve(placed: Placed | None, state: Stream) -> tuple[SegmentRef, ...]:
    kept = {(entry.partition, entry.offset): entry.segment() for entry in state.recent}
    if placed is not None:
        newest = segment_ref(placed)
        kept.setdefault((newest.partition, newest.offset), newest)
    return tuple(kept[place] for place in sorted(kept))


def _timings(placed: Placed | None, now: datetime) -> Timings:
    if placed is None:
        return Timings(decided_at=now)
    assessment = placed.assessment
    return Timings(
        captured_at=assessment.segment.captured_at,
        appended_at=appended_at(assessment.segment),
        received_at=assessment.received_at,
        decided_at=now,
    )
