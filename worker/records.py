"""The vocabulary, in the order in which the data flows.

Every record is frozen. Times in seconds end in ``_s``; wall-clock times are aware datetimes in UTC. What is unknown is
``None``, never a sentinel value. Nothing here does I/O or knows an encoding.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""One picture as RGB, shape (height, width, 3), dtype uint8."""


# --- what arrives ---------------------------------------------------------------------------------------------------


class Position(Struct, frozen=True, kw_only=True):
    """Where a record stands in Kafka, and when the broker has it (milliseconds since 1970, UTC)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Received(Struct, frozen=True, kw_only=True):
    """One Kafka record as consumed, before anybody believed a byte of it."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Message(Struct, frozen=True, kw_only=True):
    """One Kafka record to be produced."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class EventId(Struct, frozen=True, kw_only=True):
    """What names an event once and for all: CloudEvents' ``source`` and ``id``."""

    source: str
    id: str


class Trace(Struct, frozen=True, kw_only=True):
    """W3C trace context as it came."""

    traceparent: str
    tracestate: str | None = None


class Reference(Struct, frozen=True, kw_only=True):
    """A claim check: where the bytes lie instead of in the message."""

    uri: str
    sha256: str | None = None
    size_bytes: int | None = None
    etag: str | None = None
    version: str | None = None
    byterange: tuple[int, int] | None = None
    """First and last byte, both inclusive."""


ContentType = Literal["video/mp2t", "video/mp4", "video/iso.segment", "video/webm"]


class Segment(Struct, frozen=True, kw_only=True):
    """A segment event, read and checked; its media still unread."""

    position: Position
    event: EventId
    stream_id: str
    content_type: ContentType
    payload: bytes | Reference
    init: Reference | None = None
    sequence: int | None = None
    captured_at: datetime | None = None
    media_time_s: float | None = None
    duration_s: float | None = None
    discontinuity: bool = False
    test: bool = False
    tenant: str | None = None
    account: str | None = None
    viewers: int | None = None
    trace: Trace | None = None


class Initialisation(Struct, frozen=True, kw_only=True):
    """A CMAF initialisation segment that serves its stream's media segments until the next one."""

    position: Position
    event: EventId
    stream_id: str
    payload: bytes | Reference


class StreamEnd(Struct, frozen=True, kw_only=True):
    """The publisher says that the stream is over."""

    position: Position
    event: EventId
    stream_id: str


Event = Segment | Initialisation | StreamEnd


# --- what is seen in it ---------------------------------------------------------------------------------------------


class Media(Struct, frozen=True, kw_only=True):
    """A segment's bytes, fetched and checked."""

    data: bytes
    init: bytes | None
    sha256: str
    """Our own digest of ``data``, hex."""


class View(Struct, frozen=True, kw_only=True):
    """How a classifier wants to see a picture."""

    height: int
    width: int
    fit: Literal["stretch", "crop"]
    """stretch: the whole picture; crop: shorter side to size, middle cut out."""


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked of the decoder for one segment."""

    content_type: ContentType | None
    """What the publisher says it is; None where the container is to be told by content."""
    interval_s: float
    max_keyframes: int
    view: View | None
    """None where no classifier wants pictures."""
    max_pixels: int
    max_streams: int


class FrameHash(Struct, frozen=True, kw_only=True):
    """PDQ of the picture as displayed: 32 bytes in ThreatExchange's order, or None where quality is below 50."""

    pdq: bytes | None
    quality: int
    """0 to 100."""


class Frame(Struct, frozen=True, kw_only=True, eq=False):
    """One keyframe as the sampler leaves it."""

    offset_s: float
    """Seconds from the segment's first video frame in presentation order."""
    width: int
    height: int
    """Pixels as displayed, rotation applied."""
    hash: FrameHash
    picture: Picture | None
    """The classifier's view at its input size; None where no classifier asked for one."""


class StepCosts(Struct, frozen=True, kw_only=True):
    """Seconds of CPU that the steps inside the decoder took for one segment."""

    open_s: float = 0.0
    decode_s: float = 0.0
    hash_s: float = 0.0
    resize_s: float = 0.0


class Sample(Struct, frozen=True, kw_only=True, eq=False):
    """What sampling makes of one segment."""

    container: str
    """FFmpeg's name of the demuxer: ``mpegts``, ``mov``, ``matroska``."""
    codec: str | None
    """FFmpeg's name of the video codec; None where the segment has no video."""
    start_s: float | None
    """Presentation time of the first video frame on the container's own clock, seconds."""
    wrap_s: float | None
    """After how many seconds that clock wraps (2^33/90000 for MPEG-TS); None where it does not."""
    duration_s: float | None
    """Measured from the video packets, seconds."""
    keyframes_seen: int
    frames: tuple[Frame, ...]
    damaged: bool
    """True when something after a whole keyframe could not be read."""
    costs: StepCosts = StepCosts()


ListKind = Literal["block", "review", "allow"]
Severity = Literal["critical", "high", "medium", "low"]
Action = Literal["none", "warn", "limit", "pause", "stop"]
ReasonKind = Literal["known_image", "known_video", "label", "signal"]


class Match(Struct, frozen=True, kw_only=True):
    """A frame within the radius of an entry of a hash list. Never the entry's hash."""

    list: str
    list_kind: ListKind
    list_version: str
    entry: str
    distance: int
    radius: int
    severity: Severity
    algorithm: str = "pdq"
    category: str | None = None
    at_s: float | None = None
    """When in the known video this frame is, seconds; None for a still."""
    video: bool = False
    """True when frames aligned in time with a known video, not a lone frame."""


class HashFile(Struct, frozen=True, kw_only=True, eq=False):
    """What one file of a hash list says of its rows beside their hashes, in the order of the rows."""

    stem: str
    """The file's name without its suffix."""
    lines: NDArray[np.int32]
    """Line in the file, shape (rows,), counted from 1."""
    entries: tuple[str, ...] | None
    """Entry of each row; None where the file names none: each line is its own, ``stem:line``."""
    categories: tuple[str | None, ...] | None
    """Category of each row; None where the file has none."""
    times_s: NDArray[np.float64] | None
    """When in its known video each row is, shape (rows,), seconds; None where the file holds stills."""


class HashList(Struct, frozen=True, kw_only=True, eq=False):
    """A hash list, read and checked. Its hashes never leave memory."""

    name: str
    version: str
    algorithm: Literal["pdq"]
    radius: int
    """Bits, inclusive."""
    kind: ListKind
    severity: Severity
    source: str | None
    sha256: str
    """Digest of the list's files, hex."""
    hashes: NDArray[np.uint8]
    """Shape (rows, 32), dtype uint8: the files' rows one after the other."""
    files: tuple[HashFile, ...]
    ignored: int
    """Rows left out because their quality is below 50."""


class Sighting(Struct, frozen=True, kw_only=True):
    """A frame of a known video seen in a stream, remembered to find the next one aligned with it."""

    list: str
    entry: str
    media_time_s: float
    """Where on the stream's own clock."""
    at_s: float
    """Where in the known video."""


class Score(Struct, frozen=True, kw_only=True):
    """What the classifier says of one label: its raw score and the calibrated probability, both 0 to 1."""

    score: float
    probability: float


FrameScore = dict[str, Score]
"""Label to score, harmless labels included."""


class Look(Struct, frozen=True, kw_only=True):
    """One keyframe after everything was asked about it."""

    offset_s: float
    hash: FrameHash
    matches: tuple[Match, ...] = ()
    scores: FrameScore | None = None
    """None where no classifier looked (there is none, or a block list's match went before it)."""


# --- what became of a segment ---------------------------------------------------------------------------------------

Outcome = Literal["assessed", "skipped", "shed", "dead_lettered"]
Standing = Literal["fresh", "late", "restarted", "repeat"]
"""What a segment is among those its stream had before."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why an event is a dead letter; the contract's bounded names."""

    stage: str
    error: str
    reason: str
    attempts: int = 1


class Timings(Struct, frozen=True, kw_only=True):
    """When a segment passed where; None where it did not or where nobody said."""

    captured_at: datetime | None = None
    appended_at: datetime | None = None
    received_at: datetime | None = None
    decided_at: datetime | None = None


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


# --- what is told to people: the JSON bodies of the contract ----------------------------------------------------------


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
