"""Intake: what it takes, hands over, holds back and takes again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.outlet import MemoryBroker, MemoryOutlet
from support.partitions import NOW, GatedDesk, Notes, record, settle

from worker.errors import PartitionLost, Stopped
from worker.intake import Intake
from worker.intake.intake import STUCK_LOOKS
from worker.partition.life import Partition
from worker.partition.memory import Memory
from worker.records import LogRange
from worker.settings.tree import Intake as Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from worker.records import Received


class FakeMember:
    """A group of one, whose log the test fills; records come only from sought, unpaused partitions."""

    def __init__(self, log: dict[int, list[Received]]) -> None:
        self.records = log
        self.positions: dict[int, int] = {}
        self.paused: set[int] = set()
        self.ours: set[int] = set()
        self.refusals = 0
        self.confirmed = 0
        self.stuck: set[int] = set()
        self.asked: list[set[int]] = []
        self.seeks: list[tuple[int, int]] = []

    async def poll(self, timeout_s: float, most: int) -> Mapping[int, Sequence[Received]]:
        await asyncio.sleep(0)
        found = {}
        for number in sorted(self.ours - self.paused):
            at = self.positions.get(number, 0)
            records = [r for r in self.records.get(number, []) if r.position.offset >= at][:most]
            if records:
                found[number] = records
                self.positions[number] = records[-1].position.offset + 1
        return found

    def seek(self, partition: int, offset: int) -> None:
        self.seeks.append((partition, offset))
        self.positions[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        self.paused -= set(partitions)

    def owned(self) -> frozenset[int]:
        return frozenset(self.ours)

    async def log(self, partition: int) -> LogRange:
        return LogRange(first=0, end=len(self.records[partition]))

    async def behind(self, partitions: Collection[int]) -> Mapping[int, int]:
        self.asked.append(set(partitions))
        return {n: self.positions[n] for n in partitions if n in self.stuck}

    async def confirm(self, partition: int) -> None:
        self.confirmed += 1
        if self.refusals:
            self.refusals -= 1
            raise PartitionLost("the group does not know us")

    def lag(self, partition: int) -> int | None:
        return len(self.records[partition]) - self.positions.get(partition, 0)


class IntakeNotes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.losses: list[tuple[int, str]] = []
        self.restorations: list[int] = []
        self.pauses: list[set[int]] = []
        self.parkings: list[dict[int, str]] = []
        self.failings: list[tuple[int, str]] = []
        self.halts: list[str] = []

    def assigned(self, partitions: Collection[int]) -> None:
        pass

    def revoked(self, partitions: Collection[int]) -> None:
        pass

    def lost(self, partition: int, why: str) -> None:
        self.losses.append((partition, why))

    def failing(self, partition: int, why: str) -> None:
        self.failings.append((partition, why))

    def restored(self, partition: int, seconds: float) -> None:
        self.restorations.append(partition)

    def paused(self, partitions: Collection[int]) -> None:
        self.pauses.append(set(partitions))

    def parked(self, why: Mapping[int, str]) -> None:
        self.parkings.append(dict(why))

    def halted(self, why: str) -> None:
        self.halts.append(why)


class World:
    """An intake over partitions in memory."""

    def __init__(self, log: dict[int, list[Received]], *, open_gates: bool = True, **settings: float) -> None:
        self.member = FakeMember(log)
        self.notes = IntakeNotes()
        self.failures: list[BaseException] = []
        self.desks = {number: GatedDesk(open_gates=open_gates) for number in log}
        self.brokers = {number: MemoryBroker() for number in log}
        self.settings = Settings(**({"release_interval_s": 0.0, "drain_s": 1.0} | settings))
        self.waits: list[float] = []
        self.intake = Intake(
            member=self.member,
            make_partition=self._partition,
            settings=self.settings,
            observer=self.notes,
            fail=self.failures.append,
            wait=self._wait,
        )

    def _partition(self, number: int) -> Partition:
        return Partition(
            outlet=MemoryOutlet(self.brokers[number]),
            desk=self.desks[number],
            memory=Memory(topic="risk", partition=number, on_rewind="stop"),
            settings=self.settings,
            observer=Notes(),
            now=lambda: NOW,
            owner="owner",
        )

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def assign(self, *numbers: int) -> None:
        self.member.ours |= set(numbers)
        await self.intake.on_assigned(list(numbers))

    async def run_until(self, condition) -> None:
        running = asyncio.create_task(self.intake.run())
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})

    def told(self, number: int) -> list[str]:
        return [(m.value or b"").decode() for m in self.brokers[number].on("out")]


def log(number: int, count: int, stream: str = "s") -> list[Received]:
    """So many records of a partition."""
    return [record(offset, f"{stream}{number}") for offset in range(count)]


async def test_what_is_assigned_is_worked_and_committed():
    """Records of every assigned partition get their outcome in order."""
    world = World({0: log(0, 3), 1: log(1, 2)})
    await world.assign(0, 1)
    await world.run_until(lambda: world.brokers[0].committed == 3 and world.brokers[1].committed == 2)
    await world.intake.stop()
    assert world.told(0) == ["s0:0:0", "s0:1:1", "s0:2:2"]
    assert world.failures == []


async def test_records_that_come_before_the_state_is_restored_are_not_worked():
    """An assignment goes live before its state is there: what comes then is dropped and comes again after the seek."""
    world = World({0: log(0, 2)})
    world.member.ours.add(0)
    early = await world.member.poll(0, 10)
    world.intake._dispatch(0, early[0])
    await world.assign(0)
    await world.run_until(lambda: world.brokers[0].committed == 2)
    await world.intake.stop()
    assert world.told(0) == ["s0:0:0", "s0:1:1"]


async def test_a_full_partition_is_paused_alone_and_resumed_well_below_its_limit():
    """The hot one waits, the other goes on; hysteresis keeps it from flapping."""
    world = World({0: log(0, 20), 1: log(1, 1)}, open_gates=False, max_segments=8)
    world.desks[1].open_gates = True
    await world.assign(0, 1)
    await world.run_until(lambda: world.member.paused == {0} and world.brokers[1].committed == 1)
    assert world.intake.partitions[0].load >= 4
    for offset in range(17):
        world.desks[0].gate(offset).set()
    await world.run_until(lambda: world.intake.partitions[0].load == 3)
    world.intake._hold_back()
    assert world.member.paused == {0}
    world.desks[0].gate(17).set()
    await world.run_until(lambda: world.member.paused == set())
    for offset in range(18, 20):
        world.desks[0].gate(offset).set()
    await world.run_until(lambda: world.brokers[0].committed == 20)
    await world.intake.stop()


async def test_an_unknown_outcome_is_answered_by_taking_the_partition_again():
    """A release that failed drops the memory; the partition is taken again and nothing is lost or doubled."""
    world = World({0: log(0, 3)})
    world.brokers[0].fail_next = 1
    await world.assign(0)
    await world.run_until(lambda: world.brokers[0].committed == 3)
    await world.intake.stop()
    assert world.notes.losses == [(0, "the broker is away")]
    assert world.told(0) == ["s0:0:0", "s0:1:1", "s0:2:2"]


async def test_results_that_do_not_leave_are_told_until_they_do():
    """Taking the partition again works each time and proves nothing: it is tried more and more seldom."""
    world = World({0: log(0, 2), 1: log(1, 1)})
    world.brokers[0].refused = {"out"}
    await world.assign(0, 1)
    await world.run_until(lambda: world.notes.failings)
    seen: list[dict[int, str]] = []
    await world.run_until(lambda: seen.append(dict(world.intake.failing)) or len(world.notes.failings) == 3)
    assert all(failing == {0: "refused"} for failing in seen)
    assert world.notes.failings == [(0, "refused")] * 3
    assert world.waits == [0.2, 0.4, 0.8, 1.6][: len(world.waits)]
    world.brokers[0].refused = set()
    await world.run_until(lambda: world.brokers[0].committed == 2)
    assert world.intake.failing == {}
    assert (world.told(0), world.told(1)) == (["s0:0:0", "s0:1:1"], ["s1:0:0"])


async def test_a_release_that_was_there_though_its_answer_got_lost_is_no_setback():
    """Nothing is left to release: nobody is told that results do not leave."""
    world = World({0: log(0, 1)}, release_interval_s=3600, open_gates=False)
    await world.assign(0)
    await world.run_until(lambda: world.desks[0].started)
    world.brokers[0].lose_answer = True
    world.desks[0].gate(0).set()
    await settle()
    world.intake.partitions[0]._due.set()
    await world.run_until(lambda: len(world.notes.restorations) == 2)
    assert (world.intake.failing, world.notes.losses) == ({}, [(0, "the answer got lost")])


async def test_a_partition_is_not_fenced_before_the_group_says_that_it_is_ours():
    """Whoever lost it without knowing must not take it back from its new owner."""
    world = World({0: log(0, 1)})
    world.member.refusals = 1_000_000
    world.brokers[0].fail_next = 1
    await world.assign(0)
    await world.run_until(lambda: world.member.confirmed >= 3)
    assert world.brokers[0].epoch == 1
    world.member.refusals = 0
    await world.run_until(lambda: world.brokers[0].committed == 1)
    assert world.brokers[0].epoch == 2
    assert world.waits == sorted(world.waits)
    await world.intake.stop()


async def test_a_revoked_partition_is_handed_over_with_what_it_finished():
    """On revocation the work is released, and the next assignment goes on behind it."""
    world = World({0: log(0, 2)}, release_interval_s=3600)
    await world.assign(0)
    await world.run_until(lambda: world.desks[0].finished == [0, 1])
    await world.intake.on_revoked([0])
    assert world.brokers[0].committed == 2
    await world.assign(0)
    await world.run_until(lambda: len(world.notes.restorations) == 2)
    assert world.member.seeks[-1] == (0, 2)
    await world.intake.stop()


async def test_a_partition_revoked_while_it_is_restored_is_given_up():
    """Its owner's task ends, nothing works on, nothing failed."""
    world = World({0: log(0, 1)})
    await world.assign(0)
    await world.intake.on_revoked([0])
    assert (world.intake.restoring, dict(world.intake.partitions)) == (frozenset(), {})
    assert world.failures == []


async def test_a_position_that_the_log_does_not_have_takes_the_partition_again():
    """Retention that overtook us is answered like any other loss."""
    world = World({0: log(0, 1)})
    await world.assign(0)
    await world.run_until(lambda: world.brokers[0].committed == 1)
    world.intake.on_out_of_range([0])
    await world.run_until(lambda: len(world.notes.restorations) == 2)
    await world.intake.stop()
    assert "out of the log's range" in world.notes.losses[0][1]


@pytest.mark.parametrize("error", [RuntimeError("a defect"), Stopped("somebody moved the offset")])
async def test_what_nobody_expected_ends_the_worker(error):
    """A partition's failure that is no loss goes to the supervisor, with the partition given up."""
    world = World({0: log(0, 1)})
    world.desks[0].errors[0] = [error]
    await world.assign(0)
    await world.run_until(lambda: world.failures)
    await settle()
    assert world.failures == [error]
    assert dict(world.intake.partitions) == {}


async def test_what_is_assigned_while_leaving_is_left_to_others():
    """Taking it would fence whoever gets it next."""
    world = World({0: log(0, 1)})
    await world.assign(0)
    await world.run_until(lambda: world.brokers[0].committed == 1)
    await world.intake.stop()
    await world.assign(0)
    await settle()
    assert (world.brokers[0].epoch, world.intake.restoring) == (1, frozenset())


async def test_one_partition_s_failure_hands_the_others_over_first():
    """The failure is told when every partition is given up: the group goes on as soon as it is."""
    world = World({0: log(0, 1), 1: log(1, 1)}, open_gates=False, release_interval_s=3600)
    world.desks[0].errors[0] = [RuntimeError("a defect")]
    await world.assign(0, 1)
    await world.run_until(lambda: world.desks[0].started and world.desks[1].started)
    leaving = asyncio.create_task(world.intake.on_revoked([0, 1]))
    world.desks[0].gate(0).set()
    await settle()
    assert not leaving.done()
    world.desks[1].gate(0).set()
    with pytest.raises(RuntimeError, match="a defect"):
        await leaving
    assert world.brokers[1].committed == 1
    assert world.intake.restoring == frozenset()


async def test_stopping_waits_for_a_hand_over_that_a_rebalance_has_begun():
    """Leaving the group cuts the rebalance off, and the hand-over with it."""
    world = World({0: log(0, 1)}, open_gates=False, release_interval_s=3600)
    await world.assign(0)
    await world.run_until(lambda: world.desks[0].started)
    rebalance = asyncio.create_task(world.intake.on_revoked([0]))
    await settle()
    stopping = asyncio.create_task(world.intake.stop())
    await settle()
    assert not stopping.done()
    world.desks[0].gate(0).set()
    await asyncio.gather(rebalance, stopping)
    assert world.brokers[0].committed == 1


async def test_an_owner_that_ends_cancelled_by_nobody_ends_the_worker():
    """A client's future can end so: the partition would stand still without a word."""
    world = World({0: log(0, 1)})
    world.desks[0].errors[0] = []
    await world.assign(0)
    await world.run_until(lambda: world.brokers[0].committed == 1)
    world.intake._owners[0].cancel()
    await world.run_until(lambda: world.failures)
    assert "cancelled" in str(world.failures[0])


async def test_waits_grow_while_no_release_succeeds():
    """Taking a partition costs its whole changelog: what can never leave must not have it read five times a second."""
    world = World({0: log(0, 1)})
    world.brokers[0].fail_next = 6
    await world.assign(0)
    await world.run_until(lambda: world.brokers[0].committed == 1)
    await world.intake.stop()
    assert world.waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4]


async def test_what_is_held_back_is_told_when_the_partition_goes():
    """The gauge of paused partitions does not stay up behind one that was revoked."""
    world = World({0: log(0, 20)}, open_gates=False, max_segments=8, drain_s=0.01)
    await world.assign(0)
    await world.run_until(lambda: world.notes.pauses)
    await world.intake.on_revoked([0])
    assert world.notes.pauses == [{0}, set()]


async def test_it_has_joined_once_the_group_has_told_what_is_ours():
    """Be it nothing."""
    world = World({0: []})
    assert not world.intake.joined
    await world.assign()
    assert world.intake.joined


async def test_a_partition_whose_offset_was_moved_stands_still_and_the_others_go_on():
    """One line says what to do; nobody asks the broker for it again and again, and a revocation ends it."""
    world = World({0: log(0, 2), 1: log(1, 2)})
    world.brokers[0].committed = 1
    await world.assign(0, 1)
    await world.run_until(lambda: world.brokers[1].committed == 2 and world.intake.parked)
    assert "on_rewind" in world.intake.parked[0]
    assert (world.intake.restoring, world.failures, world.brokers[0].epoch) == (frozenset(), [], 1)
    await world.intake.on_revoked([0, 1])
    assert [set(parked) for parked in world.notes.parkings] == [{0}, set()]


async def test_once_halted_nothing_more_is_taken_in():
    """Neither of what works nor of what is assigned later; it is told once."""
    world = World({0: log(0, 3), 1: log(1, 3)}, open_gates=False)
    await world.assign(0)
    await world.run_until(lambda: world.desks[0].started)
    world.intake.halt("11 of 20 streams turned bad")
    world.intake.halt("12 of 20 streams turned bad")
    await world.assign(1)
    await world.run_until(lambda: 1 in world.intake.partitions)
    await settle()
    assert world.member.paused == {0, 1}
    assert world.desks[1].started == []
    assert world.notes.halts == [world.intake.halted] == ["11 of 20 streams turned bad"]
    await world.intake.stop()


async def test_a_consumer_that_is_stuck_ends_the_worker():
    """The broker has more and nothing comes for a minute; a partition that is paused or moves on is not stuck."""
    world = World({0: log(0, 1), 1: log(1, 1)})
    await world.assign(0, 1)
    await world.run_until(lambda: len(world.notes.restorations) == 2 and world.brokers[1].committed == 1)
    world.member.stuck = {0, 1}
    for look in range(STUCK_LOOKS - 1):
        world.member.positions[0] = look
        await world.intake._look()
    with pytest.raises(Stopped, match=r"partition 1.*stands at offset 1 for 60 s"):
        await world.intake._look()
    await world.intake.stop()


async def test_once_halted_a_partition_that_was_held_back_is_not_resumed():
    """What is in work goes on to its end, and makes no room for more."""
    world = World({0: [record(offset, f"s{offset}") for offset in range(20)]}, open_gates=False, max_segments=8)
    await world.assign(0)
    await world.run_until(lambda: world.notes.pauses)
    world.intake.halt("11 of 20 streams turned bad")
    for offset in range(20):
        world.desks[0].gate(offset).set()
    await world.run_until(lambda: world.intake.partitions[0].load == 0)
    world.intake._hold_back()
    assert world.member.paused == {0}
    await world.intake.stop()
