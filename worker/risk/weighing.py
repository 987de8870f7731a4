"""What one look says, in nats. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING

from worker.policy.records import Trust
from worker.records import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.policy.records import EffectivePolicy, RiskRule
    from worker.records import Look, Match, Score

SUBSTANTIAL = log(10) / 2
"""Nats from which evidence is "substantial" (H. Jeffreys, Theory of Probability, appendix B): only that sets a severity
or is news by its kind, so that a label that hardly leans our way can't make an incident critical."""
MAX_EVIDENCE = 64
"""No decision carries more evidence; the weightiest is kept, known material first."""


def llr(probability: float, rule: RiskRule) -> float:
    """Return the log-likelihood ratio of one look, in nats: a stream that shows it against one that does not.

    A calibrated probability p is with even odds, so R = p / (1 - p) is the likelihood ratio of "this look shows it".
    In a stream that shows it a share q of the looks do; in one that does not a base rate b of them seem to:
    log((q R + 1 - q) / (b R + 1 - b)), here with both multiplied by 1 - p. Between log((1 - q) / (1 - b)) at 0 and
    log(q / b) at 1, and 0 at 0.5, whatever q and b.

    Raises:
        ValueError: the probability is not within 0 to 1.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError("a probability must be within 0 and 1")
    q, b, against = rule.share, rule.base_rate, 1.0 - probability
    return log((q * probability + (1.0 - q) * against) / (b * probability + (1.0 - b) * against))


def substantial(item: Evidence) -> bool:
    """Return whether evidence may set a severity or be news by its kind; known material always may."""
    return item.match is not None or item.weight >= SUBSTANTIAL


@dataclass(slots=True)
class Weighed:
    """One look in nats. ``evidence`` has whatever speaks for it, each with its source's trust."""

    offset_s: float
    evidence: list[tuple[Evidence, Trust]] = field(default_factory=list)
    nats: float = 0.0
    trusted: float = 0.0
    """The same from trusted sources only."""
    blocked: bool = False
    blocked_trusted: bool = False
    harmless: bool = False
    """Known as harmless: its time counts as though nobody had looked."""

    def strength(self) -> tuple[float, bool, float]:
        """In which order looks at one time count: the weightiest last, so that none clips another away."""
        return self.offset_s, self.blocked, self.nats


def weigh(number: int, look: Look, policy: EffectivePolicy) -> Weighed:
    """Weigh the look with this number in its assessment."""
    weighed = Weighed(look.offset_s)
    if look.matches:
        _weigh_matches(weighed, number, look.matches, policy)
    if look.scores and not weighed.harmless:
        _weigh_labels(weighed, number, look.scores, policy)
    return weighed


def _weigh_matches(weighed: Weighed, number: int, matches: Iterable[Match], policy: EffectivePolicy) -> None:
    """Count the weightiest match with a review list, for the same material on two lists is not seen twice."""
    for match in matches:
        if match.list_kind == "allow":
            weighed.harmless = True
            continue
        rule = policy.list_(match.list)
        block = match.list_kind == "block"
        nats = policy.risk.cap if block else min(rule.weight, policy.risk.cap)
        trusted = rule.trust == "act"
        weighed.evidence.append(
            (
                Evidence(
                    kind="known_video" if match.video else "known_image",
                    weight=nats,
                    severity=rule.severity or match.severity,
                    category=rule.category or match.category,
                    policy_ref=rule.policy_ref,
                    look=number,
                    match=match,
                ),
                rule.trust,
            )
        )
        weighed.nats = max(weighed.nats, nats)
        weighed.blocked |= block
        if trusted:
            weighed.trusted = max(weighed.trusted, nats)
            weighed.blocked_trusted |= block


def _weigh_labels(weighed: Weighed, number: int, scores: dict[str, Score], policy: EffectivePolicy) -> None:
    """Count the label with the most nats, for labels of one look are not independent."""
    most: float | None = None
    most_trusted: float | None = None
    for name, score in scores.items():
        rule = policy.label(name)
        if rule is None:
            continue
        nats = rule.weight * llr(score.probability, policy.risk)
        most = nats if most is None or nats > most else most
        if rule.trust == "act":
            most_trusted = nats if most_trusted is None or nats > most_trusted else most_trusted
        if nats > 0.0:
            weighed.evidence.append((_label_evidence(number, name, score, nats, policy), rule.trust))
    if most is not None:
        weighed.nats += most
        weighed.trusted += min(0.0, most) if most_trusted is None else most_trusted


def _label_evidence(number: int, name: str, score: Score, nats: float, policy: EffectivePolicy) -> Evidence:
    rule = policy.labels.get(name, policy.other_labels)
    return Evidence(
        kind="label",
        weight=nats,
        severity=rule.severity,
        category=rule.category,
        policy_ref=rule.policy_ref,
        look=number,
        label=name,
        score=score,
    )


def weightiest_first(found: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Sort evidence: block lists, other known material, then labels, the weightiest first."""
    return tuple(sorted(found, key=_precedence)[:MAX_EVIDENCE])


def _precedence(item: Evidence) -> tuple[bool, bool, float]:
    return item.match is None or item.match.list_kind != "block", item.match is None, -item.weight
