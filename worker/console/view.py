"""The console's parts as JSON, made of what is known at one moment. Reads nothing but memory, and never a picture.

Each part is encoded by itself, so that only what has changed needs to be sent again: times are absolute, whoever shows
them counts on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
from msgspec import Struct

from worker.console.live import history
from worker.console.words import in_words
from worker.records import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.console.about import About
    from worker.console.live import Live, LiveStream, OpenOne, Told
    from worker.partition.life import Partition
    from worker.policy.records import Policy

MOST_SHOWN = 50


class Owned(Protocol):
    """What is asked of the intake (``worker.intake.Intake``)."""

    halted: str | None

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """The partitions that work."""

    @property
    def restoring(self) -> frozenset[int]:
        """The partitions that do not work yet."""

    @property
    def parked(self) -> Mapping[int, str]:
        """The partitions that stand still."""

    def lag(self, partition: int) -> int | None:
        """Return how many records wait at the broker."""


class Health(Protocol):
    """Says whether the worker is well (``worker.health.Health``)."""

    def live(self) -> str | None:
        """Return why a restart would help."""

    def ready(self) -> str | None:
        """Return why it does not do its work now."""


class ShownPartition(Struct, frozen=True, kw_only=True):
    """A partition of ours."""

    number: int
    state: Literal["working", "restoring", "held", "parked"]
    why: str | None
    lag: int | None
    in_work: int


class Now(Struct, frozen=True, kw_only=True):
    """How the worker is. ``live`` and ``ready`` are None, or say why not."""

    at_s: float
    live: str | None
    ready: str | None
    halted: str | None
    lag: int | None
    in_work: int
    streams: int
    risky: int
    incidents: dict[Severity, int]
    partitions: tuple[ShownPartition, ...]


class ShownStream(Struct, frozen=True, kw_only=True):
    """One line among the streams."""

    id: str
    partition: int
    risk: float
    open_above: float
    severity: Severity | None
    incident: bool
    outcome: str
    why: str | None
    words: str
    heard_s: float
    behind_s: float | None
    """How long after the broker had it its last event was done; None where its record has no timestamp."""
    points: tuple[float, ...]


class Streams(Struct, frozen=True, kw_only=True):
    """The worst streams, of those whose id begins with what was asked for."""

    prefix: str
    matching: int
    shown: tuple[ShownStream, ...]


class ShownIncident(Struct, frozen=True, kw_only=True):
    """An open incident. Without an explanation where another worker opened it."""

    id: str
    stream: str
    severity: Severity
    kinds: tuple[str, ...]
    action: str
    test: bool
    live: bool
    opened_s: float
    respond_by_s: float | None
    revision: int
    explanation: str | None
    reasons: tuple[str, ...]
    more_reasons: int


class Incidents(Struct, frozen=True, kw_only=True):
    """The gravest open incidents."""

    open: int
    shown: tuple[ShownIncident, ...]


class Outcome(Struct, frozen=True, kw_only=True):
    """How many events had this outcome for this reason lately."""

    outcome: str
    why: str | None
    words: str
    count: int


class Console:
    """Makes the console's parts."""

    def __init__(
        self,
        *,
        live: Live,
        intake: Owned,
        health: Health,
        about: About,
        policy: Policy,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds since 1970."""
        self._live = live
        self._intake = intake
        self._health = health
        self._about = msgspec.json.encode(about)
        self._policy = policy
        self._clock = clock

    def parts(self, prefix: str = "") -> dict[str, bytes]:
        """Return the parts of the page as JSON; of streams only those whose id begins with ``prefix``."""
        at_s = self._clock()
        return {
            "about": self._about,
            "streams": msgspec.json.encode(self._streams(prefix, at_s)),
            "incidents": msgspec.json.encode(self._incidents()),
            "outcomes": msgspec.json.encode(self._outcomes(at_s)),
            "now": msgspec.json.encode(self._now(at_s)),
        }

    def _now(self, at_s: float) -> Now:
        partitions = tuple(self._partitions())
        lags = [one.lag for one in partitions if one.lag is not None]
        return Now(
            at_s=round(at_s, 3),
            live=self._health.live(),
            ready=self._health.ready(),
            halted=self._intake.halted,
            lag=sum(lags) if lags else None,
            in_work=sum(one.in_work for one in partitions),
            streams=self._live.matching(""),
            risky=self._live.risky,
            incidents=dict(self._live.open_by_severity()),
            partitions=partitions,
        )

    def _partitions(self) -> list[ShownPartition]:
        intake = self._intake
        working = [_working(number, one, intake.lag(number)) for number, one in intake.partitions.items()]
        parked = [_still(number, "parked", why) for number, why in intake.parked.items()]
        restoring = [_still(number, "restoring", None) for number in intake.restoring]
        return sorted([*working, *parked, *restoring], key=lambda one: one.number)

    def _streams(self, prefix: str, at_s: float) -> Streams:
        worst = self._live.worst(MOST_SHOWN, at_s, prefix)
        return Streams(
            prefix=visible(prefix),
            matching=self._live.matching(prefix),
            shown=tuple(self._stream(one, at_s) for one in worst),
        )

    def _stream(self, stream: LiveStream, at_s: float) -> ShownStream:
        return ShownStream(
            id=visible(stream.stream_id),
            partition=stream.partition,
            risk=round(stream.risk, 2),
            open_above=self._policy.for_tenant(stream.tenant).risk.open_above,
            severity=stream.severity,
            incident=self._live.has_incident(stream.stream_id),
            outcome=stream.outcome,
            why=stream.why,
            words=in_words(stream.outcome, stream.why),
            heard_s=round(stream.heard_s, 1),
            behind_s=round(max(0.0, stream.heard_s - stream.appended_s), 1) if stream.appended_s > 0 else None,
            points=tuple(round(point, 2) for point in history(stream, at_s)),
        )

    def _incidents(self) -> Incidents:
        found = self._live.incidents(MOST_SHOWN)
        return Incidents(open=self._live.open_incidents, shown=tuple(_incident(one, told) for one, told in found))

    def _outcomes(self, at_s: float) -> tuple[Outcome, ...]:
        return tuple(
            Outcome(outcome=outcome, why=why, words=in_words(outcome, why), count=count)
            for (outcome, why), count in self._live.outcomes(at_s).most_common()
        )


def visible(text: str) -> str:
    """Return a text from outside in which nothing is invisible or turns the direction of what stands beside it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _working(number: int, partition: Partition, lag: int | None) -> ShownPartition:
    why = partition.held
    state: Literal["held", "working"] = "working" if why is None else "held"
    return ShownPartition(number=number, state=state, why=why, lag=lag, in_work=partition.load)


def _still(number: int, state: Literal["parked", "restoring"], why: str | None) -> ShownPartition:
    return ShownPartition(number=number, state=state, why=why, lag=None, in_work=0)


def _incident(one: OpenOne, told: Told | None) -> ShownIncident:
    incident = one.incident
    return ShownIncident(
        id=incident.incident_id,
        stream=visible(one.stream_id),
        severity=incident.severity,
        kinds=tuple(kind.replace("_", " ") for kind in incident.kinds),
        action=incident.action,
        test=incident.test,
        live=incident.live,
        opened_s=round(incident.opened_at.timestamp(), 1),
        respond_by_s=told.respond_by_s if told else None,
        revision=incident.revision,
        explanation=visible(told.explanation) if told else None,
        reasons=tuple(map(visible, told.reasons)) if told else (),
        more_reasons=told.more_reasons if told else 0,
    )
