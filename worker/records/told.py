"""What is told to people: the JSON bodies of the contract."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from worker.records.judged import Action, ClosedWhy, MediaTimeFrom, Outcome, ReasonKind
from worker.records.known import ListKind, Severity
from worker.records.seen import Score


class Timings(Struct, frozen=True, kw_only=True):
    """When a segment passed where; None where it did not or where nobody said."""

    captured_at: datetime | None = None
    appended_at: datetime | None = None
    received_at: datetime | None = None
    decided_at: datetime | None = None


class SegmentRef(Struct, frozen=True, kw_only=True):
    """How a reviewer's tool finds a segment again. ``ref`` is without query and credentials."""

    topic: str
    partition: int
    offset: int
    event_id: str
    ref: str | None
    byterange: str | None
    initref: str | None
    sha256: str | None
    content_type: str
    starts_at_s: float
    """Media time of its first frame, seconds."""


class ReasonFrame(Struct, frozen=True, kw_only=True):
    """Which frame it was."""

    media_time_s: float
    wall_time: datetime | None
    wall_time_from: Literal["ce_time", "record"]
    sequence: int | None
    segment: SegmentRef


class Reason(Struct, frozen=True, kw_only=True):
    """One piece of evidence in an incident."""

    kind: ReasonKind
    weight: float
    """What it added to the risk: a log-likelihood ratio in nats."""
    category: str | None
    policy_ref: str | None
    list: str | None = None
    list_kind: ListKind | None = None
    list_version: str | None = None
    entry: str | None = None
    distance: int | None = None
    radius: int | None = None
    algorithm: str | None = None
    label: str | None = None
    score: float | None = None
    probability: float | None = None
    source: str | None = None
    detail: str | None = None
    frame: ReasonFrame | None = None


class Group(Struct, frozen=True, kw_only=True):
    """Keys by which incidents that are one job can be put together."""

    account: str | None
    material: str | None


class Links(Struct, frozen=True, kw_only=True):
    """Links made from the operator's templates."""

    watch: str | None
    clip: str | None
    account: str | None


class RiskFigures(Struct, frozen=True, kw_only=True):
    """The risk and the thresholds that it was held against, all in nats."""

    value: float
    peak: float
    open_above: float
    close_below: float


class Preserve(Struct, frozen=True, kw_only=True):
    """What to lock at once, before anybody has reviewed."""

    from_: datetime | None = field(name="from")
    until: datetime | None
    segments: tuple[SegmentRef, ...]


class ModelRef(Struct, frozen=True, kw_only=True):
    """Which classifier looked."""

    name: str
    version: str
    sha256: str


class PolicyRef(Struct, frozen=True, kw_only=True):
    """Which policy decided."""

    name: str
    sha256: str


class ListRef(Struct, frozen=True, kw_only=True):
    """Which hash list was on."""

    name: str
    version: str


class Coverage(Struct, frozen=True, kw_only=True):
    """What of the stream was looked at, and what was not."""

    watched_s: float = 0.0
    unwatched_s: float = 0.0
    longest_gap_s: float = 0.0
    keyframes_seen: int = 0
    keyframes_hashed: int = 0
    keyframes_scored: int = 0
    """Scored themselves: near-duplicates that took over another frame's scores don't count."""


class EvidenceRef(Struct, frozen=True, kw_only=True):
    """A sealed frame in the vault."""

    ref: str
    sha256: str
    media_time_s: float


IncidentState = Literal["open", "closed"]


class Incident(Struct, frozen=True, kw_only=True):
    """The body of an escalation."""

    incident_id: str
    revision: int
    test: bool
    state: IncidentState
    closed_why: ClosedWhy | None
    live: bool | None
    behind_s: float | None
    stream_id: str
    tenant: str | None
    account: str | None
    group: Group
    severity: Severity
    respond_by: datetime | None
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    action: Action
    media_time_s: float
    media_time_from: MediaTimeFrom
    sequence: int | None
    viewers: int | None
    links: Links
    risk: RiskFigures
    reasons: tuple[Reason, ...]
    explanation: str
    """The same in plain sentences: which rule, which frame at which time, how near, what was not sampled."""
    preserve: Preserve
    model: ModelRef | None
    policy: PolicyRef
    lists: tuple[ListRef, ...]
    coverage: Coverage
    timings: Timings
    evidence: tuple[EvidenceRef, ...] = ()


class DeadLetter(Struct, frozen=True, kw_only=True):
    """The body of a dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None
    """When the broker has the record; None where its timestamp is none or no date."""
    stream_id: str | None
    sequence: int | None
    event_id: str | None
    stage: str
    error: str
    reason: str
    attempts: int
    payload: bytes | None = None
    """The event's body, only where the operator has asked for it: it is imagery."""


class ReportedMatch(Struct, frozen=True, kw_only=True):
    """A match as an assessment tells it."""

    list: str
    entry: str
    distance: int


class ReportedFrame(Struct, frozen=True, kw_only=True):
    """A keyframe as an assessment tells it."""

    media_time_s: float
    quality: int
    scores: dict[str, Score]
    matches: tuple[ReportedMatch, ...]
    near_duplicate: bool = False
    """true: it was not scored; its scores are those of the stream's last frame that was."""


class AssessmentReport(Struct, frozen=True, kw_only=True):
    """The body of an assessment."""

    topic: str
    partition: int
    offset: int
    event_id: str | None
    stream_id: str | None
    outcome: Outcome
    why: str | None
    sequence: int | None
    media_time_s: float | None
    duration_s: float | None
    frames: tuple[ReportedFrame, ...]
    digest: str | None
    risk: float | None
    timings: Timings


class ConfigReport(Struct, frozen=True, kw_only=True):
    """The body of a config event: what a worker decided with, from when on."""

    worker: str
    version: str
    at: datetime
    model: ModelRef | None
    policy: PolicyRef
    lists: tuple[ListRef, ...]
    limits: dict[str, float]
    jail: str
    provider: str | None = None
    """Where the classifier ran: cpu, openvino or cuda; None where there was none, or before that was told."""
