"""Past capacity, worked out: a queue in front of two decoders, with the rule and the backlog that a partition has.

Time is counted, not waited for. What a benchmark measures on a real broker is here held to the same bounds, so that
nobody changes a constant without seeing what it does.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from support.partitions import record

from worker.partition.backlog import Backlog
from worker.partition.shedding import measure, owed
from worker.settings.tree import Overload

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STREAMS, DECODERS, DECODE_S = 100, 2, 0.04
CAPACITY = DECODERS / DECODE_S
"""Segments a second."""
UP_S, DOWN_S, END_S = 20.0, 80.0, 140.0
"""When the load rises past capacity, and when it falls back to 70 % of it."""


def arrivals(over: float) -> list[tuple[float, int]]:
    """When a segment of which stream comes: evenly phased, ``over`` times the capacity in the middle."""
    found = []
    for begin_s, end_s, load in ((0.0, UP_S, 0.7), (UP_S, DOWN_S, over), (DOWN_S, END_S, 0.7)):
        every_s = STREAMS / (load * CAPACITY)
        for stream in range(STREAMS):
            count = int((end_s - begin_s) / every_s)
            found += [(begin_s + every_s * (number + stream / STREAMS), stream) for number in range(count)]
    return sorted(found)


def played(over: float, limits: Overload) -> Iterator[tuple[float, int, float | None]]:
    """Each segment's arrival, stream and latency, in seconds; None where it was shed."""
    backlog, coming, queue = Backlog(limits), deque(arrivals(over)), deque()
    shed_since_look: dict[int, int] = {}
    free_s = [0.0] * DECODERS
    while coming or queue:
        now_s = heapq.heappop(free_s)
        if not queue:
            now_s = max(now_s, coming[0][0])
        while coming and coming[0][0] <= now_s:
            at_s, stream = coming.popleft()
            position = replace(record(0).position, timestamp_ms=round(when(at_s).timestamp() * 1000))
            received = replace(record(0), position=position)
            queue.append((at_s, stream, backlog.arrived(received, when(at_s))))
        at_s, stream, arrived = queue.popleft()
        age_s = backlog.age_s(arrived, when(now_s))
        due = owed(shed_since_look.get(stream), limits)
        found = measure(age_s, limits, stands=backlog.stands(when(now_s)), at_risk=False, owed=due)
        looked = found in ("whole", "first")
        backlog.turn(age_s, when(now_s), waited=now_s > at_s)
        shed_since_look[stream] = 0 if looked else shed_since_look[stream] + 1
        done_s = now_s + (DECODE_S if looked else 0.0)
        heapq.heappush(free_s, done_s)
        yield at_s, stream, done_s - at_s if looked else None


def when(seconds: float) -> datetime:
    """So many seconds after the start."""
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize("lateness_s", [5.0, 10.0, 30.0])
@pytest.mark.parametrize("over", [1.2, 2.0, 5.0])
def test_past_capacity_throughput_stays_latency_is_bounded_and_it_is_soon_as_before(over, lateness_s):
    """At least 95 % of the peak, nothing looked at later than the limit, and back to normal within 10 s."""
    segments = list(played(over, Overload(lateness_s=lateness_s)))
    looked = [(at_s, latency_s) for at_s, _, latency_s in segments if latency_s is not None]
    during = [latency_s for at_s, latency_s in looked if UP_S < at_s + latency_s <= DOWN_S]
    assert len(during) >= 0.95 * CAPACITY * (DOWN_S - UP_S)
    assert max(during) <= lateness_s + DECODE_S
    usual_s = median(latency_s for at_s, latency_s in looked if at_s < UP_S)
    late = [at_s + latency_s for at_s, latency_s in looked if latency_s > 3 * usual_s]
    assert max(late) <= DOWN_S + 10.0


def test_past_capacity_every_stream_goes_on_to_be_looked_at():
    """Whoever is shed is not always the same: of eight segments in a row of a stream one is looked at."""
    limits = Overload(lateness_s=10.0)
    in_a_row, longest = Counter[int](), 0
    for _, stream, latency_s in played(5.0, limits):
        in_a_row[stream] = 0 if latency_s is not None else in_a_row[stream] + 1
        longest = max(longest, in_a_row[stream])
    assert 1 < longest < limits.one_in


def test_without_the_rule_the_queue_grows_and_nothing_is_shed():
    """The default: everything is looked at, however late."""
    latencies_s = [latency_s for _, _, latency_s in played(1.2, Overload())]
    assert None not in latencies_s
    assert max(latencies_s) > 10.0
