"""A policy as the rest of the program uses it: checked, merged with the defaults, resolved for one tenant."""

from __future__ import annotations

import fnmatch
import re
from typing import Literal

from msgspec import Struct

from worker.records import Action, PolicyRef, Severity

Trust = Literal["act", "route"]
"""act: may suggest an action. route: may call people, never suggests an action."""

EVERY_OTHER = "*"
"""The name of the table that holds for labels and lists without a table of their own."""


class RiskRule(Struct, frozen=True, kw_only=True):
    """How looks add up to a stream's risk. Where the defaults come from: docs/decisions/0002-risk.md."""

    base_rate: float = 1e-4
    """Share of the looks at a harmless stream that seem to show it all the same."""
    share: float = 0.5
    """Share of the looks at a stream that shows it in which it can be seen."""
    open_above: float = 12.0
    """Nats above which an incident opens."""
    close_below: float = 4.0
    """Nats below which time counts as quiet."""
    cap: float = 24.0
    """Nats at which the risk stops growing."""
    quiet_s: float = 120.0
    """Watched seconds below ``close_below`` after which an incident closes."""
    half_life_s: float = 60.0
    """Watched seconds in which the risk halves when nothing is added."""


class LabelRule(Struct, frozen=True, kw_only=True):
    """What one label of the classifier is worth."""

    severity: Severity = "high"
    weight: float = 1.0
    """Factor on the label's log-likelihood ratio; 0: the label never counts."""
    trust: Trust = "act"
    category: str | None = None
    policy_ref: str | None = None


class ListRule(Struct, frozen=True, kw_only=True):
    """What a match with one hash list is worth."""

    severity: Severity | None = None
    """None: the list's own."""
    weight: float = 8.0
    """Log-likelihood ratio of one match, nats; of ``review`` lists only."""
    trust: Trust = "act"
    category: str | None = None
    """None: the entry's own."""
    policy_ref: str | None = None


class SeverityRule(Struct, frozen=True, kw_only=True):
    """What a severity asks of people."""

    respond_within_s: float
    action: Action


class EffectivePolicy(Struct, frozen=True, kw_only=True):
    """The policy that holds for one stream."""

    risk: RiskRule
    labels: dict[str, LabelRule]
    other_labels: LabelRule
    harmless: frozenset[str]
    """Labels that never count, because the model's folder calls them harmless."""
    lists: dict[str, ListRule]
    other_lists: ListRule
    severities: dict[Severity, SeverityRule]

    def label(self, name: str) -> LabelRule | None:
        """The rule for a label, or None where it never counts."""
        rule = self.labels.get(name, self.other_labels)
        return None if rule.weight == 0.0 or name in self.harmless else rule

    def list_(self, name: str) -> ListRule:
        """The rule for a hash list."""
        return self.lists.get(name, self.other_lists)


class TenantPolicy(Struct, frozen=True, kw_only=True):
    """The policy for tenants whose name fits a glob."""

    glob: str
    pattern: re.Pattern[str]
    policy: EffectivePolicy

    @classmethod
    def of(cls, glob: str, policy: EffectivePolicy) -> TenantPolicy:
        """Compile the glob as ``fnmatch.fnmatchcase`` reads it."""
        return cls(glob=glob, pattern=re.compile(fnmatch.translate(glob)), policy=policy)


class Policy(Struct, frozen=True, kw_only=True):
    """A whole policy: one for everybody, and one for each glob of tenants."""

    ref: PolicyRef
    everybody: EffectivePolicy
    tenants: tuple[TenantPolicy, ...] = ()
    """In the order of the file."""

    def for_tenant(self, tenant: str | None) -> EffectivePolicy:
        """The policy of the first glob in the file that fits; without a tenant or a fit, the one for everybody.

        Nothing is kept per tenant, so that names from outside can't fill the memory.
        """
        if tenant is not None:
            for rule in self.tenants:
                if rule.pattern.match(tenant):
                    return rule.policy
        return self.everybody
