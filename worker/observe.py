"""Turns what happens into metrics and logs: the observers that the core tells."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from worker.breaker import turn, was_healthy
from worker.references import moment
from worker.wire.read import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from worker.breaker import Breaker
    from worker.conclude import Conclusion
    from worker.jail.events import JailEvent
    from worker.records import Assessment, Failure, Incident, Received
    from worker.streams.state import StreamState
    from worker.streams.store import Census
    from worker.telemetry.telemetry import Telemetry

log = structlog.get_logger()
CROWDED_EVERY_S = 60.0
DEAD_LETTER_EVERY_S = 60.0
MOST_SPARED = 1000


class Sparing:
    """Lets one thing of each kind pass in a while, and counts the others; knows the newest kinds only."""

    def __init__(self, *, every_s: float = DEAD_LETTER_EVERY_S, most: int = MOST_SPARED) -> None:
        """One in ``every_s`` seconds passes; of more than ``most`` kinds the oldest are forgotten."""
        self._every_s = every_s
        self._most = most
        self._passed: dict[str, tuple[float, int]] = {}

    def pass_(self, kind: str, at_s: float) -> int | None:
        """Return how many of its kind were kept back before this one; None where this one is kept back too."""
        passed_s, kept_back = self._passed.get(kind, (None, 0))
        if passed_s is not None and at_s - passed_s < self._every_s:
            self._passed[kind] = (passed_s, kept_back + 1)
            return None
        self._passed.pop(kind, None)
        self._passed[kind] = (at_s, 0)
        if len(self._passed) > self._most:
            del self._passed[next(iter(self._passed))]
        return kept_back


class PartitionObserver:
    """Listens to one partition."""

    def __init__(self, telemetry: Telemetry, partition: int) -> None:
        """Everything it logs names ``partition``."""
        self._telemetry = telemetry
        self._partition = partition
        self._crowded = 0
        self._crowded_from_s = 0.0
        self._log = log.bind(partition=partition)
        self._dead_letters = Sparing()

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
            self._tell_dead_letter(received, failure)
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

    def remembers(self, census: Census) -> None:
        """Count who was let go; who was crowded out is said once a minute at most."""
        self._telemetry.remembers(self._partition, census.streams, census.size_bytes)
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
        if (incident := conclusion.incident) is not None:
            change = "closed" if incident.state == "closed" else "updated"
            self._telemetry.escalated(change, incident.severity, None)
            self._log.warning(
                f"incident {change}",
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

    def failing(self, partition: int, why: str) -> None:
        """Say that results do not leave."""
        log.error("results do not leave, nothing is committed, trying on", partition=partition, why=why)

    def restored(self, partition: int, seconds: float) -> None:
        """Note that a partition works."""
        self._telemetry.restored(seconds)
        log.info("partition works", partition=partition, after_s=round(seconds, 3))

    def paused(self, partitions: Collection[int]) -> None:
        """Note which partitions are held back."""
        self._telemetry.paused(len(partitions))

    def parked(self, why: Mapping[int, str]) -> None:
        """Say which partitions stand still."""
        self._telemetry.parked(len(why))
        for line in why.values():
            log.error("partition stands still", why=line)

    def halted(self, why: str) -> None:
        """Say that nothing more is taken in."""
        self._telemetry.tripped()
        log.error("intake stopped by the breaker", why=why)


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


def breaker_judge(
    breaker: Breaker, halt: Callable[[str], None], clock: Callable[[], float]
) -> Callable[[StreamState, Assessment], None]:
    """Return what is told of each segment, with its stream's state before it; ``halt`` is told why it tripped."""

    def judge(before: StreamState, assessment: Assessment) -> None:
        if (told := turn(assessment)) is None:
            return
        position = assessment.segment.position
        healthy = was_healthy(before, assessment)
        tripped = breaker.note(
            assessment.segment.stream_id, position.partition, told, healthy_before=healthy, at_s=clock()
        )
        if tripped and breaker.tripped is not None:
            halt(breaker.tripped)

    return judge
