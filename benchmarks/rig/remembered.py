"""Streams with a past: what their workers would have left on the risk topic, without that they were ever played."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Producer
from support.assessments import a_segment, an_assessment

from worker.streams.memory import advance
from worker.streams.state import StreamState, snapshot
from worker.streams.store import PRESERVE

if TYPE_CHECKING:
    from collections.abc import Iterable

HISTORY = 66
"""Segments of two seconds that each has had: more than are remembered, and more than are to be preserved."""
BEGAN_S = 10
"""Where the first of them began on the stream's own clock."""
AT_ONCE = 5000
SENT_WITHIN_S = 60.0


def remembered() -> StreamState:
    """One stream's state, as large as that of a stream with nothing to tell gets."""
    state = StreamState(stream_id="s")
    for number in range(HISTORY):
        state, _ = advance(state, an_assessment(a_segment(number)), preserve_before_s=120.0)
    return state


def next_begins_s(sequence: int) -> int:
    """Where a segment with this sequence, from ``HISTORY`` on, begins on the clock of such a stream."""
    return BEGAN_S + 2 * sequence


def write(servers: str, topic: str, streams: Iterable[tuple[int, str]]) -> None:
    """Write the same past for streams, partition and id of each, on their state's topic.

    Raises:
        RuntimeError: The broker has not all of it within a minute.
    """
    state = remembered()
    packed = snapshot(state)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "log_level": 3})
    for number, (partition, stream_id) in enumerate(streams):
        key = stream_id.encode()
        producer.produce(topic, packed, key=key, partition=partition)
        producer.produce(topic, state.older, key=PRESERVE + key, partition=partition)
        if number % AT_ONCE == AT_ONCE - 1:
            producer.flush(SENT_WITHIN_S)
    if left := producer.flush(SENT_WITHIN_S):
        raise RuntimeError(f"the broker has {left} records of the streams' past not yet")
