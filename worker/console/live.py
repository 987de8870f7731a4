"""What the console knows of streams: told of each released event, bounded, and no clock of its own.

A stream's snapshot at rest is packed bytes (``worker.streams.store``): asking the memory for the riskiest would unpack
all of them each second. So the few figures that are shown are noted here as they pass, which costs microseconds.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, deque
from heapq import nsmallest
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from worker.escalation.words import reason_words
from worker.records import OpenIncident, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.conclude import Conclusion
    from worker.records import Incident, Received
    from worker.streams.state import StreamState

T = TypeVar("T")
MOST_STREAMS = 10_000
"""So many streams with a risk are known, and so many without; those heard longest ago leave."""
MOST_INCIDENTS = 1_000
"""So many open incidents are known, and the words of so many."""
IDLE_S = 300.0
"""After so long without a record a stream is not live."""
POINT_S = 5
"""A stream's history has the highest risk of each so many seconds,"""
POINTS = 60
"""and so many of them."""
COUNTED_MIN = 5
"""Outcomes are counted over so many minutes."""
GRAVITY: dict[Severity, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}
MOST_REASONS = 8
MOST_WORDS = 1_500
"""Characters of an explanation."""
MOST_REASON_WORDS = 400


class LiveStream(Struct, kw_only=True):
    """A stream as its last released event left it."""

    stream_id: str
    partition: int
    tenant: str | None = None
    risk: float = 0.0
    severity: Severity | None = None
    outcome: str = ""
    why: str | None = None
    heard_s: float = 0.0
    """When its last event was released, seconds since 1970."""
    appended_s: float = 0.0
    """When the broker had that event, by the record's timestamp; its publisher may have set it."""
    points: array[float] | None = None
    """Ring of the highest risk of each ``POINT_S``; None where it never had one."""
    point: int = 0
    """Number of the newest point since 1970."""


class OpenOne(Struct, frozen=True, kw_only=True):
    """An open incident, as its stream's memory has it."""

    partition: int
    stream_id: str
    incident: OpenIncident


class Told(Struct, frozen=True, kw_only=True):
    """What was told of an incident when it was opened or updated last."""

    explanation: str
    reasons: tuple[str, ...]
    more_reasons: int
    respond_by_s: float | None
    updated_s: float


class Live:
    """Told of what this process has released; asked by the console. Everything in it is bounded."""

    def __init__(self, most_streams: int = MOST_STREAMS) -> None:
        """Know at most ``most_streams`` with a risk, and as many without."""
        self._most = most_streams
        self._ours: set[int] = set()
        self._risky: OrderedDict[str, LiveStream] = OrderedDict()
        self._quiet: OrderedDict[str, LiveStream] = OrderedDict()
        self._open: OrderedDict[str, OpenOne] = OrderedDict()
        self._told: OrderedDict[str, Told] = OrderedDict()
        self._minutes: deque[tuple[int, Counter[tuple[str, str | None]]]] = deque(maxlen=COUNTED_MIN + 1)

    # --- what happens ---

    def took(self, partition: int, with_incidents: Iterable[StreamState]) -> None:
        """Note a partition that was restored, and its streams that have an open incident."""
        self.left([partition])
        self._ours.add(partition)
        for state in with_incidents:
            self._note_incident(partition, state)

    def left(self, partitions: Iterable[int]) -> None:
        """Forget the streams of partitions that are not ours any longer; what they still release is counted only."""
        gone = frozenset(partitions)
        self._ours -= gone
        for table in (self._risky, self._quiet, self._open):
            for stream_id in [one for one, known in table.items() if known.partition in gone]:
                del table[stream_id]

    def released(self, partition: int, received: Received, conclusion: Conclusion, at_s: float) -> None:
        """Note what an event led to. ``at_s`` is the wall clock, seconds since 1970."""
        state, assessment, failure = conclusion.state, conclusion.assessment, conclusion.failure
        why = failure.error if failure is not None else assessment.why if assessment is not None else None
        if assessment is not None:
            self._count(assessment.outcome, why, at_s)
        elif failure is not None:
            self._count("dead_lettered", why, at_s)
        if state is not None and partition in self._ours:
            if assessment is not None:
                stream = self._stream(state, partition)
                stream.outcome, stream.why, stream.appended_s = (
                    assessment.outcome,
                    why,
                    received.position.timestamp_ms / 1000,
                )
                self._put(stream, state.risk.value, at_s)
            elif state.ended:
                self._forget(state.stream_id)
            self._note_incident(partition, state)
        if conclusion.incident is not None:
            self._tell(conclusion.incident)

    def silent(self, partition: int, conclusion: Conclusion) -> None:
        """Note what became of the incident of a stream that fell silent."""
        if conclusion.state is not None and partition in self._ours:
            self._note_incident(partition, conclusion.state)
        if conclusion.incident is not None:
            self._tell(conclusion.incident)

    def _count(self, outcome: str, why: str | None, at_s: float) -> None:
        minute = int(at_s // 60)
        if not self._minutes or self._minutes[-1][0] < minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][outcome, why] += 1

    def _stream(self, state: StreamState, partition: int) -> LiveStream:
        stream_id = state.stream_id
        stream = self._risky.get(stream_id) or self._quiet.get(stream_id)
        if stream is None:
            stream = LiveStream(stream_id=stream_id, partition=partition)
        stream.partition, stream.tenant, stream.severity = partition, state.tenant, state.risk.severity
        return stream

    def _put(self, stream: LiveStream, risk: float, at_s: float) -> None:
        if risk > 0 or stream.points is not None:
            _draw(stream, risk, int(at_s // POINT_S))
        stream.risk, stream.heard_s = risk, at_s
        into, other = (self._risky, self._quiet) if risk > 0 else (self._quiet, self._risky)
        other.pop(stream.stream_id, None)
        into[stream.stream_id] = stream
        into.move_to_end(stream.stream_id)
        if len(into) > self._most:
            into.popitem(last=False)

    def _forget(self, stream_id: str) -> None:
        self._risky.pop(stream_id, None)
        self._quiet.pop(stream_id, None)

    def _note_incident(self, partition: int, state: StreamState) -> None:
        if state.risk.incident is None:
            self._open.pop(state.stream_id, None)
            return
        one = OpenOne(partition=partition, stream_id=state.stream_id, incident=state.risk.incident)
        _keep(self._open, state.stream_id, one)

    def _tell(self, incident: Incident) -> None:
        if incident.state == "closed":
            self._told.pop(incident.incident_id, None)
        else:
            _keep(self._told, incident.incident_id, _told(incident))

    # --- what is asked ---

    def worst(self, most: int, at_s: float, prefix: str = "") -> list[LiveStream]:
        """Return the live streams of the highest risk whose id begins with ``prefix``, of the same risk by their id."""
        self._let_idle_go(at_s)
        risky = nsmallest(most, _beginning(self._risky.values(), prefix), key=_worst_first)
        quiet = nsmallest(most - len(risky), _beginning(self._quiet.values(), prefix), key=_by_id)
        return risky + quiet

    def matching(self, prefix: str) -> int:
        """Return how many live streams' ids begin with ``prefix``."""
        if not prefix:
            return len(self._risky) + len(self._quiet)
        return sum(1 for table in (self._risky, self._quiet) for _ in _beginning(table.values(), prefix))

    @property
    def risky(self) -> int:
        """How many live streams have a risk above 0."""
        return len(self._risky)

    def incidents(self, most: int) -> list[tuple[OpenOne, Told | None]]:
        """Return the gravest open incidents, newest first, each with what was told of it, if we told it."""
        gravest = nsmallest(most, self._open.values(), key=_gravest_first)
        return [(one, self._told.get(one.incident.incident_id)) for one in gravest]

    def has_incident(self, stream_id: str) -> bool:
        """Return whether a stream has an open incident."""
        return stream_id in self._open

    @property
    def open_incidents(self) -> int:
        """How many incidents are open."""
        return len(self._open)

    def open_by_severity(self) -> Counter[Severity]:
        """Return how many incidents of each severity are open."""
        return Counter(one.incident.severity for one in self._open.values())

    def outcomes(self, at_s: float) -> Counter[tuple[str, str | None]]:
        """Return how many events had which outcome for which reason, in the last minutes."""
        since = int(at_s // 60) - COUNTED_MIN
        return sum((count for minute, count in self._minutes if minute > since), Counter())

    def _let_idle_go(self, at_s: float) -> None:
        for table in (self._risky, self._quiet):
            while table and next(iter(table.values())).heard_s < at_s - IDLE_S:
                table.popitem(last=False)


def history(stream: LiveStream, at_s: float) -> list[float]:
    """Return a stream's risk over the last ``POINTS * POINT_S`` seconds, oldest first; empty where it never had one."""
    if stream.points is None:
        return []
    now = int(at_s // POINT_S)
    oldest = now - POINTS + 1
    # Nothing changes a risk but an event: after its newest point it is what it was.
    return [stream.points[n % POINTS] if n <= stream.point else stream.risk for n in range(oldest, now + 1)]


def _draw(stream: LiveStream, risk: float, point: int) -> None:
    """Note a risk; ``stream.risk`` is still the one before, which held in between."""
    if stream.points is None:
        stream.points = array("f", bytes(4 * POINTS))
        stream.point = point
    points = stream.points
    if point <= stream.point:
        points[stream.point % POINTS] = max(points[stream.point % POINTS], risk)
        return
    for between in range(max(stream.point + 1, point - POINTS + 1), point):
        points[between % POINTS] = stream.risk
    points[point % POINTS] = risk
    stream.point = point


def _beginning(streams: Iterable[LiveStream], prefix: str) -> Iterator[LiveStream]:
    return (stream for stream in streams if stream.stream_id.startswith(prefix))


def _worst_first(stream: LiveStream) -> tuple[float, str]:
    return -stream.risk, stream.stream_id


def _gravest_first(one: OpenOne) -> tuple[int, float]:
    return GRAVITY[one.incident.severity], -one.incident.opened_at.timestamp()


def _by_id(stream: LiveStream) -> str:
    return stream.stream_id


def _told(incident: Incident) -> Told:
    return Told(
        explanation=_short(incident.explanation, MOST_WORDS),
        reasons=tuple(_short(reason_words(reason), MOST_REASON_WORDS) for reason in incident.reasons[:MOST_REASONS]),
        more_reasons=max(0, len(incident.reasons) - MOST_REASONS),
        respond_by_s=None if incident.respond_by is None else incident.respond_by.timestamp(),
        updated_s=incident.updated_at.timestamp(),
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _keep(table: OrderedDict[str, T], key: str, value: T) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > MOST_INCIDENTS:
        table.popitem(last=False)
