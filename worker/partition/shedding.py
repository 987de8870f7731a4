"""How much of a segment is looked at when its turn comes: all, its first keyframe only, or nothing. Pure.

The order in which things are left out: further keyframes before the first one, segments of streams that show nothing
before those of streams that do, and of no stream all: it is owed a look now and then, however late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from worker.assess import Measure
    from worker.records import StreamRisk
    from worker.settings.tree import Overload

RECENT_S = 2.0
"""What may wait where a partition stands behind: looks are recent, and at 70 % of capacity the rest is gone in 8 s."""


def measure(age_s: float, limits: Overload, *, stands: bool, at_risk: bool, owed: bool) -> Measure:
    """Return how much of a segment to look at.

    Args:
        age_s: how old it is (``worker.partition.backlog``).
        limits: what may be left out.
        stands: whether its partition stands behind.
        at_risk: whether its stream shows something (see ``at_risk``).
        owed: whether its stream has to be looked at whatever its age (see ``owed``).
    """
    pressed = stands and not at_risk
    why = _why(age_s, limits, pressed=pressed)
    if why is not None:
        return "first" if owed else why
    only_first = limits.first_keyframe_s > 0 and (pressed or age_s > limits.first_keyframe_s)
    return "first" if only_first else "whole"


def at_risk(risk: StreamRisk, close_below: float) -> bool:
    """Return whether a stream shows something: an open incident, or a risk that would keep one open."""
    return risk.incident is not None or risk.value >= close_below


def owed(shed_since_look: int | None, limits: Overload) -> bool:
    """Return whether a stream has to be looked at: it never was, or too many of its segments have been shed since.

    Segments are counted, not seconds: no clock or duration that a publisher claims can put a look off.
    """
    return shed_since_look is None or shed_since_look >= limits.one_in - 1


def _why(age_s: float, limits: Overload, *, pressed: bool) -> Literal["lateness", "overload"] | None:
    """Return why a segment may be shed; None where it may not."""
    if limits.lateness_s <= 0:
        return None
    if age_s > limits.lateness_s:
        return "lateness"
    return "overload" if pressed and age_s > RECENT_S else None
