"""Follows the segments whose trace somebody keeps, and makes the spans of our work on each."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from worker.telemetry.span import Span
from worker.wire.trace import Context, context, span_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from worker.records import Assessment, Position, Segment

MOST_FOLLOWED = 4096
"""So many segments are followed at once; the oldest are let go, such as those given up at a hand-over."""
STAGES = ("fetch", "decode", "match", "score")


class Spans:
    """Told of stages and outcomes; hands whole spans to ``export``."""

    def __init__(self, export: Callable[[Sequence[Span]], None], clock: Callable[[], float] = time.time) -> None:
        """``export`` must not wait; ``clock`` gives seconds since 1970."""
        self._export = export
        self._clock = clock
        self._stages: OrderedDict[tuple[int, int], list[tuple[str, float, float]]] = OrderedDict()
        self._release_s: dict[int, float] = {}

    def stage(self, segment: Segment, stage: str, seconds: float) -> None:
        """Note a stage that has just ended."""
        if segment.trace is None or stage not in STAGES or not context(segment.trace).sampled:
            return
        now_s = self._clock()
        self._stages.setdefault(_key(segment.position), []).append((stage, now_s - seconds, now_s))
        if len(self._stages) > MOST_FOLLOWED:
            self._stages.popitem(last=False)

    def release_took(self, partition: int, seconds: float) -> None:
        """Note how long the release took that a partition's next ``released`` are of."""
        self._release_s[partition] = seconds

    def released(self, assessment: Assessment, now: datetime) -> None:
        """Export what was done for a segment, now that the broker has its results."""
        segment = assessment.segment
        if segment.trace is None or not (came := context(segment.trace)).sampled:
            return
        stages = self._stages.pop(_key(segment.position), [])
        end_s = now.timestamp()
        stages.append(("release", end_s - self._release_s.get(segment.position.partition, 0.0), end_s))
        received_s = assessment.received_at.timestamp() if assessment.received_at is not None else stages[0][1]
        ours = span_id(segment.trace, segment.position)
        whole = _whole(assessment, came, ours, received_s, end_s)
        self._export([whole, *(_part(name, came, ours, start_s, stop_s) for name, start_s, stop_s in stages)])


def _key(position: Position) -> tuple[int, int]:
    return position.partition, position.offset


def _whole(assessment: Assessment, came: Context, ours: str, start_s: float, end_s: float) -> Span:
    """Return the span of all our work on a segment. Where it lies is told, never whose it is."""
    position, failure = assessment.segment.position, assessment.failure
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": position.topic,
        "messaging.destination.partition.id": str(position.partition),
        "messaging.kafka.offset": position.offset,
        "framewatch.outcome": assessment.outcome,
    }
    if assessment.why is not None:
        attributes["framewatch.why"] = assessment.why
    return Span(
        name=f"process {position.topic}",
        trace_id=came.trace_id,
        span_id=ours,
        parent_id=came.span_id,
        start_s=start_s,
        end_s=end_s,
        attributes=attributes,
        error=None if failure is None else f"{failure.stage}: {failure.error}",
    )


def _part(name: str, came: Context, ours: str, start_s: float, end_s: float) -> Span:
    return Span(name=name, trace_id=came.trace_id, span_id=None, parent_id=ours, start_s=start_s, end_s=end_s)
