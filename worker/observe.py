"""Turns what happens into metrics and logs: the observers that the core tells."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from worker.references import moment
from worker.wire.read import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from worker.conclude import Conclusion
    from worker.jail.events import JailEvent
    from worker.records import Incident, Received
    from worker.telemetry.telemetry import Telemetry

log = structlog.get_logger()


class PartitionObserver:
    """Listens to one partition."""

    def __init__(self, telemetry: Telemetry, partition: int) -> None:
        """Everything it logs names ``partition``."""
        self._telemetry = telemetry
        self._log = log.bind(partition=partition)

    def consumed(self, received: Received) -> None:
        """Count it before anything is believed of it."""
        self._telemetry.consumed(len(received.value or b""))

    def released(self, received: Received, conclusion: Conclusion, now: datetime) -> None:
        """Count the outcome and tell the incident and the dead letter, now that the broker has them."""
        assessment, failure, incident = conclusion.assessment, conclusion.failure, conclusion.incident
        if assessment is not None:
            self._telemetry.outcome(assessment.outcome, assessment.why)
        elif failure is not None:
            self._telemetry.outcome("dead_lettered", failure.error)
        else:
            self._telemetry.noticed()
        if failure is not None:
            self._telemetry.dead_letter(failure.stage, failure.error)
            self._at(received).warning("dead letter", stage=failure.stage, error=failure.error, reason=failure.reason)
        if incident is not None:
            self._tell(received, incident, now)

    @contextmanager
    def releasing(self) -> Iterator[None]:
        """Time a release; one that raises has an unknown outcome."""
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            self._telemetry.released("unknown", time.perf_counter() - started)
            raise
        self._telemetry.released("ok", time.perf_counter() - started)

    def held(self, why: str) -> None:
        """Say what is waited for."""
        self._telemetry.held()
        self._log.warning("held", why=why)

    def expired(self, events: int) -> None:
        """Say what retention deleted before anybody watched it."""
        self._telemetry.expired(events)
        self._log.error("expired", events=events)

    def abandoned(self, events: int) -> None:
        """Say what the next owner has to work again."""
        self._telemetry.abandoned(events)
        self._log.warning("abandoned", events=events)

    def _tell(self, received: Received, incident: Incident, now: datetime) -> None:
        # The publisher may have set the timestamp, to anything.
        appended_at = moment(received.position.timestamp_ms) or now
        seconds = max(0.0, (now - appended_at).total_seconds())
        change = "opened" if incident.revision == 1 else "closed" if incident.state == "closed" else "updated"
        self._telemetry.escalated(change, incident.severity, seconds)
        self._at(received).warning(
            f"incident {change}",
            incident=incident.incident_id,
            severity=incident.severity,
            risk=round(incident.risk.value, 2),
            reasons=sorted({reason.kind for reason in incident.reasons}),
            after_s=round(seconds, 3),
            test=incident.test,
        )

    def _at(self, received: Received) -> structlog.typing.FilteringBoundLogger:
        return self._log.bind(stream=identify(received).stream_id, offset=received.position.offset)  # type: ignore[no-any-return] # structlog's bind has no type


class IntakeObserver:
    """Listens to the intake."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Count in ``telemetry``."""
        self._telemetry = telemetry

    def assigned(self, partitions: Collection[int]) -> None:
        """Note what the group gave us."""
        self._telemetry.rebalanced()
        self._telemetry.owned(len(partitions))
        log.info("assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Collection[int]) -> None:
        """Note what the group took from us."""
        self._telemetry.owned(0)
        if partitions:
            log.info("revoked", partitions=sorted(partitions))

    def lost(self, partition: int, why: str) -> None:
        """Note that a partition is taken again."""
        self._telemetry.lost()
        log.warning("partition lost, taking it again", partition=partition, why=why)

    def restored(self, partition: int, seconds: float) -> None:
        """Note that a partition works."""
        self._telemetry.restored(seconds)
        log.info("partition works", partition=partition, after_s=round(seconds, 3))

    def paused(self, partitions: Collection[int]) -> None:
        """Note which partitions are held back."""
        self._telemetry.paused(len(partitions))


def jail_observer(telemetry: Telemetry) -> Callable[[JailEvent], None]:
    """Return what the jail tells of its processes' ends."""

    def note(event: JailEvent) -> None:
        telemetry.decoder_ended(event.change, event.cause)
        if event.change != "retired":
            log.warning("decoder", process=event.process, change=event.change, cause=event.cause, signal=event.signal)

    return note


def stage_observer(telemetry: Telemetry) -> Callable[[str, float], None]:
    """Return what is told of each stage's seconds."""
    return telemetry.stage
