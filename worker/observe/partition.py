"""Listens to one partition."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from worker.observe.outcomes import Outcomes, change
from worker.observe.sparing import Sparing
from worker.telemetry.catalogue.metric import OTHER
from worker.wire.read import identify
from worker.wire.trace import context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.console.live import Live
    from worker.observe.spans import Spans
    from worker.records import Failure, Incident, Message, Received
    from worker.settings.tree import Topics
    from worker.streams.state import StreamState
    from worker.streams.store import Census
    from worker.telemetry import Telemetry
    from worker.telemetry.behind import Behind

log = structlog.get_logger()
CROWDED_EVERY_S = 60.0


class PartitionObserver:
    """Listens to one partition."""

    def __init__(
        self,
        telemetry: Telemetry,
        partition: int,
        live: Live | None = None,
        *,
        topics: Topics | None = None,
        behind: Behind | None = None,
        spans: Spans | None = None,
    ) -> None:
        """Everything it logs names ``partition``; ``live`` is the console's, where there is one.

        ``topics`` are those that results leave to, ``behind`` is shared by all partitions, ``spans`` is there where
        traces are exported.
        """
        self._telemetry = telemetry
        self._outcomes = Outcomes(telemetry)
        self._live = live
        self._partition = partition
        self._roles = _roles(topics)
        self._behind = behind
        self._spans = spans
        self._crowded = 0
        self._crowded_from_s = 0.0
        self._log = log.bind(partition=partition)
        self._dead_letters = Sparing()
        self._sheds = Sparing()

    def consumed(self, received: Received) -> None:
        """Count it before anything is believed of it."""
        self._telemetry.consumed(len(received.value or b""))
        if self._behind is not None:
            self._behind.consumed(self._partition, received.position.timestamp_ms, time.time())

    def released(self, received: Received, conclusion: Conclusion, now: datetime) -> None:
        """Count the outcome and tell the incident and the dead letter, now that the broker has them."""
        self._outcomes.released(received, conclusion, now)
        if conclusion.failure is not None:
            self._tell_dead_letter(received, conclusion.failure)
        if conclusion.assessment is not None and conclusion.assessment.outcome == "shed":
            self._tell_shed(conclusion.assessment.why or "")
        if conclusion.incident is not None:
            self._tell(conclusion.incident, received, conclusion, now)
        if self._spans is not None and conclusion.assessment is not None:
            self._spans.released(conclusion.assessment, now)
        if self._live is not None:
            self._live.released(self._partition, received, conclusion, now.timestamp())

    @contextmanager
    def releasing(self, messages: Sequence[Message]) -> Iterator[None]:
        """Time a release; one that raises has an unknown outcome."""
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            self._telemetry.released("unknown", time.perf_counter() - started)
            raise
        seconds = time.perf_counter() - started
        self._telemetry.released("ok", seconds)
        sizes = [(self._roles.get(one.topic, OTHER), _size_bytes(one)) for one in messages]
        self._telemetry.left(self._partition, sizes, time.time())
        if self._spans is not None:
            self._spans.release_took(self._partition, seconds)

    def held(self, why: str) -> None:
        """Say what is waited for."""
        self._telemetry.held()
        self._log.warning("held", why=why)

    def expired(self, events: int) -> None:
        """Say what retention deleted before anybody watched it."""
        self._telemetry.expired(events)
        self._log.error("expired", events=events)

    def moved(self, why: str) -> None:
        """Say that somebody moved an offset, and that it is done as an operator has set."""
        self._telemetry.moved()
        self._log.error("offset moved, going on as intake.on_rewind says", why=why)

    def searching(self, first: int, end: int) -> None:
        """Say that the last owner has died with work in hand."""
        self._telemetry.searching()
        self._log.warning("the last owner died: what it may have had in work goes one at a time", first=first, end=end)

    def abandoned(self, events: int) -> None:
        """Say what the next owner has to work again."""
        self._telemetry.abandoned(events)
        self._log.warning("abandoned", events=events)

    def restoring(self, records: int) -> None:
        """Say how far restoring has come."""
        self._telemetry.restoring(self._partition, records)
        self._log.info("restoring", records=records)

    def took(self, with_incidents: Iterable[StreamState]) -> None:
        """Tell the console which incidents are open."""
        if self._live is not None:
            self._live.took(self._partition, with_incidents)

    def remembers(self, census: Census) -> None:
        """Count who was let go; who was crowded out is said once a minute at most."""
        self._telemetry.remembers(self._partition, census.streams, census.size_bytes, census.open_incidents)
        for why, streams in census.gone:
            self._telemetry.forgot(why, streams)
            if why == "crowded":
                self._crowded += streams
        at_s = time.monotonic()
        if self._crowded and at_s >= self._crowded_from_s:
            self._log.error("streams forgotten above streams.max", streams=self._crowded, remembered=census.streams)
            self._crowded, self._crowded_from_s = 0, at_s + CROWDED_EVERY_S

    def silent(self, conclusion: Conclusion) -> None:
        """Say what became of the incident of a stream that fell silent."""
        if self._live is not None:
            self._live.silent(self._partition, conclusion)
        if (incident := conclusion.incident) is not None:
            self._outcomes.of_silence(incident)
            self._log.warning(
                f"incident {'closed' if incident.state == 'closed' else 'updated'}",
                incident=incident.incident_id,
                stream=incident.stream_id,
                severity=incident.severity,
                why="nothing came for long",
            )

    def _tell_dead_letter(self, received: Received, failure: Failure) -> None:
        """Log it; of one stream at most once a minute, with how many were not told since."""
        kept_back = self._dead_letters.pass_(identify(received).stream_id or "", time.monotonic())
        if kept_back is not None:
            self._at(received).warning(
                "dead letter", stage=failure.stage, error=failure.error, reason=failure.reason, more_before=kept_back
            )

    def _tell_shed(self, why: str) -> None:
        """Log that segments are shed; once a minute, with how many were not told since."""
        kept_back = self._sheds.pass_(why, time.monotonic())
        if kept_back is not None:
            self._log.warning("segment shed", why=why, more_before=kept_back)

    def _tell(self, incident: Incident, received: Received, conclusion: Conclusion, now: datetime) -> None:
        seconds = self._outcomes.incident(incident, received, conclusion, now)
        self._at(received).warning(
            f"incident {change(incident)}",
            incident=incident.incident_id,
            severity=incident.severity,
            risk=round(incident.risk.value, 2),
            reasons=sorted({reason.kind for reason in incident.reasons}),
            after_s=round(seconds, 3),
            test=incident.test,
            **_trace(conclusion),
        )

    def _at(self, received: Received) -> structlog.typing.FilteringBoundLogger:
        return self._log.bind(stream=identify(received).stream_id, offset=received.position.offset)  # type: ignore[no-any-return] # structlog's bind has no type


def _trace(conclusion: Conclusion) -> dict[str, str]:
    """Return what a line says of the trace that led to an incident; nothing where there is none."""
    trace = conclusion.assessment.segment.trace if conclusion.assessment is not None else None
    return {} if trace is None else {"trace": context(trace).trace_id}


def _roles(topics: Topics | None) -> dict[str, str]:
    """Return the settings' names of the topics by their own names."""
    if topics is None:
        return {}
    return {
        topics.escalations: "escalations",
        topics.dead_letters: "dead_letters",
        topics.risk: "risk",
        topics.assessments: "assessments",
    }


def _size_bytes(message: Message) -> int:
    return len(message.key or b"") + len(message.value or b"")
