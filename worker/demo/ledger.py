"""What was published, and what the topics say became of it: kept by platform and audience, shown, and summed up."""

from __future__ import annotations

from collections import Counter, deque

from msgspec import Struct, field

from worker.demo.streams import Piece
from worker.records import DeadLetter, Incident, Outcome

RISKS_KEPT = 15


class Published(Struct, frozen=True, kw_only=True):
    """One segment that went out."""

    event_id: str
    stream_id: str
    piece: Piece


class Fate(Struct, frozen=True, kw_only=True):
    """What an assessment says became of a segment."""

    outcome: Outcome
    why: str | None
    risk: float | None
    latency_s: float | None
    """From the timestamp of the segment's record until its assessment was read here."""
    read_at_s: float
    """On the monotonic clock."""


class Escalated(Struct, frozen=True, kw_only=True):
    """One escalation as it was read."""

    incident: Incident
    change: str
    """opened, updated or closed."""
    latency_s: float | None
    """From the timestamp of the segment's record that led to it until it was read here; None without such a segment."""


class Course(Struct, kw_only=True):
    """One stream so far."""

    published: list[Published] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    risks: deque[float] = field(default_factory=lambda: deque(maxlen=RISKS_KEPT))
    """The last risks, one a segment that had one."""
    looked_at_s: float | None = None
    """When the last look at it was read, on the monotonic clock."""
    ended: bool = False
    incident: Incident | None = None
    """The newest revision of its last incident."""

    @property
    def risk(self) -> float:
        """The newest risk."""
        return self.risks[-1] if self.risks else 0.0


class Ledger:
    """Grows while the show runs."""

    def __init__(self) -> None:
        """Begin empty."""
        self.published: dict[str, Published] = {}
        """By event id."""
        self.fates: dict[str, Fate] = {}
        """By event id."""
        self.escalations: list[Escalated] = []
        self.letters: list[DeadLetter] = []
        self.unknown = 0
        """Outcomes of events that nobody here has published."""
        self._courses: dict[str, Course] = {}

    def course(self, stream_id: str) -> Course:
        """How one stream goes."""
        return self._courses.setdefault(stream_id, Course())

    @property
    def outstanding(self) -> int:
        """Segments without an outcome yet."""
        return len(self.published) - len(self.fates)

    @property
    def refused(self) -> int:
        """Segments that the assessments say are dead letters."""
        return sum(course.outcomes["dead_lettered"] for course in self._courses.values())

    def publish(self, one: Published) -> None:
        """A segment goes out."""
        self.published[one.event_id] = one
        self.course(one.stream_id).published.append(one)

    def assess(self, event_id: str | None, fate: Fate) -> None:
        """An outcome was read."""
        published = None if event_id is None else self.published.get(event_id)
        if published is None:
            self.unknown += 1
            return
        self.fates[published.event_id] = fate
        course = self.course(published.stream_id)
        course.outcomes[fate.outcome] += 1
        if fate.outcome == "assessed":
            course.looked_at_s = fate.read_at_s
            course.risks.append(fate.risk or 0.0)

    def escalate(self, one: Escalated) -> None:
        """An escalation was read."""
        self.escalations.append(one)
        self.course(one.incident.stream_id).incident = one.incident
