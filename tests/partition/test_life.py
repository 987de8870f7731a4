"""A partition's life: what is released, what is held, what a new owner goes on from."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outlet import MemoryOutlet
from support.partitions import Bench, record, settle

from worker.errors import Held, Moved, PartitionLost, Stopped


async def test_what_a_segment_led_to_and_its_offset_leave_together():
    """After a release the reader sees the output and the committed offset is past it; before it, neither."""
    bench = Bench()
    partition = await bench.taken()
    partition.accept(record(0))
    await settle()
    assert (bench.told(), bench.broker.committed) == ([], 0)
    await partition.hand_over()
    assert (bench.told(), bench.broker.committed) == (["s:0:0"], 1)


async def test_a_stream_is_worked_in_order():
    """The second segment of a stream starts only when the first has finished."""
    bench = Bench(open_gates=False)
    partition = await bench.taken()
    for offset in (0, 1, 2):
        partition.accept(record(offset))
    await settle()
    assert bench.desk.started == [0]
    for offset in (0, 1, 2):
        bench.desk.gate(offset).set()
    await partition.hand_over()
    assert bench.told() == ["s:0:0", "s:1:1", "s:2:2"]


async def test_a_slow_stream_delays_no_other():
    """Other streams finish and leave while one waits; the committed offset stays at the one that waits."""
    bench = Bench(interval_s=0, open_gates=False)
    partition = await bench.taken()
    running = asyncio.create_task(partition.run())
    partition.accept(record(0, "slow"))
    partition.accept(record(1, "quick"))
    bench.desk.gate(1).set()
    while not bench.told():
        await asyncio.sleep(0)
    assert bench.told() == ["quick:1:0"]
    assert bench.broker.committed == 0
    bench.desk.gate(0).set()
    await partition.hand_over()
    await running
    assert bench.broker.committed == 2


async def test_what_left_ahead_of_the_committed_offset_is_not_worked_again():
    """A new owner starts at the first unfinished offset and skips exactly what had its outcome."""
    bench = Bench(interval_s=0, open_gates=False)
    first = await bench.taken()
    running = asyncio.create_task(first.run())
    for offset, stream in enumerate(("slow", "quick", "other")):
        first.accept(record(offset, stream))
    bench.desk.gate(1).set()
    while not bench.told():
        await asyncio.sleep(0)
    second = await bench.taken()
    bench.desk.open_gates = True
    bench.desk.gate(2).set()
    with pytest.raises(PartitionLost):
        await running
    await first.drop()
    for offset, stream in enumerate(("slow", "quick", "other")):
        second.accept(record(offset, stream))
    await second.hand_over()
    assert sorted(bench.told()) == ["other:2:0", "quick:1:0", "slow:0:0"]
    assert bench.broker.committed == 3


async def test_a_stream_s_state_goes_on_with_a_new_owner():
    """The next owner finds what the last one remembered of a stream."""
    bench = Bench()
    first = await bench.taken()
    first.accept(record(0))
    await settle()
    await first.hand_over()
    second = await bench.taken()
    second.accept(record(1))
    await settle()
    await second.hand_over()
    assert bench.told() == ["s:0:0", "s:1:1"]


async def test_a_fenced_owner_changes_nothing():
    """What a former owner releases after a new one has opened is lost, loudly, and nobody sees it."""
    bench = Bench()
    zombie = await bench.taken()
    zombie.accept(record(0))
    await settle()
    await bench.taken()
    with pytest.raises(PartitionLost):
        await zombie.hand_over()
    assert (bench.told(), bench.broker.committed) == ([], 0)


async def test_a_release_whose_answer_got_lost_is_not_repeated():
    """The broker has it though nobody said so: the next owner finds it committed and does not do it again."""
    bench = Bench()
    first = await bench.taken()
    first.accept(record(0))
    await settle()
    bench.broker.lose_answer = True
    with pytest.raises(PartitionLost):
        await first.hand_over()
    second = await bench.taken()
    second.accept(record(0))
    second.accept(record(1))
    await settle()
    await second.hand_over()
    assert bench.told() == ["s:0:0", "s:1:1"]


async def test_an_event_that_can_not_be_read_is_one_dead_letter():
    """It disturbs nothing else and its offset is committed."""
    bench = Bench()
    partition = await bench.taken()
    partition.accept(record(0, value=b"bad"))
    partition.accept(record(1))
    await settle()
    await partition.hand_over()
    assert (bench.told("dead"), bench.told(), bench.broker.committed) == (["0"], ["s:1:0"], 2)


async def test_a_held_event_is_tried_again_with_growing_waits():
    """While a store is away nothing is dead-lettered: the event waits, says why, and is worked when it is back."""
    bench = Bench()
    bench.desk.errors[0] = [Held("s3 is away"), Held("s3 is away"), Held("s3 is away")]
    partition = await bench.taken()
    partition.accept(record(0))
    await settle()
    await settle()
    await partition.hand_over()
    assert (bench.waits, bench.notes.why_held) == ([0.5, 1.0, 2.0], ["s3 is away"] * 3)
    assert (bench.told(), partition.held) == (["s:0:0"], None)


async def test_a_defect_of_ours_ends_the_partition_s_run():
    """An error that nobody expected is raised, not swallowed, and its offset is not committed."""
    bench = Bench(interval_s=0)
    bench.desk.errors[1] = [RuntimeError("a defect")]
    partition = await bench.taken()
    running = asyncio.create_task(partition.run())
    partition.accept(record(0, "good"))
    partition.accept(record(1, "bad"))
    with pytest.raises(RuntimeError, match="a defect"):
        await running
    await partition.drop()
    assert bench.broker.committed in (None, 0, 1)


async def test_what_does_not_finish_within_the_drain_is_left_to_the_next_owner():
    """A hand-over abandons it, says so, and commits what did finish."""
    bench = Bench(drain_s=0.01, open_gates=False)
    partition = await bench.taken()
    partition.accept(record(0, "done"))
    partition.accept(record(1, "stuck"))
    bench.desk.gate(0).set()
    await settle()
    await partition.hand_over()
    assert (bench.told(), bench.broker.committed, bench.notes.abandoned_events) == (["done:0:0"], 1, 1)
    assert partition.load_bytes == 0


async def test_somebody_moved_the_offset_stops_the_partition_until_told():
    """A committed offset that is not the checkpoint's is never worked from silently."""
    bench = Bench()
    first = await bench.taken()
    for offset in range(3):
        first.accept(record(offset))
    await settle()
    await first.hand_over()
    bench.broker.committed = 1
    with pytest.raises(Stopped, match=r"offset is 1.*of offset 3.*on_rewind"):
        await bench.taken()


@pytest.mark.parametrize(("on_rewind", "told"), [("reprocess", "s:1:0"), ("keep", "s:1:2")])
async def test_a_moved_offset_is_worked_as_told(on_rewind, told):
    """Reprocess forgets what was remembered of the streams, keep goes on with it; both work what they are given."""
    bench = Bench()
    first = await bench.taken()
    first.accept(record(0))
    first.accept(record(1))
    await settle()
    await first.hand_over()
    bench.broker.committed = 1
    second = await bench.taken(on_rewind=on_rewind)
    second.accept(record(1))
    await settle()
    await second.hand_over()
    assert bench.told()[-1] == told
    third = await bench.taken()
    await third.hand_over()


@pytest.mark.parametrize(("on_rewind", "told"), [("reprocess", "s:7:0"), ("keep", "s:7:1")])
async def test_what_retention_deleted_stops_the_partition_until_told_and_is_counted(on_rewind, told):
    """A log that begins above the committed offset: nobody watched what lay between, and nobody may pass over it."""
    bench = Bench()
    first = await bench.taken()
    first.accept(record(0))
    await settle()
    await first.hand_over()
    bench.earliest_offset = 7
    with pytest.raises(Moved, match=r"begins at 7.*deleted 6.*on_rewind"):
        await bench.taken()
    assert bench.notes.expired_events == 0
    partition = bench.partition(on_rewind=on_rewind)
    assert await partition.take(bench.earliest) == 7
    assert (bench.notes.expired_events, len(bench.notes.moves)) == (6, 1)
    partition.accept(record(7))
    await settle()
    await partition.hand_over()
    assert bench.told()[-1] == told
    assert await bench.partition().take(bench.earliest) == 8


async def test_a_log_that_was_made_anew_is_worked_from_its_beginning():
    """Offsets done in the old one say nothing of the new one, even where they are the same numbers."""
    bench = Bench(interval_s=0, open_gates=False)
    first = await bench.taken()
    running = asyncio.create_task(first.run())
    for offset, stream in enumerate(("slow", "quick")):
        first.accept(record(offset, stream))
    bench.desk.gate(1).set()
    while not bench.told():
        await asyncio.sleep(0)
    bench.desk.gate(0).set()
    await first.hand_over()
    await running
    bench.end_offset = 1
    with pytest.raises(Moved, match="made anew"):
        await bench.taken()
    second = await bench.taken(on_rewind="keep")
    second.accept(record(0, "new"))
    await settle()
    await second.hand_over()
    assert bench.told()[-1] == "new:0:0"


async def test_a_halted_partition_begins_nothing_more_and_lets_what_is_finished_leave():
    """After a bad deploy has been noticed, what waits is left to a better one."""
    bench = Bench(open_gates=False)
    partition = await bench.taken()
    for offset in range(3):
        partition.accept(record(offset))
    await settle()
    partition.halt()
    bench.desk.gate(0).set()
    await settle()
    assert bench.desk.started == [0]
    await partition.hand_over()
    assert (bench.told(), bench.broker.committed, bench.notes.abandoned_events) == (["s:0:0"], 1, 2)


async def test_an_idle_partition_costs_a_transaction_to_take_and_one_to_hand_over():
    """The first says that an owner is at work, the last that it has left; between them there is nothing to say."""
    bench = Bench(interval_s=0)
    partition = await bench.taken()
    running = asyncio.create_task(partition.run())
    await settle()
    assert bench.broker.commits == [0]
    await partition.hand_over()
    await running
    assert bench.broker.commits == [0, 0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from(["finish", "release", "crash", "lose"]), st.integers(0, 11)), max_size=25),
)
async def test_every_segment_leaves_exactly_once_and_in_order_over_any_schedule(streams, schedule):
    """Completions, releases, crashes and lost answers in any order: each output once, a stream's in its order."""
    bench = Bench(drain_s=5, open_gates=False)
    log = [record(offset, f"s{stream}") for offset, stream in enumerate(streams)]
    partition = await bench.taken()
    await feed(partition, log)
    for act, number in schedule:
        if act == "finish":
            bench.desk.gate(number).set()
            await settle()
        elif act == "release":
            await partition._release()
        else:
            bench.broker.lose_answer = act == "lose"
            if act == "lose":
                try:
                    await partition._release()
                except PartitionLost:
                    bench.broker.lose_answer = False
            await partition.drop()
            bench.broker.lose_answer = False
            partition = await bench.taken()
            await feed(partition, log)
    for offset in range(len(log)):
        bench.desk.gate(offset).set()
    await partition.hand_over()
    assert sorted(int(told.split(":")[1]) for told in bench.told()) == list(range(len(log)))
    for stream in set(streams):
        of_stream = [told.split(":") for told in bench.told() if told.startswith(f"s{stream}:")]
        assert [int(o) for _, o, _ in of_stream] == sorted(int(o) for _, o, _ in of_stream)
        assert [int(count) for _, _, count in of_stream] == list(range(len(of_stream)))
    assert bench.broker.commits == sorted(bench.broker.commits)


async def feed(partition, log):
    """Let the consumer deliver the log from where the partition wants it."""
    for received in log:
        partition.accept(received)
    await settle()


async def test_the_outlet_is_closed_however_a_partition_ends():
    """Handed over or dropped, its connection to the broker is given up."""
    bench = Bench()
    outlets = [MemoryOutlet(bench.broker), MemoryOutlet(bench.broker)]
    handed, dropped = (bench.partition(outlet=outlet) for outlet in outlets)
    await handed.take(bench.earliest)
    await handed.hand_over()
    await dropped.take(bench.earliest)
    await dropped.drop()
    assert [outlet.closed for outlet in outlets] == [True, True]


class StumblingOutlet(MemoryOutlet):
    """The first release after the one of taking it waits at a gate and fails; a later one would succeed."""

    def __init__(self, broker) -> None:
        super().__init__(broker)
        self.releasing = asyncio.Event()
        self.gate = asyncio.Event()
        self._releases = 0

    async def release(self, messages, next_offset) -> None:
        self._releases += 1
        if self._releases == 2:
            self.releasing.set()
            await self.gate.wait()
            raise PartitionLost("the broker is away")
        await super().release(messages, next_offset)


async def test_a_hand_over_commits_nothing_past_a_release_that_failed_meanwhile():
    """What the failed release had taken along would be below the committed offset, and in no topic."""
    bench = Bench(interval_s=0)
    outlet = StumblingOutlet(bench.broker)
    partition = bench.partition(outlet=outlet)
    await partition.take(bench.earliest)
    running = asyncio.create_task(partition.run())
    partition.accept(record(0))
    await outlet.releasing.wait()
    leaving = asyncio.create_task(partition.hand_over())
    await settle()
    outlet.gate.set()
    with pytest.raises(PartitionLost):
        await leaving
    with pytest.raises(PartitionLost):
        await running
    assert (bench.told(), bench.broker.committed) == ([], 0)


async def test_a_release_that_was_cut_off_is_followed_by_none():
    """Nobody knows what the broker made of it."""
    bench = Bench(interval_s=0)
    outlet = StumblingOutlet(bench.broker)
    partition = bench.partition(outlet=outlet)
    await partition.take(bench.earliest)
    running = asyncio.create_task(partition.run())
    partition.accept(record(0))
    await outlet.releasing.wait()
    running.cancel()
    await asyncio.wait({running})
    with pytest.raises(PartitionLost, match="cut off"):
        await partition.hand_over()
    assert bench.broker.committed == 0


async def test_a_hand_over_that_is_cut_off_leaves_nothing_running_and_nothing_open():
    """The grace period can end while lanes drain."""
    bench = Bench(drain_s=3600, open_gates=False)
    outlet = MemoryOutlet(bench.broker)
    partition = bench.partition(outlet=outlet)
    await partition.take(bench.earliest)
    partition.accept(record(0))
    await settle()
    before = asyncio.all_tasks()
    leaving = asyncio.create_task(partition.hand_over())
    await settle()
    leaving.cancel()
    await asyncio.wait({leaving})
    assert outlet.closed
    assert {task for task in before if not task.done()} == {asyncio.current_task()}


async def test_bodies_count_until_their_results_have_left():
    """They are kept until then, those of dead letters too: a flood of either must be held back."""
    bench = Bench()
    partition = await bench.taken()
    partition.accept(record(0, value=b"12345"))
    partition.accept(record(1, value=b"bad"))
    await settle()
    assert (bench.desk.finished, partition.load_bytes) == ([0], 8)
    await partition._release()
    assert partition.load_bytes == 0
    await partition.hand_over()


async def test_two_crashes_between_checkpoint_and_commit_are_no_moved_offset():
    """Without transactions each owner may die there: the group's offset stays, the checkpoints go on."""
    bench = Bench()
    owner = await bench.taken()
    owner.accept(record(0))
    await settle()
    bench.broker.lose_commits = 3
    for die in (owner.hand_over, bench.taken, bench.taken):
        with pytest.raises(PartitionLost):
            await die()
    assert (bench.broker.committed, bench.told()) == (0, ["s:0:0"])
    assert await bench.partition().take(bench.earliest) == 1


async def test_a_bad_state_record_leaves_no_reader_open():
    """The partition fails, and what it was restored from is closed before that is told."""
    bench = Bench()
    outlet = BadChangelog(bench.broker)
    with pytest.raises(Stopped, match="no stream id"):
        await bench.partition(outlet=outlet).take(bench.earliest)
    assert outlet.reader_closed


class BadChangelog(MemoryOutlet):
    """Has a key that nobody writes."""

    reader_closed = False

    async def changelog(self):
        try:
            yield b"\xfenonsense", b"x"
            yield b"more", None
        finally:
            self.reader_closed = True
