"""Which stream's state belongs where after the segments topic has grown, and what is written to put it there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from worker.errors import Stopped
from worker.kafka.partitioners import place
from worker.moving import Kept, arrivals, departures, elsewhere, plan
from worker.partition.memory import MOVING, Memory
from worker.records import LogRange, StreamRisk
from worker.settings.tree import Streams
from worker.streams.identity import Seen
from worker.streams.state import StreamState
from worker.streams.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = st.sets(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=12), min_size=1)
INIT = b"an initialisation"


def filled(number: int, streams: dict[str, float], *, heard_ms: float = 0.0, init: bytes | None = None) -> Kept:
    """A partition with streams of these risks, read from its own records."""
    store = Store(Streams())
    for stream_id, risk in streams.items():
        store.put(StreamState(stream_id=stream_id, risk=StreamRisk(value=risk), through_offset=7, heard_ms=heard_ms))
        if init is not None:
            store.put_initialisation(stream_id, init)
    store.pack(())
    return Kept.read(number, store.take())


def spread(streams: dict[str, float], before: int, after: int, **more: object) -> list[Kept]:
    """Partitions as publishers filled them before, and empty ones to grow."""
    homes = [{s: r for s, r in streams.items() if place(s, before, "murmur2") == n} for n in range(after)]
    return [filled(number, each, **more) for number, each in enumerate(homes)]  # type: ignore[arg-type] # as filled takes them


def moved(kept: list[Kept], partitions: int) -> list[Kept]:
    """The partitions as the next reader finds them."""
    made = plan(kept, partitions, {})
    logs = {each.number: list(_records(each)) for each in kept}
    for number, records in [*arrivals(made, kept), *departures(made, kept)]:
        logs[number] += records
    return [Kept.read(number, records) for number, records in sorted(logs.items())]


def _records(each: Kept) -> list[tuple[bytes, bytes | None]]:
    store = Store(Streams())
    for stream_id in each.store.ids():
        store.put(replace(each.store.get(stream_id), init=None))
        if (data := each.store.initialisation(stream_id)) is not None:
            store.put_initialisation(stream_id, data)
    store.pack(())
    return store.take()


@given(IDS, st.integers(1, 60))
def test_streams_are_placed_as_kafkas_own_partitioner_places_them(ids: set[str], partitions: int) -> None:
    """The default partitioner of aiokafka is the oracle."""
    every = list(range(partitions))
    for stream_id in ids:
        assert place(stream_id, partitions, "murmur2") == DefaultPartitioner()(stream_id.encode(), every, every)


@given(IDS, st.integers(1, 6), st.integers(0, 6))
def test_after_a_move_every_stream_is_at_home_once_and_another_move_does_nothing(
    ids: set[str], before: int, more: int
) -> None:
    """With the risk and the initialisation that it had."""
    after = before + more
    streams = {stream_id: float(at) for at, stream_id in enumerate(sorted(ids))}
    kept = moved(spread(streams, before, after, init=INIT), after)
    found = {s: each.store.get(s).risk.value for each in kept for s in each.store.ids()}
    assert found == streams
    assert sum(len(each.store.ids()) for each in kept) == len(streams)
    assert all(place(s, after, "murmur2") == each.number for each in kept for s in each.store.ids())
    assert all(each.store.initialisation(s) == INIT for each in kept for s in each.store.ids())
    again = plan(kept, after, {})
    assert (again.moves, again.drops) == ((), ())


def mover(before: int, after: int) -> str:
    """A stream that has another place afterwards."""
    ids = (f"s{n}" for n in range(1000))
    return next(s for s in ids if place(s, before, "murmur2") != place(s, after, "murmur2"))


def test_a_stream_with_segments_waiting_where_it_was_stays_there_as_well() -> None:
    """Else they would be worked by somebody who knows nothing of it."""
    stream = mover(2, 5)
    kept = spread({stream: 3.0}, 2, 5)
    source = place(stream, 2, "murmur2")
    made = plan(kept, 5, {source: frozenset({stream})})
    assert [(move.source, move.forget) for move in made.moves] == [(source, False)]
    assert made.staying == 1
    assert list(arrivals(made, kept)) != []
    assert list(departures(made, kept)) == []


def test_of_two_memories_of_a_stream_the_weightier_is_kept() -> None:
    """A stream that has begun afresh elsewhere is not washed clean, nor is it counted twice."""
    stream = mover(2, 5)
    source, target = place(stream, 2, "murmur2"), place(stream, 5, "murmur2")
    kept = [filled(n, {stream: {source: 4.0, target: 1.0}[n]} if n in (source, target) else {}) for n in range(5)]
    after = moved(kept, 5)
    assert [(each.number, each.store.get(stream).risk.value) for each in after if each.store.ids()] == [(target, 4.0)]


def test_what_no_known_partitioner_explains_is_refused_unless_one_is_named() -> None:
    """The publishers choose in a way of their own: moving by a guess would lose every stream."""
    ids = [f"s{n}" for n in range(20)]
    kept = [filled(n, {s: 1.0 for at, s in enumerate(ids) if at % 2 == n}) for n in range(2)]
    with pytest.raises(Stopped, match="--partitioner"):
        plan(kept, 2, {})
    assert plan(kept, 2, {}, "crc32").moves


def test_a_moved_stream_has_been_silent_for_as_long_on_the_new_partitions_clock() -> None:
    """The partitions' clocks stand where they like."""
    stream = mover(2, 5)
    source, target = place(stream, 2, "murmur2"), place(stream, 5, "murmur2")
    kept = spread({stream: 1.0}, 2, 5, heard_ms=1_000.0)
    kept[source] = Kept(number=source, store=kept[source].store, checkpoint=None, clock_ms=6_000.0)
    kept[target] = Kept(number=target, store=kept[target].store, checkpoint=None, clock_ms=90_000.0)
    assert moved_state(kept, target, stream).heard_ms == 85_000.0


def moved_state(kept: list[Kept], target: int, stream: str) -> StreamState:
    """A stream's state where it has come to."""
    list(arrivals(plan(kept, 5, {}), kept))
    return kept[target].store.get(stream)


def test_offsets_of_the_old_partition_mean_nothing_on_the_new_one() -> None:
    """A stream without sequences is numbered by offsets: its next segment would be late. One with sequences goes on."""
    by_offset = StreamState(stream_id="s", through_offset=900, seen=Seen(newest=900, by_sequence=False, behind=3))
    assert elsewhere(by_offset) == StreamState(stream_id="s", seen=Seen(by_sequence=False))
    by_sequence = replace(by_offset, seen=Seen(newest=900, former=5))
    assert elsewhere(by_sequence).seen == by_sequence.seen


def test_no_worker_takes_a_partition_in_the_middle_of_a_move() -> None:
    """Half of the streams would begin afresh; when the mark is gone, it goes on."""
    memory = Memory(topic="risk", partition=0, on_rewind="keep")
    memory.learn(MOVING, b"1")
    with pytest.raises(Stopped, match="framewatch state move --yes goes on"):
        memory.agree(None, LogRange(first=0, end=0))
    memory.learn(MOVING, None)
    assert memory.agree(None, LogRange(first=0, end=0)).offset == 0
