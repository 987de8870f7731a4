"""A span: how long a piece of work took, and in whose trace."""

from __future__ import annotations

from msgspec import Struct, field


class Span(Struct, frozen=True, kw_only=True):
    """One piece of work. Times are seconds since 1970."""

    name: str
    trace_id: str
    """32 hex digits."""
    span_id: str | None
    """16 hex digits; None where any will do."""
    parent_id: str
    """16 hex digits. The parent of a span with an id of its own is somebody else's, from another process."""
    start_s: float
    end_s: float
    attributes: dict[str, str | int] = field(default_factory=dict)
    error: str | None = None
    """What went wrong, in bounded words; None where nothing did."""
