"""Segments and assessments as tests need them: a harmless stream of two-second segments."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from worker.records import Assessment, EventId, FrameHash, Look, Match, Position, Score, Segment

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WRAP_S = 2**33 / 90_000
PDQ = bytes(32)


def a_segment(number: int, **changes: Any) -> Segment:
    """Return the segment of this number, captured two seconds after the one before."""
    segment = Segment(
        position=Position(topic="segments", partition=3, offset=1000 + number, timestamp_ms=at_ms(2 * number)),
        event=EventId(source="/packager/1", id=f"event-{number}"),
        stream_id="stream-1",
        content_type="video/mp2t",
        payload=b"media",
        sequence=number,
    )
    return replace(segment, **changes)


def a_look(offset_s: float = 0.0, *matches: Match, probability: float | None = 0.01) -> Look:
    """Return a look at one keyframe, by default at one that shows next to nothing."""
    scores = None if probability is None else {"card": Score(score=probability, probability=probability)}
    return Look(offset_s=offset_s, hash=FrameHash(pdq=PDQ, quality=90), matches=matches, scores=scores)


def a_match(**changes: Any) -> Match:
    """Return a match with an entry of a demo list."""
    match = Match(
        list="demo",
        list_kind="block",
        list_version="1",
        entry="clip-7",
        distance=4,
        radius=31,
        severity="critical",
        category="test-card",
    )
    return replace(match, **changes)


def an_assessment(segment: Segment, *, content: str | None = None, **changes: Any) -> Assessment:
    """Return what became of a segment: looked at once, two seconds long. ``content`` stands for its bytes."""
    seed = f"{segment.event.id} {segment.position.offset}" if content is None else content
    assessment = Assessment(
        segment=segment,
        outcome="assessed",
        why=None,
        standing="fresh",
        looks=(a_look(),),
        sha256=sha256(seed),
        start_s=None if segment.sequence is None else 10.0 + 2.0 * segment.sequence,
        wrap_s=WRAP_S,
        duration_s=2.0,
        keyframes_seen=1,
        received_at=START + timedelta(hours=1),
    )
    return replace(assessment, **changes)


def sha256(text: str) -> str:
    """Return a digest in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def at_ms(seconds: float) -> int:
    """Return so many seconds after the start in milliseconds since 1970."""
    return round((START.timestamp() + seconds) * 1000)
