"""What killed the last owner is found by working one at a time; nobody else is blamed."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.partitions import Bench, record, settle

from worker.errors import Held, PartitionLost, Stopped
from worker.partition.room import Room
from worker.partition.suspects import AHEAD, Mark, Suspects


def left(**changes) -> Mark:
    """What an owner left that died with offsets 5 to 9 in work."""
    return msgspec.structs.replace(Mark(owner="first", clean=False, horizon=10), **changes)


@pytest.mark.parametrize(
    ("before", "below"),
    [
        (None, 0),
        (left(), 10),
        (left(clean=True), 0),
        (left(owner="second"), 0),
        (left(clean=True, alone_below=8), 8),
        (left(owner="second", alone_below=8), 8),
        (left(horizon=50), 20),
    ],
)
def test_suspects_are_what_a_dead_owner_may_have_begun(before, below):
    """Not after a clean end, nor when it is the same process that takes it again; and never beyond the log's end."""
    assert Suspects(before, owner="second", end=20).alone_below == below


def test_only_a_death_while_alone_counts():
    """What was in work among others has no death of its own, nor has what its own owner took again."""
    assert Suspects(left(), owner="second", end=20).mark(first_unfinished=5, next_offset=5, clean=False).deaths == ()
    first = Suspects(left(trying=6, alone_below=10), owner="second", end=20)
    assert first.is_accused(6)
    assert first.mark(first_unfinished=5, next_offset=5, clean=False).deaths == ((6, 0),)
    alone = left(trying=6, deaths=((6, 1),), alone_below=10)
    died = Suspects(alone, owner="second", end=20)
    assert died.mark(first_unfinished=5, next_offset=5, clean=False).deaths == ((6, 2),)
    lives = Suspects(alone, owner="first", end=20)
    assert lives.mark(first_unfinished=5, next_offset=5, clean=False).deaths == ((6, 1),)


def test_deaths_are_forgotten_with_their_offset():
    """A checkpoint does not grow with what is long done."""
    suspects = Suspects(left(deaths=((3, 1), (6, 1))), owner="second", end=20)
    assert suspects.mark(first_unfinished=5, next_offset=5, clean=False).deaths == ((6, 1),)
    suspects.survived(6)
    mark = suspects.mark(first_unfinished=10, next_offset=12, clean=False)
    assert (mark.deaths, mark.alone_below) == ((), 0)


async def crashed(bench: Bench, partition) -> None:
    """The process dies as it stands: nothing is released, the next owner is another process."""
    await partition._lanes.abandon()
    bench.owner += "'"


async def test_nothing_is_begun_that_the_broker_does_not_know_of():
    """What lies beyond the recorded horizon waits for a release."""
    bench = Bench()
    partition = await bench.taken()
    for offset in range(AHEAD + 5):
        partition.accept(record(offset, f"s{offset}"))
    await settle()
    assert len(bench.desk.finished) == AHEAD
    await partition._release()
    await settle()
    assert len(bench.desk.finished) == AHEAD + 5
    await partition.hand_over()


async def test_after_a_death_the_window_goes_one_at_a_time_and_what_comes_behind_waits():
    """Only then does a death say whose it is."""
    bench = Bench(open_gates=False)
    bench.end_offset = 3
    first = await bench.taken()
    for offset in range(3):
        first.accept(record(offset, f"s{offset}"))
    await settle()
    assert bench.desk.started == [0, 1, 2]
    await crashed(bench, first)
    bench.desk.started.clear()
    second = await bench.taken()
    for offset in range(5):
        second.accept(record(offset, f"s{offset}"))
    for offset in range(3):
        await settle()
        assert bench.desk.started == list(range(offset + 1))
        bench.desk.gate(offset).set()
    await settle()
    assert bench.desk.started == [0, 1, 2, 3, 4]
    assert bench.notes.searches == [(0, 3)]
    for offset in (3, 4):
        bench.desk.gate(offset).set()
    await second.hand_over()


async def test_a_clean_hand_over_and_a_broker_s_fault_make_nobody_a_suspect():
    """Both are everyday: they cost no time."""
    bench = Bench()
    first = await bench.taken()
    first.accept(record(0))
    await settle()
    await first.hand_over()
    bench.owner = "another"
    second = await bench.taken()
    second.accept(record(1))
    await settle()
    bench.broker.fail_next = 1
    with pytest.raises(PartitionLost):
        await second.hand_over()
    third = await bench.taken()
    await third.hand_over()
    assert bench.notes.searches == []


async def test_a_held_suspect_holds_nobody_back():
    """A store may be away for hours: its stream is excused, the others go on."""
    bench = Bench(open_gates=False)
    bench.end_offset = 3
    first = await bench.taken()
    for offset, stream in enumerate(("held", "held", "other", "late")):
        first.accept(record(offset, stream))
    await settle()
    await crashed(bench, first)
    bench.desk.errors[0] = [Held("s3 is away")]
    second = await bench.taken()
    for offset, stream in enumerate(("held", "held", "other", "late")):
        second.accept(record(offset, stream))
    for offset in (0, 2, 3, 1):
        bench.desk.gate(offset).set()
        await settle()
    await second.hand_over()
    assert sorted(bench.told()) == ["held:0:0", "held:1:1", "late:3:0", "other:2:0"]


async def test_a_worker_that_can_not_go_on_blames_no_event():
    """Decoders that do not start any more are no segment's doing, however often it is met alone."""
    bench = Bench()
    bench.end_offset = 1
    for _ in range(5):
        owner = await bench.taken()
        bench.desk.errors[0] = [Stopped("the decoder processes end as soon as they are started")]
        owner.accept(record(0))
        await settle()
        await crashed(bench, owner)
    last = await bench.taken()
    bench.desk.errors.clear()
    last.accept(record(0))
    await settle()
    await last.hand_over()
    assert (bench.told(), bench.told("dead")) == (["s:0:0"], [])


@settings(max_examples=50, deadline=None)
@given(
    poison=st.sets(st.integers(0, 11), max_size=2),
    streams=st.lists(st.integers(0, 4), min_size=12, max_size=12),
    kills=st.lists(st.integers(0, 11), max_size=4, unique=True),
)
async def test_poison_and_nothing_else_is_dead_lettered(poison, streams, kills):
    """Wherever it stands, beside whatever is killed from outside: all others leave once and in their order."""
    bench = Bench()
    bench.end_offset = 12
    log = [record(offset, f"s{stream}") for offset, stream in enumerate(streams)]
    kills_left, deaths = set(kills), 0
    while True:
        owner = await bench.taken()
        if await lived(bench, owner, log, poison, kills_left):
            await owner.hand_over()
            break
        await crashed(bench, owner)
        deaths += 1
        assert deaths <= len(kills) + 5 * len(poison)
    assert sorted(map(int, bench.told("dead"))) == sorted(poison)
    told = [told.split(":") for told in bench.told()]
    assert Counter(int(offset) for _, offset, _ in told) == Counter(set(range(12)) - poison)
    for stream in set(streams):
        order = [int(offset) for name, offset, _ in told if name == f"s{stream}"]
        assert order == sorted(order)


async def lived(bench, owner, log, poison, kills_left) -> bool:
    """Feed a process until all is done, or it dies of poison, or is killed once it has begun a certain offset."""
    bench.desk.deadly = poison | kills_left
    for received in log:
        owner.accept(received)
    for _ in range(30):
        await settle()
        if bench.desk.died_of:
            kills_left -= set(bench.desk.died_of)
            bench.desk.died_of.clear()
            return False
    return True


async def test_who_is_accused_is_tried_with_nothing_else_in_work_in_the_process():
    """Else the poison of one partition would be laid at the door of another's, which dies beside it each time."""
    room, log = Room(), []
    inside, go = asyncio.Event(), asyncio.Event()

    async def beside(name: str) -> None:
        async with room.beside():
            log.append(name)
            inside.set()
            await go.wait()
            log.append(f"{name} ends")

    async def alone() -> None:
        async with room.alone():
            log.append("alone")
            await settle()
            log.append("alone ends")

    first = asyncio.create_task(beside("first"))
    await inside.wait()
    trial = asyncio.create_task(alone())
    await settle()
    second = asyncio.create_task(beside("second"))
    await settle()
    go.set()
    await asyncio.gather(first, trial, second)
    assert log == ["first", "first ends", "alone", "alone ends", "second", "second ends"]


async def test_an_accused_event_waits_until_the_process_s_other_partitions_have_nothing_in_work():
    """A suspect that nobody died of yet need not."""
    bench = Bench(open_gates=False)
    bench.end_offset = 1
    first = await bench.taken()
    first.accept(record(0))
    await settle()
    await crashed(bench, first)
    bench.desk.started.clear()
    async with bench.room.beside():
        second = await bench.taken()
        second.accept(record(0))
        await settle()
        assert bench.desk.started == [0]
        await crashed(bench, second)
        third = await bench.taken()
        third.accept(record(0))
        await settle()
        assert bench.desk.started == [0]
    await settle()
    assert bench.desk.started == [0, 0]
    bench.desk.gate(0).set()
    await third.hand_over()
