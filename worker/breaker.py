"""Tells a bad deploy from bad publishers: whether most streams that were healthy turned bad at once. Pure.

It counts streams, not segments, so that one hostile publisher, however many segments it sends, is one bad stream.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from worker.records import Assessment
    from worker.streams.state import StreamState

LEAST_STREAMS = 20
"""Fewer say nothing: half of a handful turns bad by chance."""
LEAST_PARTITIONS = 2
SHARE = 0.5
RECENT_S = 300.0
"""A stream that was seen healthy within this time counts."""
MOST_STREAMS = 10_000
"""No more are counted: those seen healthy last."""
OURS = frozenset({"decode", "score"})
"""Stages that a bad decoder or model of ours would fail in; a bad header or reference is its publisher's."""

Turn = Literal["healthy", "bad"]


class _Seen(Struct, frozen=True):
    partition: int
    healthy_at_s: float
    bad: bool


class Breaker:
    """Knows of each recently healthy stream whether its newest segment was bad."""

    def __init__(self) -> None:
        """Begin with no stream; ``healthy_before`` tells what was so before this process."""
        self._streams: dict[str, _Seen] = {}
        self._bad: Counter[int] = Counter()
        self.tripped: str | None = None
        """Why no more is to be taken in, in one line; it stays."""

    def note(self, stream_id: str, partition: int, turn: Turn, *, healthy_before: bool, at_s: float) -> bool:
        """Take a segment's turn in, at monotonic seconds that only rise. Return whether this one tripped it.

        ``healthy_before`` says that the stream was looked at not long before this segment, perhaps by another process.
        """
        self._forget(at_s)
        known = self._streams.get(stream_id)
        if turn == "healthy":
            self._drop(stream_id)  # it goes to the end: they stand in the order in which they were seen healthy
            self._keep(stream_id, _Seen(partition, at_s, bad=False))
        elif known is not None:
            self._keep(stream_id, _Seen(partition, known.healthy_at_s, bad=True))
        elif healthy_before:
            self._keep(stream_id, _Seen(partition, at_s, bad=True))
        if self.tripped is not None or not self._is_too_much():
            return False
        self.tripped = (
            f"{self.bad} of {len(self._streams)} streams that were healthy within {RECENT_S:.0f} s turned bad at once, "
            f"in {len(self._bad)} partitions: no deploy of ours may drain the topic into dead letters. Put the decoder "
            "or the model right and restart; or restart with intake.breaker = off"
        )
        return True

    @property
    def bad(self) -> int:
        """How many of the recently healthy streams are bad now."""
        return self._bad.total()

    @property
    def streams(self) -> int:
        """How many streams were healthy recently."""
        return len(self._streams)

    def _is_too_much(self) -> bool:
        enough = len(self._streams) >= LEAST_STREAMS and len(self._bad) >= LEAST_PARTITIONS
        return enough and self.bad > SHARE * len(self._streams)

    def _keep(self, stream_id: str, seen: _Seen) -> None:
        before = self._streams.get(stream_id)
        self._count(before, -1)
        self._streams[stream_id] = seen
        self._count(seen, +1)
        if len(self._streams) > MOST_STREAMS:
            self._drop(next(iter(self._streams)))

    def _count(self, seen: _Seen | None, by: int) -> None:
        if seen is not None and seen.bad:
            self._bad[seen.partition] += by
            self._bad += Counter()  # drops what fell to zero

    def _forget(self, at_s: float) -> None:
        while self._streams:
            stream_id, oldest = next(iter(self._streams.items()))
            if at_s - oldest.healthy_at_s <= RECENT_S:
                return
            self._drop(stream_id)

    def _drop(self, stream_id: str) -> None:
        self._count(self._streams.pop(stream_id, None), -1)


def turn(assessment: Assessment) -> Turn | None:
    """Return what a segment says of its stream; None where it says nothing of decoder and model."""
    if assessment.failure is not None:
        return "bad" if assessment.failure.stage in OURS else None
    return "healthy" if assessment.looks else None


def was_healthy(before: StreamState, assessment: Assessment) -> bool:
    """Tell whether a stream was looked at not long before a segment, by the record's time: a backlog is not old."""
    if before.last_look_ms is None:
        return False
    return abs(assessment.segment.position.timestamp_ms - before.last_look_ms) <= RECENT_S * 1000
