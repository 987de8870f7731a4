"""What became of a segment, and what its stream's risk decided."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from worker.records.events import EventId, Segment
from worker.records.known import Match, Severity
from worker.records.seen import FrameHash, FrameScore, Score

Action = Literal["none", "warn", "limit", "pause", "stop"]


ReasonKind = Literal["known_image", "known_video", "label", "signal"]


class Look(Struct, frozen=True, kw_only=True):
    """One keyframe after everything was asked about it."""

    offset_s: float
    hash: FrameHash
    matches: tuple[Match, ...] = ()
    scores: FrameScore | None = None
    """None where no classifier looked (there is none, or a block list's match went before it)."""
    near_duplicate: bool = False
    """True where the scores are those of the stream's last scored frame: this one was not scored."""


class LastScored(Struct, frozen=True, kw_only=True, array_like=True):
    """The frame of a stream that was scored last, as the next ones are compared with it (``worker.duplicates``)."""

    pdq: bytes
    """32 bytes."""
    until_s: float
    """When its scores cease to serve, on the stream's own clock."""
    left: int
    """For how many more frames they may serve."""
    model: bytes
    """Which model gave them: a short digest."""
    scores: bytes
    """Score and probability of each of the model's labels in turn, float32, big-endian."""


Outcome = Literal["assessed", "skipped", "shed", "dead_lettered"]


Standing = Literal["fresh", "late", "restarted", "repeat"]
"""What a segment is among those its stream had before."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why an event is a dead letter; the contract's bounded names."""

    stage: str
    error: str
    reason: str
    attempts: int = 1


class Assessment(Struct, frozen=True, kw_only=True):
    """One segment and all that was found in it; the input of risk. Holds no picture."""

    segment: Segment
    outcome: Outcome
    why: str | None
    standing: Standing
    looks: tuple[Look, ...] = ()
    sha256: str | None = None
    start_s: float | None = None
    wrap_s: float | None = None
    duration_s: float | None = None
    keyframes_seen: int = 0
    failure: Failure | None = None
    received_at: datetime | None = None
    last_scored: LastScored | None = None
    """What the stream's next frames are compared with; None where that stays as it was."""


MediaTimeFrom = Literal["publisher", "counted"]


ClosedWhy = Literal["quiet", "ended", "idle", "verdict"]


class Placed(Struct, frozen=True, kw_only=True):
    """An assessment with its place on its stream's own clock (see the contract: nobody can bend it)."""

    assessment: Assessment
    media_time_s: float
    """Of the segment's first frame, as told to people."""
    media_time_from: MediaTimeFrom
    elapsed_s: float
    """By how much the stream's own clock moved on with this segment; never negative, 0 for a late one."""
    watched_s: float
    """How much of that was watched: what may decay risk and count as quiet. At most ``elapsed_s``."""
    gap_s: float
    """How much before this segment nobody saw (missing segments)."""
    discontinuity: bool


class OpenIncident(Struct, frozen=True, kw_only=True):
    """What is remembered of an incident until it closes."""

    incident_id: str
    revision: int
    opened_by: EventId
    opened_at: datetime
    severity: Severity
    kinds: tuple[ReasonKind, ...]
    """Kinds of reasons told so far."""
    live: bool
    test: bool
    action: Action = "none"
    """The strongest action suggested so far."""


class StreamRisk(Struct, frozen=True, kw_only=True):
    """A stream's risk and what it led to."""

    value: float = 0.0
    """Clipped, decaying cumulative sum of log-likelihood ratios, nats, at least 0."""
    peak: float = 0.0
    """Highest value since the incident opened, or since the start."""
    quiet_s: float = 0.0
    """Watched seconds in a row below the lower threshold."""
    incident: OpenIncident | None = None
    severity: Severity | None = None
    """Gravest severity of the evidence of substance in ``value``; None where there is none."""
    trusted: float = 0.0
    """The same sum as ``value``, over sources that may suggest an action only."""
    trusted_severity: Severity | None = None
    """The same as ``severity`` for ``trusted``."""


class Evidence(Struct, frozen=True, kw_only=True):
    """One look's contribution to the risk, before a reader's details are added."""

    kind: ReasonKind
    weight: float
    """Log-likelihood ratio in nats, after clipping."""
    severity: Severity
    category: str | None
    policy_ref: str | None
    look: int | None
    """Index into the assessment's looks."""
    match: Match | None = None
    label: str | None = None
    score: Score | None = None


class Decision(Struct, frozen=True, kw_only=True):
    """What a step of risk led to, with its reasons. A score and a decision are two things."""

    change: Literal["opened", "updated", "closed"]
    incident: OpenIncident
    """As it is after the change; when closed, as it was last."""
    severity: Severity
    action: Action
    respond_within_s: float
    closed_why: ClosedWhy | None
    risk: StreamRisk
    open_above: float
    close_below: float
    evidence: tuple[Evidence, ...]
