"""An incident that is too large for a message, cut down to what a reviewer needs most."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.records import Incident, Reason, SegmentRef

T = TypeVar("T", "Reason", "SegmentRef")

_NOTE_BYTES = 160
"""Room for the sentence that tells what was left out."""


def fit(incident: Incident, max_bytes: int) -> Incident:
    """Return an incident whose JSON body has at most ``max_bytes``; the same one if it has.

    First go the segments to preserve, the oldest first but never those that a reason points at (``preserve.from`` and
    ``until`` still tell the whole span); then reasons, the lightest first but never the heaviest of its kind; then
    segments that only dropped reasons pointed at; last the end of the explanation, which says what else went.

    The message's headers, key and framing need room of their own, some 2 KiB.

    Raises:
        ValueError: What has to stay is larger than that.
    """
    if _bytes(incident) <= max_bytes:
        return incident
    fewer = incident
    for drop in (_drop_segments, _drop_reasons, _drop_segments):
        fewer = drop(fewer, _bytes(fewer) + _NOTE_BYTES - max_bytes)
    fewer = _explained(fewer, incident, max_bytes)
    if _bytes(fewer) > max_bytes:
        raise ValueError(f"incident {incident.incident_id} can't be told in {max_bytes} bytes")
    return fewer


def _bytes(part: object) -> int:
    return len(msgspec.json.encode(part))


def _drop_segments(incident: Incident, excess_bytes: int) -> Incident:
    segments = incident.preserve.segments
    told = {_place(reason.frame.segment) for reason in incident.reasons if reason.frame is not None}
    order = sorted(range(len(segments)), key=lambda index: segments[index].starts_at_s)
    spare = (index for index in order if _place(segments[index]) not in told)
    return replace(incident, preserve=replace(incident.preserve, segments=_without(segments, spare, excess_bytes)))


def _drop_reasons(incident: Incident, excess_bytes: int) -> Incident:
    reasons = incident.reasons
    order = sorted(range(len(reasons)), key=lambda index: reasons[index].weight)
    heaviest = set({reasons[index].kind: index for index in order}.values())
    spare = (index for index in order if index not in heaviest)
    return replace(incident, reasons=_without(reasons, spare, excess_bytes))


def _place(segment: SegmentRef) -> tuple[str, int, int]:
    return segment.topic, segment.partition, segment.offset


def _without(parts: Sequence[T], spare: Iterable[int], excess_bytes: int) -> tuple[T, ...]:
    """Return the parts without as many of the spare ones, in their order, as free so many bytes."""
    dropped = set[int]()
    for index in spare:
        if excess_bytes <= 0:
            break
        excess_bytes -= _bytes(parts[index]) + 1
        dropped.add(index)
    return tuple(part for index, part in enumerate(parts) if index not in dropped)


def _explained(fewer: Incident, whole: Incident, max_bytes: int) -> Incident:
    parts = (
        (len(fewer.preserve.segments), len(whole.preserve.segments), "segments to preserve"),
        (len(fewer.reasons), len(whole.reasons), "reasons"),
    )
    gone = [f"{total - left} of {total} {what}" for left, total, what in parts if left < total]
    note = f" Left out to fit a message: {', '.join(gone) or 'the rest of this explanation'}."
    noted = replace(fewer, explanation=fewer.explanation + note)
    excess = _bytes(noted) - max_bytes
    if excess <= 0:
        return noted
    # A byte of UTF-8 takes at least one in JSON, where some characters are escaped.
    text = fewer.explanation.encode()
    keep = max(0, len(text) - excess - len("…".encode()))
    return replace(fewer, explanation=f"{text[:keep].decode(errors='ignore')}…{note}")
