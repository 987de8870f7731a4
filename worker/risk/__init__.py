"""A stream's risk: what its looks add up to, and when that opens, updates or closes an incident. Pure.

The risk is Page's cumulative sum (E. S. Page, Continuous inspection schemes, Biometrika 41, 1954) of log-likelihood
ratios, the quickest detection for a given rate of false alarms (G. Lorden, Procedures for reacting to a change in
distribution, Ann. Math. Stat. 42, 1971; G. V. Moustakides, Optimal stopping times for detecting changes in
distributions, Ann. Stat. 14, 1986), with forgetting:

    value = min(cap, max(0, value * 2^(-watched_s / half_life_s) + llr))

Only watched time forgets. docs/policy.md explains it to those who set the policy, docs/decisions/0002-risk.md says why
it is so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from worker.records import Decision, OpenIncident
from worker.risk.sums import Run, follow, graver
from worker.risk.weighing import substantial, weigh, weightiest_first

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from worker.policy.records import EffectivePolicy
    from worker.records import Action, ClosedWhy, EventId, Evidence, Placed, ReasonKind, Severity, StreamRisk

_FORCE: dict[Action, int] = {"none": 0, "warn": 1, "limit": 2, "pause": 3, "stop": 4}


def step(
    risk: StreamRisk, placed: Placed, now: datetime, policy: EffectivePolicy
) -> tuple[StreamRisk, Decision | None]:
    """Return the risk after a segment, and what that led to.

    Evidence of a late segment counts now and undecayed, for its ``watched_s`` is 0. A segment leads to one decision at
    most: what is new goes before what closes, which then follows with the next segment.

    Args:
        risk: the stream's risk so far.
        placed: the segment's assessment with its place on the stream's own clock.
        now: when this is decided, UTC.
        policy: the policy for the stream's tenant.

    Raises:
        ValueError: a probability is not within 0 to 1.
    """
    weighed = [weigh(number, look, policy) for number, look in enumerate(placed.assessment.looks)]
    run = Run.of(risk, policy.risk)
    follow(run, weighed, placed)
    found = weightiest_first(item for look in weighed for item, _ in look.evidence)
    if risk.incident is None:
        return _perhaps_open(run, found, placed, now, policy)
    return _go_on(risk.incident, run, found, placed, policy)


def end(
    risk: StreamRisk, policy: EffectivePolicy, *, why: Literal["ended", "idle"], final: bool = False
) -> tuple[StreamRisk, Decision | None]:
    """Return the risk after a stream has ended or gone silent, and what that led to.

    An open incident closes unless it is critical: that one stays open until somebody has reviewed it, and is updated
    once. What the incident told is not told again: the risk falls to the lower threshold.

    Args:
        risk: the stream's risk so far.
        policy: the policy for the stream's tenant.
        why: whether the publisher said so, or nothing came for long.
        final: nobody is waited for any longer; a critical incident closes too.
    """
    if risk.incident is None:
        return risk, None
    if risk.incident.severity == "critical" and not risk.incident.live and not final:
        return risk, None
    over = replace(risk.incident, revision=risk.incident.revision + 1, live=False)
    if over.severity == "critical" and not final:
        after = replace(risk, incident=over)
        return after, _decision("updated", over, after, (), policy)
    return _closed(over, risk, (), policy, why=why)


def evidence(placed: Placed, policy: EffectivePolicy) -> tuple[Evidence, ...]:
    """Return what a segment's looks say, weightiest first: also of segments that lead to no decision."""
    weighed = (weigh(number, look, policy) for number, look in enumerate(placed.assessment.looks))
    return weightiest_first(item for look in weighed for item, _ in look.evidence)


def incident_id(stream_id: str, opened_by: EventId) -> str:
    """Return the id of the incident that an event opens on a stream: 32 hex digits, the same every time."""
    named = "".join(f"{len(part)}:{part}" for part in (stream_id, opened_by.source, opened_by.id))
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _perhaps_open(
    run: Run, found: tuple[Evidence, ...], placed: Placed, now: datetime, policy: EffectivePolicy
) -> tuple[StreamRisk, Decision | None]:
    if not run.all.crossed:
        return run.after(None), None
    segment = placed.assessment.segment
    severity = run.all.severity or found[0].severity
    opened = OpenIncident(
        incident_id=incident_id(segment.stream_id, segment.event),
        revision=1,
        opened_by=segment.event,
        opened_at=now,
        severity=severity,
        kinds=_kinds((), found),
        live=True,
        test=segment.test,
        action=_action(run, severity, policy),
    )
    after = run.after(opened)
    return after, _decision("opened", opened, after, found, policy)


def _go_on(
    incident: OpenIncident, run: Run, found: tuple[Evidence, ...], placed: Placed, policy: EffectivePolicy
) -> tuple[StreamRisk, Decision | None]:
    """Tell what is new of an open incident; where nothing is, close it after enough quiet."""
    changed = _brought_up_to_date(incident, run, found, placed, policy)
    if changed != incident:
        updated = replace(changed, revision=incident.revision + 1)
        after = run.after(updated)
        return after, _decision("updated", updated, after, found, policy)
    after = run.after(incident)
    if run.quiet_s >= policy.risk.quiet_s:
        return _closed(replace(incident, revision=incident.revision + 1), after, found, policy, why="quiet")
    return after, None


def _brought_up_to_date(
    incident: OpenIncident, run: Run, found: tuple[Evidence, ...], placed: Placed, policy: EffectivePolicy
) -> OpenIncident:
    assessment = placed.assessment
    news = [item for item in found if substantial(item)]
    severity = graver(incident.severity, run.all.severity or incident.severity)
    action = _action(run, severity, policy)
    return replace(
        incident,
        severity=severity,
        kinds=_kinds(incident.kinds, news),
        live=incident.live or assessment.standing in ("fresh", "restarted"),
        # A test to which a real segment adds is a test no more: nobody may overlook it as one.
        test=incident.test and (assessment.segment.test or not news),
        action=max(incident.action, action, key=_FORCE.__getitem__),
    )


def _closed(
    incident: OpenIncident, risk: StreamRisk, found: tuple[Evidence, ...], policy: EffectivePolicy, *, why: ClosedWhy
) -> tuple[StreamRisk, Decision]:
    """Close an incident. The risk falls to the lower threshold at most, so that a new incident needs new evidence."""
    low = policy.risk.close_below
    value = min(risk.value, low)
    after = replace(risk, value=value, trusted=min(risk.trusted, low), peak=value, incident=None)
    told = replace(risk, incident=None)
    return after, _decision("closed", incident, told, found, policy, why=why)


def _decision(
    change: Literal["opened", "updated", "closed"],
    incident: OpenIncident,
    risk: StreamRisk,
    found: tuple[Evidence, ...],
    policy: EffectivePolicy,
    *,
    why: ClosedWhy | None = None,
) -> Decision:
    return Decision(
        change=change,
        incident=incident,
        severity=incident.severity,
        action=incident.action,
        respond_within_s=policy.severities[incident.severity].respond_within_s,
        closed_why=why,
        risk=risk,
        open_above=policy.risk.open_above,
        close_below=policy.risk.close_below,
        evidence=found,
    )


def _action(run: Run, severity: Severity, policy: EffectivePolicy) -> Action:
    """Return the suggested action: none unless trusted sources alone would have opened the incident."""
    if not run.trusted.crossed:
        return "none"
    return policy.severities[run.trusted.severity or severity].action


def _kinds(told: tuple[ReasonKind, ...], found: Iterable[Evidence]) -> tuple[ReasonKind, ...]:
    return tuple(dict.fromkeys((*told, *(item.kind for item in found))))
