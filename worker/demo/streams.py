"""What the make-believe platform broadcasts, and what is expected of it. Pure: nothing is encoded or sent here.

A show has a story of so many seconds: until its end one stream turns risky, one plays a clip that is on a hash list,
one sends broken segments among good ones, one ends. With ``--keep`` the streams go on after that as they are then.
"""

from __future__ import annotations

import itertools
from typing import Literal

from msgspec import Struct

from worker.records import Outcome

SEGMENT_S = 2.0
CLIP_SEGMENTS = 3
CARDS_TO_OPEN = 7
"""So many segments of the test card in a row must open an incident: twelve seconds and one more (the contract's)."""
STREAMS_AT_LEAST = 4

Kind = Literal["harmless", "risky", "known", "broken", "cmaf", "reference", "audio", "ending"]
Fault = Literal["noise", "cut", "wrong_type", "outside", "absent", "digest", "no_type", "empty"]
Footage = Literal["harmless", "card", "clip", "sound"]

ABOUT: dict[Kind, str] = {
    "harmless": "harmless",
    "risky": "turns into the test card",
    "known": "plays a clip on a hash list",
    "broken": "broken segments among good",
    "cmaf": "harmless, CMAF, init event",
    "reference": "harmless, by claim check",
    "audio": "sound only, nothing to see",
    "ending": "harmless, ends properly",
}
FAULTS: dict[Fault, str] = {
    "noise": "corrupt",
    "cut": "corrupt",
    "wrong_type": "container_mismatch",
    "outside": "outside_roots",
    "absent": "not_found",
    "digest": "bad_digest",
    "no_type": "missing_header",
    "empty": "no_body",
}
"""What each fault is expected to be called in its dead letter."""
CAST: tuple[tuple[str, Kind], ...] = (
    ("harbour-cam", "harmless"),
    ("late-drawing", "risky"),
    ("chess-corner", "harmless"),
    ("rerun-theatre", "known"),
    ("shaky-uplink", "broken"),
    ("bird-feeder", "harmless"),
    ("model-trains", "cmaf"),
    ("night-radio", "audio"),
    ("bread-oven", "harmless"),
    ("garden-hour", "ending"),
    ("kiln-watch", "reference"),
    ("synth-jam", "harmless"),
)
"""Who plays in a show of twelve; a larger one begins again."""
_DISPENSABLE = (
    "synth-jam",
    "bread-oven",
    "bird-feeder",
    "chess-corner",
    "kiln-watch",
    "garden-hour",
    "night-radio",
    "model-trains",
)
"""Who is left out first of a smaller one."""


class Stream(Struct, frozen=True, kw_only=True):
    """One make-believe live stream."""

    number: int
    """In the show, from 0; also the seed of its pictures."""
    stream_id: str
    kind: Kind
    phase_s: float
    """When after the start of the show it goes on air."""


class Piece(Struct, frozen=True, kw_only=True):
    """What one segment shows or what is wrong with it, and what is to become of it."""

    footage: Footage
    index: int
    """Which of the footage's segments, counted on without end."""
    outcome: Outcome = "assessed"
    why: str | None = None
    fault: Fault | None = None


class Story(Struct, frozen=True, kw_only=True):
    """When what happens, in segments from a stream's first."""

    card_from: int
    clip_from: int
    ends_at: int


def story(seconds: float) -> Story:
    """Return when what happens in a show of so many seconds; the card comes early enough to be noticed by its end."""
    total = int(seconds / SEGMENT_S)
    return Story(
        card_from=max(1, min(total // 2, total - CARDS_TO_OPEN - 2)),
        clip_from=max(1, total // 3),
        ends_at=max(2, total * 7 // 10),
    )


def cast(count: int) -> tuple[Stream, ...]:
    """Return the streams of a show; they go on air one after the other, so that their segments come evenly."""
    left_out = _DISPENSABLE[: max(0, len(CAST) - count)]
    roles = [(name, kind) for name, kind in CAST if name not in left_out]
    return tuple(
        Stream(
            number=number,
            stream_id=name if number < len(roles) else f"{name}-{number // len(roles) + 1}",
            kind=kind,
            phase_s=SEGMENT_S * number / count,
        )
        for number, (name, kind) in zip(range(count), itertools.cycle(roles), strict=False)
    )


def piece(stream: Stream, number: int, at: Story) -> Piece | None:
    """Return what a stream's segment of this number is; None when the stream is over."""
    match stream.kind:
        case "ending" if number >= at.ends_at:
            return None
        case "risky" if number >= at.card_from:
            return Piece(footage="card", index=number)
        case "known" if 0 <= number - at.clip_from < CLIP_SEGMENTS:
            return Piece(footage="clip", index=number - at.clip_from)
        case "broken" if number % 2:
            fault = tuple(FAULTS)[number // 2 % len(FAULTS)]
            return Piece(footage="harmless", index=number, outcome="dead_lettered", why=FAULTS[fault], fault=fault)
        case "audio":
            return Piece(footage="sound", index=number, outcome="skipped", why="no_video")
        case _:
            return Piece(footage="harmless", index=number)
