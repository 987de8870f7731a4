"""One reason in a line, for whoever lists reasons: a terminal, the console. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.records import Reason


def reason_words(reason: Reason) -> str:
    """Return one reason in words; still to be made safe."""
    at = "" if reason.frame is None else f" at {reason.frame.media_time_s:.3f} s"
    which = "" if reason.category is None else f", category {reason.category}"
    rule = "" if reason.policy_ref is None else f" ({reason.policy_ref})"
    return f"{_what(reason)}{at}{which}{rule}, weight {reason.weight:.2f}"


def _what(reason: Reason) -> str:
    if reason.list is not None:
        near = "" if reason.distance is None else f", {reason.distance} bits away of {reason.radius} allowed"
        return f"{reason.kind.replace('_', ' ')}: entry {reason.entry} of {reason.list_kind} list {reason.list}{near}"
    if reason.label is not None:
        sure = "" if reason.probability is None else f", probability {reason.probability:.3f}"
        return f"label {reason.label}{sure}"
    return (
        f"{reason.kind.replace('_', ' ')} from {reason.source or 'an unnamed source'}: {reason.detail or 'no detail'}"
    )
