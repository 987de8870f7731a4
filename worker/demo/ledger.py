"""What was published, and what the topics say became of it. Written by platform and audience, read by show and summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from worker.demo.streams import Piece, Stream
from worker.records import AssessmentReport, DeadLetter, Incident, Outcome


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


class Ledger:
    """Grows while the show runs."""

    def __init__(self) -> None:
        """Begin empty."""
        self.published: dict[str, Published] = {}
        self.fates: dict[str, Fate] = {}
        self.escalations: list[Escalated] = []
        self.letters: list[DeadLetter] = []
        self.ended: set[str] = set()
        self.unknown = 0
        """Outcomes of events that nobody here has published."""
        self._by_stream: dict[str, list[str]] = {}

    def publish(self, one: Published) -> None:
        """A segment goes out."""
        self.published[one.event_id] = one
        self._by_stream.setdefault(one.stream_id, []).append(one.event_id)

    def assessed(self, report: AssessmentReport, fate: Fate) -> None:
        """An outcome was read."""
        if report.event_id not in self.published:
            self.unknown += 1
            return
        self.fates[report.event_id] = fate

    @property
    def outstanding(self) -> int:
        """Segments without an outcome yet."""
        return len(self.published) - len(self.fates)

    def of(self, stream: Stream) -> list[Published]:
        """What a stream has published, in order."""
        return [self.published[event_id] for event_id in self._by_stream.get(stream.stream_id, ())]

    def fates_of(self, stream: Stream) -> Iterator[Fate]:
        """What became of a stream's segments so far, in the order of the segments."""
        return (self.fates[i] for i in self._by_stream.get(stream.stream_id, ()) if i in self.fates)

    def outcomes_of(self, stream: Stream) -> Counter[Outcome]:
        """How many of a stream's segments came to what."""
        return Counter(fate.outcome for fate in self.fates_of(stream))

    def incident_of(self, stream: Stream) -> Incident | None:
        """The newest revision of a stream's last incident."""
        own = (one.incident for one in reversed(self.escalations) if one.incident.stream_id == stream.stream_id)
        return next(own, None)
