"""What follows from an assessment: the stream's memory, its risk, and the messages that tell of it. Pure.

``assess`` looks, this decides. Everything that leaves for one event is made here in one step, so that a release holds
all of it or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from worker import escalation, matching, reports, risk
from worker.policy.records import Policy
from worker.records import (
    Assessment,
    Failure,
    Incident,
    Message,
)
from worker.settings.tree import Topics
from worker.streams import coverage, memory
from worker.streams.coverage import Gained
from worker.streams.state import StreamState
from worker.wire import write
from worker.wire.deadletter import dead_letter_message
from worker.wire.fit import fit
from worker.wire.read import identify
from worker.wire.trace import following

if TYPE_CHECKING:
    from datetime import datetime

    from worker.policy.records import EffectivePolicy
    from worker.records import (
        AssessmentReport,
        Decision,
        Placed,
        Reason,
        Received,
        StreamEnd,
        StreamRisk,
        Trace,
    )


GATHERED = 8
"""So many pieces of earlier evidence are kept for an opening: each costs its stream's snapshot some 400 bytes."""
HEADERS_BYTES = 8192
"""Room for an escalation's key, headers and framing beside its body."""


class Rules(Struct, frozen=True, kw_only=True):
    """What a deployment decides with."""

    policy: Policy
    context: escalation.Context
    topics: Topics
    max_message_bytes: int
    with_payload: bool
    """Dead letters carry the body: imagery."""


class Conclusion(Struct, frozen=True, kw_only=True):
    """All that one event led to."""

    state: StreamState | None
    """The stream's memory after it; None where no stream could be told."""
    messages: tuple[Message, ...]
    initialisation: tuple[str, bytes] | None = None
    """A stream's id and its new initialisation segment."""
    incident: Incident | None = None
    assessment: Assessment | None = None
    failure: Failure | None = None
    gained: Gained | None = None
    """What a segment added to its stream's coverage; None where there is no segment."""


def segment(state: StreamState, assessment: Assessment, received: Received, now: datetime, rules: Rules) -> Conclusion:
    """Return what a consumed segment led to."""
    before = state
    state, placed = memory.advance(before, assessment, preserve_before_s=rules.context.preserve_before_s)
    gained = coverage.gained(before, state, placed)
    state, placed = _align(state, placed)
    policy = rules.policy.for_tenant(assessment.segment.tenant)
    after, decision = risk.step(state.risk, placed, now, policy)
    earlier, gathered = state.gathered, _gather(state.gathered, after, placed, policy)
    state = replace(state, risk=after, gathered=gathered)
    incident, messages = _tell(decision, placed, state, now, rules, earlier=earlier)
    if assessment.failure is not None:
        messages += (_dead_letter(received, assessment.failure, now, rules),)
    messages += _report(placed, state, now, rules)
    return Conclusion(
        state=state,
        messages=messages,
        incident=incident,
        assessment=assessment,
        failure=assessment.failure,
        gained=gained,
    )


def _gather(
    gathered: tuple[Reason, ...], after: StreamRisk, placed: Placed, policy: EffectivePolicy
) -> tuple[Reason, ...]:
    """Keep the weightiest evidence of a risk that rises, until it is told or the risk is gone."""
    if after.incident is not None or after.value <= 0:
        return ()
    found = escalation.reasons(risk.evidence(placed, policy), placed)
    return tuple(sorted((*gathered, *found), key=_weight, reverse=True)[:GATHERED])


def _weight(reason: Reason) -> float:
    return reason.weight


def end(state: StreamState, event: StreamEnd, now: datetime, rules: Rules) -> Conclusion:
    """Return what the end of a stream led to."""
    state = memory.ended(state, event)
    after, decision = risk.end(state.risk, rules.policy.for_tenant(state.tenant), why="ended")
    state = replace(state, risk=after)
    incident, messages = _tell(decision, None, state, now, rules)
    return Conclusion(state=state, messages=messages, incident=incident)


def silent(state: StreamState, now: datetime, rules: Rules, *, final: bool) -> Conclusion:
    """Return what the silence of a stream with an open incident led to.

    ``final``: the incident closes whatever it is.
    """
    policy = rules.policy.for_tenant(state.tenant)
    after, decision = risk.end(state.risk, policy, why="idle", final=final)
    state = replace(state, risk=after)
    incident, messages = _tell(decision, None, state, now, rules)
    return Conclusion(state=state, messages=messages, incident=incident)


def refused(received: Received, failure: Failure, now: datetime, rules: Rules) -> Conclusion:
    """Return what an event led to that could not be read, or an initialisation that could not be fetched."""
    messages: tuple[Message, ...] = (_dead_letter(received, failure, now, rules),)
    if rules.topics.assessments:
        messages += (_assessment(reports.refused(received, identify(received), failure, now), now, rules, None),)
    return Conclusion(state=None, messages=messages, failure=failure)


def _align(state: StreamState, placed: Placed) -> tuple[StreamState, Placed]:
    """Tell known videos: matches that line up with earlier ones of this stream."""
    looks = placed.assessment.looks
    if not any(match.at_s is not None for look in looks for match in look.matches):
        return state, placed
    # On the stream's own clock, which the publisher can't bend; a new numbering has nothing to line up with.
    times = [state.clock.began_s + look.offset_s for look in looks]
    sightings, aligned = matching.align(() if placed.discontinuity else state.sightings, looks, times)
    return replace(state, sightings=sightings), replace(placed, assessment=replace(placed.assessment, looks=aligned))


def _tell(
    decision: Decision | None,
    placed: Placed | None,
    state: StreamState,
    now: datetime,
    rules: Rules,
    *,
    earlier: tuple[Reason, ...] = (),
) -> tuple[Incident | None, tuple[Message, ...]]:
    """Return the incident that a decision makes, as a record and as its message."""
    if decision is None:
        return None, ()
    whole = escalation.incident(decision, placed, state, now, rules.context, earlier=earlier)
    incident = fit(whole, rules.max_message_bytes - HEADERS_BYTES)
    trace = _trace(placed) if placed else None
    source = rules.context.source
    return incident, (
        write.incident_message(incident, topic=rules.topics.escalations, source=source, at=now, trace=trace),
    )


def _dead_letter(received: Received, failure: Failure, now: datetime, rules: Rules) -> Message:
    return dead_letter_message(
        received,
        failure,
        topic=rules.topics.dead_letters,
        source=rules.context.source,
        at=now,
        with_payload=rules.with_payload,
        max_message_bytes=rules.max_message_bytes,
    )


def _report(placed: Placed, state: StreamState, now: datetime, rules: Rules) -> tuple[Message, ...]:
    if not rules.topics.assessments:
        return ()
    return (_assessment(reports.report(placed, state, now), now, rules, _trace(placed)),)


def _trace(placed: Placed) -> Trace | None:
    segment = placed.assessment.segment
    return None if segment.trace is None else following(segment.trace, segment.position)


def _assessment(report: AssessmentReport, now: datetime, rules: Rules, trace: Trace | None) -> Message:
    return write.assessment_message(
        report, topic=rules.topics.assessments, source=rules.context.source, at=now, trace=trace
    )
