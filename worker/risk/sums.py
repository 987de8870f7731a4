"""What the looks of a segment add up to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING

from worker.policy.records import RiskRule
from worker.records import Severity, StreamRisk
from worker.risk.weighing import Weighed, substantial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.records import Evidence, OpenIncident, Placed

_RANK: dict[Severity, int] = {"low": 1, "medium": 2, "high": 3, "critical": 4}


def graver(one: Severity | None, other: Severity) -> Severity:
    """Return the graver of two severities."""
    return other if one is None or _RANK[other] > _RANK[one] else one


@dataclass(slots=True)
class Sum:
    """One decaying sum, and the gravest severity in it."""

    value: float
    severity: Severity | None
    crossed: bool = False
    """Whether a look lifted it above the upper threshold, or found it there."""

    def add(self, nats: float, rule: RiskRule, *, blocked: bool, found: Iterable[Evidence]) -> None:
        """Add what one look says, within 0 and the cap."""
        self.value = rule.cap if blocked else min(rule.cap, max(0.0, self.value + nats))
        if self.value == 0.0:
            self.severity = None
            return
        for item in found:
            if substantial(item):
                self.severity = graver(self.severity, item.severity)
        if nats > 0.0 and self.value > rule.open_above:
            self.crossed = True


@dataclass(slots=True)
class Run:
    """A stream's risk while it follows a segment."""

    rule: RiskRule
    all: Sum
    trusted: Sum
    peak: float
    quiet_s: float

    @classmethod
    def of(cls, risk: StreamRisk, rule: RiskRule) -> Run:
        """Begin where the stream's risk stands, no higher than the policy's cap."""
        return cls(
            rule,
            Sum(min(risk.value, rule.cap), risk.severity),
            Sum(min(risk.trusted, rule.cap), risk.trusted_severity),
            risk.peak,
            risk.quiet_s,
        )

    def rest(self, watched_s: float) -> None:
        """Forget over watched time, and count what of it was below the lower threshold."""
        if watched_s <= 0.0:
            return
        factor = 2.0 ** (-watched_s / self.rule.half_life_s)
        before, after = self.all.value, self.all.value * factor
        self.all.value = after
        self.trusted.value *= factor
        if before < self.rule.close_below:
            self.quiet_s += watched_s
        elif after < self.rule.close_below:
            self.quiet_s = watched_s - self.rule.half_life_s * log2(before / self.rule.close_below)
        else:
            self.quiet_s = 0.0

    def look(self, weighed: Weighed) -> None:
        """Add what one look says."""
        found = weighed.evidence
        self.all.add(weighed.nats, self.rule, blocked=weighed.blocked, found=(item for item, _ in found))
        self.trusted.add(
            weighed.trusted,
            self.rule,
            blocked=weighed.blocked_trusted,
            found=(item for item, trust in found if trust == "act"),
        )
        self.peak = max(self.peak, self.all.value)
        if self.all.value >= self.rule.close_below:
            self.quiet_s = 0.0

    def after(self, incident: OpenIncident | None) -> StreamRisk:
        """Return the stream's risk as it now stands."""
        return StreamRisk(
            value=self.all.value,
            peak=self.peak,
            quiet_s=self.quiet_s,
            incident=incident,
            severity=self.all.severity,
            trusted=self.trusted.value,
            trusted_severity=self.trusted.severity,
        )


def follow(run: Run, looks: list[Weighed], placed: Placed) -> None:
    """Add the looks in their order, and let the watched time between them pass.

    The time from a look to the next is that look's, so that a segment cut in two at a look gives the same.
    """
    if not looks:
        run.rest(placed.watched_s)
        return
    ordered = sorted(looks, key=Weighed.strength) if len(looks) > 1 else looks
    span_s = max(placed.assessment.duration_s or 0.0, ordered[-1].offset_s)
    scale = placed.watched_s / span_s if span_s > 0.0 else 0.0
    run.rest(max(0.0, ordered[0].offset_s) * scale)
    for look, until_s in zip(ordered, [*(look.offset_s for look in ordered[1:]), span_s], strict=True):
        run.look(look)
        if not look.harmless:
            run.rest((until_s - max(0.0, look.offset_s)) * scale)
