"""Listens to the stations that a segment passes: its stages, the decoders, and the breaker's judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.breaker import turn, was_healthy
from worker.wire.trace import sampled_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.breaker import Breaker
    from worker.jail.events import JailEvent
    from worker.observe.spans import Spans
    from worker.records import Assessment, Segment
    from worker.streams.state import StreamState
    from worker.telemetry import Telemetry

log = structlog.get_logger()


def jail_observer(telemetry: Telemetry) -> Callable[[JailEvent], None]:
    """Return what the jail tells of its processes' ends."""

    def note(event: JailEvent) -> None:
        telemetry.decoder_ended(event.change, event.cause)
        if event.change != "retired":
            log.warning("decoder", process=event.process, change=event.change, cause=event.cause, signal=event.signal)

    return note


def stage_observer(telemetry: Telemetry, spans: Spans | None = None) -> Callable[[Segment, str, float], None]:
    """Return what is told of each stage's seconds; ``spans`` is there where traces are exported."""

    def note(segment: Segment, stage: str, seconds: float) -> None:
        telemetry.stage(stage, seconds, sampled_id(segment.trace))
        if spans is not None:
            spans.stage(segment, stage, seconds)

    return note


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
