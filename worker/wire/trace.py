"""A trace that goes through us: who sampled it, and what follows from it. Pure.

Format: W3C Trace Context, level 2. A traceparent is ``version-traceid-parentid-flags``; a later version is read as far
as we know it, and what we write is version 00 (section 4.3).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.records import Trace

if TYPE_CHECKING:
    from worker.records import Position

SAMPLED = 0x01
RANDOM = 0x02
"""Level 2: the trace id is random."""


class Context(Struct, frozen=True, kw_only=True):
    """What a traceparent says."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits: of whoever sent it."""
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether somebody keeps this trace."""
        return bool(self.flags & SAMPLED)


def context(trace: Trace) -> Context:
    """Return what a trace's parent says; ``worker.wire.headers`` has checked its form."""
    _, trace_id, span_id, flags = trace.traceparent.split("-")[:4]
    return Context(trace_id=trace_id, span_id=span_id, flags=int(flags, 16))


def sampled_id(trace: Trace | None) -> str | None:
    """Return the id of a trace that somebody keeps; None where nobody does."""
    if trace is None:
        return None
    found = context(trace)
    return found.trace_id if found.sampled else None


def span_id(trace: Trace, position: Position) -> str:
    """Return the id of our own work on a record: the same each time it is worked, so that a repeat is the same span."""
    of = f"{trace.traceparent}/{position.topic}/{position.partition}/{position.offset}"
    return hashlib.sha256(of.encode()).hexdigest()[:16]


def following(trace: Trace, position: Position) -> Trace:
    """Return the trace of what follows from a record: the same trace id, our work as its parent."""
    found = context(trace)
    flags = found.flags & (SAMPLED | RANDOM)
    return Trace(traceparent=f"00-{found.trace_id}-{span_id(trace, position)}-{flags:02x}", tracestate=trace.tracestate)
