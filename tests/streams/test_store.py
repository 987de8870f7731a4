"""What is remembered of all streams of a partition: who is forgotten, and what the records say."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from support.assessments import START, a_segment, an_assessment

from worker.errors import Stopped
from worker.records import EventId, OpenIncident, StreamRisk
from worker.references import packed
from worker.settings.tree import Streams
from worker.streams.initialisations import SHARED
from worker.streams.memory import advance
from worker.streams.state import StreamState, snapshot
from worker.streams.store import INITIALISATION, PRESERVE, Store

if TYPE_CHECKING:
    from worker.streams.identity import Seen

MINUTE_MS = 60_000.0


def an_incident(severity: str = "high", *, live: bool = True) -> OpenIncident:
    """An incident that has been opened."""
    return OpenIncident(
        incident_id="i",
        revision=1,
        opened_by=EventId(source="s", id="e"),
        opened_at=START,
        severity=severity,
        kinds=("label",),
        live=live,
        test=False,
    )


def a_state(stream_id: str, risk: float = 0.0, *, heard_ms: float = 0.0, **changes: Any) -> StreamState:
    """A stream with a risk; ``incident`` opens one."""
    incident = changes.pop("incident", None)
    return StreamState(
        stream_id=stream_id, heard_ms=heard_ms, risk=StreamRisk(value=risk, peak=risk, incident=incident), **changes
    )


def remembered(*states: StreamState, limits: Streams | None = None) -> Store:
    """A store that holds these streams, released."""
    store = Store(limits or Streams())
    for state in states:
        store.put(state)
    store.pack(())
    store.take()
    return store


def streams(store: Store) -> set[str]:
    """The streams that it remembers."""
    return {key.decode() for key in store._packed} | set(store._changed)


def restored(records: list[tuple[bytes, bytes | None]], limits: Streams | None = None) -> Store:
    """A new owner's store."""
    store = Store(limits or Streams())
    for key, value in records:
        store.learn(key, value)
    store.settle()
    return store


def compacted(records: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes | None]]:
    """What the cleaner leaves: the last of each key where it stood."""
    last = {key: number for number, (key, _) in enumerate(records)}
    return [record for number, record in enumerate(records) if last[record[0]] == number and record[1] is not None]


# --- who is forgotten ---


def test_a_stream_that_ended_without_a_risk_is_forgotten_with_its_last_record() -> None:
    """Its key gets a tombstone in the records that its end leads to."""
    store = remembered(a_state("over"))
    store.put(a_state("over", ended=True))
    store.pack(())
    assert store.take() == [(b"over", None)]
    assert store.census().gone == (("ended", 1),)
    assert store.get("over") == StreamState(stream_id="over")


@pytest.mark.parametrize("more", [{"risk": 1.5}, {"incident": an_incident("critical", live=False)}])
def test_an_end_washes_no_risk_clean(more: dict[str, Any]) -> None:
    """Who ends and reconnects goes on with the risk that he had; so does an incident that stays open."""
    store = Store(Streams())
    store.put(a_state("over", ended=True, **more))
    store.pack(())
    assert streams(store) == {"over"}


def test_a_stream_with_work_waiting_is_not_forgotten() -> None:
    """Neither when it has ended, nor when it is idle, nor when there are too many."""
    store = remembered(a_state("idle"), a_state("idle too", 3.0), limits=Streams(max=1, idle_s=60))
    store.put(a_state("over", ended=True, heard_ms=MINUTE_MS))
    busy = {"idle", "idle too", "over"}
    store.pack(busy)
    assert list(store.silent(2 * MINUTE_MS, busy)) == []
    store.evict(busy)
    assert streams(store) == busy


def test_idle_streams_are_forgotten_by_the_partitions_clock() -> None:
    """Those that were heard within idle_s stay."""
    store = remembered(a_state("a", 5.0), a_state("b", heard_ms=MINUTE_MS), limits=Streams(idle_s=60))
    assert list(store.silent(MINUTE_MS + 1, ())) == []
    assert streams(store) == {"b"}
    assert store.take() == [(b"a", None)]
    assert store.census().gone == (("idle", 1),)


def test_a_new_owner_forgets_who_was_heard_longest_ago_first() -> None:
    """Also where that one's first record on the topic came after another's."""
    records = []
    store = Store(Streams())
    for stream_id, minute in [("a", 0), ("b", 1), ("a", 2), ("c", 3)]:
        store.put(a_state(stream_id, heard_ms=minute * MINUTE_MS))
        store.pack(())
        records += store.take()
    again = restored(records, limits=Streams(idle_s=60))
    assert list(again.silent(2.5 * MINUTE_MS, ())) == []
    assert streams(again) == {"a", "c"}
    crowded = restored(records, limits=Streams(max=1))
    crowded.evict(())
    assert streams(crowded) == {"c"}


def test_an_idle_stream_with_an_incident_is_told_of_first() -> None:
    """It is forgotten once its incident is closed, in the same records."""
    store = remembered(a_state("a", 13.0, incident=an_incident()), limits=Streams(idle_s=60))
    for silent in store.silent(2 * MINUTE_MS, ()):
        assert not silent.final
        store.close(replace(silent.state, risk=StreamRisk(value=4.0)))
    assert store.take() == [(b"a", None)]


def test_a_critical_incident_is_kept_until_its_bound() -> None:
    """It is told of again only when nobody is waited for any longer; others behind it are forgotten meanwhile."""
    limits = Streams(idle_s=60, unreviewed_s=600)
    store = remembered(a_state("a", 13.0, incident=an_incident("critical")), a_state("b"), limits=limits)
    for silent in store.silent(2 * MINUTE_MS, ()):
        store.close(replace(silent.state, risk=StreamRisk(value=13.0, incident=an_incident("critical", live=False))))
    assert streams(store) == {"a"}
    finals = [silent.final for silent in store.silent(9 * MINUTE_MS, ())]
    assert finals == [False]
    assert [silent.final for silent in store.silent(10 * MINUTE_MS, ())] == [True]


def test_above_the_most_the_lowest_risk_goes() -> None:
    """Among equals the one that was heard longest ago; one with an incident never."""
    store = remembered(
        a_state("first", 1.0),
        a_state("open", 0.0, incident=an_incident()),
        a_state("second", 1.0),
        a_state("low", 0.5),
        a_state("high", 9.0),
        limits=Streams(max=3),
    )
    store.evict(())
    assert streams(store) == {"open", "second", "high"}
    assert set(store.take()) == {(b"low", None), (b"first", None)}
    assert store.census().gone == (("crowded", 2),)


def test_nothing_is_evicted_where_all_have_incidents() -> None:
    """More than that is remembered then, and said."""
    store = remembered(*[a_state(f"s{n}", incident=an_incident()) for n in range(5)], limits=Streams(max=2))
    store.evict(())
    assert len(streams(store)) == store.census().streams == 5


risks = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 5.0, 13.0])
steps = st.lists(
    st.lists(st.tuples(st.integers(0, 40), risks, st.booleans()), min_size=1, max_size=12), min_size=1, max_size=12
)


@settings(deadline=None)
@given(steps, st.integers(1, 12))
def test_eviction_takes_exactly_the_lowest_and_never_an_incident(
    rounds: list[list[tuple[int, float, bool]]], most: int
) -> None:
    """Over any schedule: what is left is what a full sort by risk and age would have left."""
    store = Store(Streams(max=most))
    model: OrderedDict[str, StreamState] = OrderedDict()
    for changes in rounds:
        for number, risk, opens in changes:
            state = a_state(f"s{number}", risk, incident=an_incident() if opens else None)
            store.put(state)
        for stream_id in dict.fromkeys(f"s{number}" for number, _, _ in changes):
            model[stream_id] = store.get(stream_id)
            model.move_to_end(stream_id)
        store.pack(())
        store.evict(())
        while len(model) > most:
            free = [state for state in model.values() if state.risk.incident is None]
            if not free:
                break
            del model[min(free, key=lambda state: state.risk.value).stream_id]
        assert streams(store) == set(model)


# --- initialisations ---


def test_streams_of_one_encoder_share_an_initialisation() -> None:
    """Its bytes are one record, gone with the last stream that names it."""
    store = Store(Streams(idle_s=60))
    for name in ("a", "b"):
        store.put_initialisation(name, b"ftyp moov")
    store.pack(())
    records = dict(store.take())
    shared = [key for key in records if key.startswith(SHARED)]
    assert [records[key] for key in shared] == [b"ftyp moov"]
    assert store.initialisation("a") == store.initialisation("b") == b"ftyp moov"
    store.put_initialisation("a", b"another")
    store.pack(())
    assert (shared[0], None) not in store.take()
    store.put(replace(store.get("b"), ended=True))
    store.pack(())
    assert (shared[0], None) in store.take()
    assert store.initialisation("a") == b"another"


def test_an_initialisation_is_there_after_a_restart() -> None:
    """And one that nobody names any more is not."""
    store = Store(Streams())
    store.put_initialisation("a", b"ftyp moov")
    store.pack(())
    again = restored([*store.take(), (SHARED + b"nobody", b"left over")])
    assert again.initialisation("a") == b"ftyp moov"
    assert again.take() == [(SHARED + b"nobody", None)]


def test_a_lost_initialisation_is_not_passed_over() -> None:
    """A changelog without a record that a snapshot names was truncated."""
    store = Store(Streams())
    store.put_initialisation("a", b"ftyp moov")
    store.pack(())
    with pytest.raises(Stopped, match="not on the risk topic"):
        restored([record for record in store.take() if not record[0].startswith(SHARED)])


def test_a_stream_that_takes_an_initialisation_up_again_keeps_its_record() -> None:
    """Dropped and named again between two releases, it is a record and no tombstone."""
    store = Store(Streams())
    store.put_initialisation("a", b"one")
    store.put_initialisation("a", b"two")
    store.put_initialisation("b", b"one")
    store.pack(())
    again = restored(store.take())
    assert (again.initialisation("a"), again.initialisation("b")) == (b"two", b"one")


# --- what an older Framewatch has written ---


def wide(seen: Seen) -> Seen:
    """With four bytes of each number, all low enough for two."""
    pairs = (seen.numbers[at : at + 2] for at in range(0, len(seen.numbers), 2))
    return replace(seen, numbers=b"".join(b"\0\0" + pair for pair in pairs))


def as_version_2(state: StreamState) -> bytes:
    """A snapshot as version 2 had it."""
    fields = msgspec.msgpack.decode(snapshot(replace(state, seen=wide(state.seen))))
    return msgspec.msgpack.encode([2, *fields[1:]])


def as_version_1(state: StreamState) -> bytes:
    """A snapshot as version 1 had it: ids of eight bytes, all recent segments, one array."""
    seen = replace(
        wide(state.seen), ids=b"".join(state.seen.ids[at : at + 4] + b"rest" for at in range(0, len(state.seen.ids), 4))
    )
    fields = asdict(state) | {"seen": seen, "recent": state.recent}
    names = (
        "stream_id through_offset last_appended_ms clock seen risk coverage gap_s last_look_ms tenant account viewers "
        "ended material gathered sightings recent"
    )
    return msgspec.msgpack.encode([1, *(fields[name] for name in names.split())])


def played(count: int) -> StreamState:
    """A stream after so many segments."""
    state = StreamState(stream_id="stream-1")
    for number in range(count):
        state, _ = advance(state, an_assessment(a_segment(number)), preserve_before_s=120.0)
    return state


def test_a_snapshot_and_an_initialisation_of_version_1_are_read() -> None:
    """All that it held is there, the segments to preserve too; the initialisation moves to its shared record."""
    before = replace(played(70), risk=StreamRisk(value=2.5, incident=an_incident()))
    store = restored([(b"stream-1", as_version_1(before)), (INITIALISATION + b"stream-1", b"ftyp moov")])
    after = store.get("stream-1")
    assert (after.risk, after.seen, after.clock, after.coverage) == (
        before.risk,
        before.seen,
        before.clock,
        before.coverage,
    )
    assert [kept.offset for kept in after.recent][-61:] == [kept.offset for kept in before.recent]
    store.pack(())
    records = store.take()
    assert (INITIALISATION + b"stream-1", None) in records
    again = restored(records)
    assert again.get("stream-1") == after
    assert again.initialisation("stream-1") == b"ftyp moov"


def test_a_snapshot_of_version_2_is_read() -> None:
    """Its numbers are wider; what is written next is of this version."""
    before = replace(played(70), heard_ms=7.0, risk=StreamRisk(value=2.5, incident=an_incident()))
    store = restored([(b"stream-1", as_version_2(before))])
    assert store.get("stream-1") == replace(before, older=b"")
    assert store.get("stream-1").seen == before.seen
    store.put(store.get("stream-1"))
    store.pack(())
    assert dict(store.take())[b"stream-1"] == snapshot(before)


def test_an_incident_of_a_version_1_snapshot_is_not_evicted() -> None:
    """Its head is read from the old form."""
    old = as_version_1(replace(played(3), risk=StreamRisk(incident=an_incident())))
    store = restored([(b"stream-1", old)], Streams(max=1))
    store.put(a_state("new", 5.0))
    store.pack(())
    store.evict(())
    assert streams(store) == {"stream-1"}


@pytest.mark.parametrize("value", [b"\xc1", b"\x95\x02", msgspec.msgpack.encode([4, 1, 2])])
def test_a_record_that_can_not_be_read_is_found_while_restoring(value: bytes) -> None:
    """Not hours later, when its stream comes back."""
    with pytest.raises(Stopped):
        restored([(b"s", value)])


# --- what a new owner finds ---


class Life:
    """Drives a store as a partition does, and keeps what leaves."""

    def __init__(self, limits: Streams) -> None:
        self.store = Store(limits)
        self.now_ms = 0.0
        self.log: list[tuple[bytes, bytes | None]] = []

    def act(self, act: str, number: int) -> None:
        stream_id = f"s{number}"
        if act == "wait":
            self.now_ms += number * 10_000.0
        elif act == "init":
            self.store.put_initialisation(stream_id, hashlib.sha256(bytes([number % 2])).digest())
            self.store.put(replace(self.store.get(stream_id), heard_ms=self.now_ms))
        elif act == "end":
            self.store.put(replace(self.store.get(stream_id), ended=True, heard_ms=self.now_ms))
        else:
            state = self.store.get(stream_id)
            segment = a_segment((state.sequence or 0) + 1, stream_id=stream_id)
            state, _ = advance(state, an_assessment(segment), preserve_before_s=6.0)
            risk = StreamRisk(value=float(number), incident=an_incident() if act == "open" else None)
            self.store.put(replace(state, risk=risk, heard_ms=self.now_ms))

    def release(self) -> None:
        self.store.pack(())
        for silent in self.store.silent(self.now_ms, ()):
            self.store.close(replace(silent.state, risk=StreamRisk()))
        self.store.evict(())
        self.log += self.store.take()


acts = st.tuples(st.sampled_from(["segment", "segment", "segment", "open", "init", "end", "wait"]), st.integers(0, 7))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(acts, max_size=8), max_size=10))
def test_what_left_up_to_any_release_restores_the_same_memory(releases: list[list[tuple[str, int]]]) -> None:
    """Snapshots and tombstones, compacted or not, give what the owner remembered: the streams and all of each."""
    life = Life(Streams(max=5, idle_s=60))
    for some in releases:
        for act in some:
            life.act(*act)
        life.release()
        for log in (life.log, compacted(life.log)):
            again = restored(log)
            assert streams(again) == streams(life.store)
            assert again.census().size_bytes == life.store.census().size_bytes
            for stream_id in streams(again):
                assert again.get(stream_id) == life.store.get(stream_id)
                assert again.initialisation(stream_id) == life.store.initialisation(stream_id)
            assert again.take() == []


def test_segments_to_preserve_are_packed_whole() -> None:
    """What was put in comes out, with digests and without."""
    kept = played(3).recent
    assert len(kept) == 3
    mixed = (kept[0], replace(kept[1], sha256=None), kept[2])
    store = Store(Streams())
    store.put(replace(a_state("s"), older=packed(mixed)))
    store.pack(())
    records = store.take()
    assert {key for key, _ in records} == {b"s", PRESERVE + b"s"}
    assert restored(records).get("s").recent == mixed
