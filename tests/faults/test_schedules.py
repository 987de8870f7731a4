"""Completion in any order, releases that fail in any way, owners that die or are replaced: in memory, any schedule."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.partitions import Bench, record, settle

from worker.errors import PartitionLost

if TYPE_CHECKING:
    from worker.partition.life import Partition
    from worker.records import Received

STREAMS = 3
offsets = st.integers(0, 40)


class Schedule(RuleBasedStateMachine):
    """A log that grows with holes in it, an owner, its successors, and what a read_committed reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.bench = Bench(interval_s=3600.0, drain_s=0.01, open_gates=False)
        self.log: list[Received] = []
        self.end = 0
        self.zombies: list[Partition] = []
        self.committed = 0

    def teardown(self) -> None:
        """Open every gate: in the end each record has its one outcome, in the order of its stream."""
        for received in self.log:
            self.bench.desk.gate(received.position.offset).set()
        self.runner.run(self._leave())
        assert self.told() == {r.position.offset: 1 for r in self.log}
        assert self.bench.broker.committed == self.end
        for stream in range(STREAMS):
            worked = [told.split(":") for told in self.bench.told() if told.startswith(f"s{stream}:")]
            assert [int(offset) for _, offset, _ in worked] == sorted(int(offset) for _, offset, _ in worked)
            assert [int(before) for _, _, before in worked] == list(range(len(worked)))
        self.runner.close()

    # --- what happens ---

    @initialize()
    def begin(self) -> None:
        """The first owner takes an empty log."""
        self.runner.run(self._take())

    @rule(stream=st.integers(0, STREAMS - 1), hole=st.integers(0, 2), bad=st.booleans())
    def publish(self, stream: int, hole: int, bad: bool) -> None:  # noqa: FBT001 - Hypothesis gives it
        """A record comes; the offsets before it may have been a transaction's markers."""
        offset = self.end + hole
        self.log.append(record(offset, f"s{stream}", b"bad" if bad and not hole else b"x"))
        self.end = offset + 1
        self.runner.run(self._feed(self.log[-1:]))

    @rule(offset=offsets)
    def finish(self, offset: int) -> None:
        """A segment may finish, now or as soon as it is begun."""
        self.bench.desk.gate(offset).set()
        self.runner.run(settle())

    @rule()
    def release(self) -> None:
        """What is finished leaves."""
        self.runner.run(self._release())

    @rule(how=st.sampled_from(["fail_next", "lose_answer", "lose_commits"]))
    def release_badly(self, how: str) -> None:
        """The broker refuses it, or has it and its answer is lost, or (without transactions) dies before the commit."""
        broker = self.bench.broker
        setattr(broker, how, 1)
        self.runner.run(self._release())
        broker.fail_next, broker.lose_answer, broker.lose_commits = 0, False, 0

    @rule()
    def die(self) -> None:
        """The owner dies as by a power cut, and another process takes the partition."""
        self.bench.owner += "'"
        self.runner.run(self._lost())

    @rule()
    def be_replaced(self) -> None:
        """Another one takes the partition while the owner is stopped; it goes on later."""
        self.zombies.append(self.partition)
        self.runner.run(self._take())

    @precondition(lambda self: self.zombies)
    @rule()
    def wake(self) -> None:
        """A former owner goes on: nothing of it is seen."""
        zombie, before = self.zombies.pop(), len(self.bench.broker.messages)
        self.runner.run(self._woken(zombie))
        # The present owner may have waited for it to leave the room, and go on with a release.
        assert set(self.bench.broker.writers[before:]) <= {self.bench.broker.epoch}

    @rule()
    def hand_over(self) -> None:
        """A rebalance: what is finished leaves, the rest is the next owner's."""
        self.runner.run(self._handed_over())

    # --- what holds at any time ---

    @invariant()
    def the_committed_offset_passes_nothing_unfinished_and_never_goes_back(self) -> None:
        """Each record below it has its outcome; no record has two."""
        committed, told = self.bench.broker.committed or 0, self.told()
        assert committed >= self.committed
        self.committed = committed
        assert all(told.get(r.position.offset) == 1 for r in self.log if r.position.offset < committed)
        assert set(told.values()) <= {1}

    def told(self) -> dict[int, int]:
        """How many outcomes a reader has seen of each offset."""
        seen = [int(told.split(":")[1]) for told in self.bench.told()] + list(map(int, self.bench.told("dead")))
        return {offset: seen.count(offset) for offset in seen}

    # --- how ---

    async def _take(self) -> None:
        """A new owner takes the partition and consumes: it works just what has no outcome yet."""
        self.bench.end_offset = self.end
        self.partition = self.bench.partition()
        self.bench.desk.started.clear()
        done = set(self.told())
        at = await self.partition.take(self.bench.earliest)
        await self._feed([r for r in self.log if r.position.offset >= at])
        assert done.isdisjoint(self.bench.desk.started)
        assert all(r.position.offset in done for r in self.log if r.position.offset < at)

    async def _feed(self, records: list[Received]) -> None:
        for received in records:
            self.partition.accept(received)
        await settle()

    async def _release(self) -> None:
        try:
            await self.partition._release()
        except PartitionLost:
            await self._lost()
        await settle()

    async def _lost(self) -> None:
        await self.partition.drop()
        await self._take()

    async def _woken(self, zombie: Partition) -> None:
        with suppress(PartitionLost):
            await zombie._release()
        await zombie.drop()

    async def _handed_over(self) -> None:
        await self.partition.hand_over()
        await self._take()

    async def _leave(self) -> None:
        for zombie in self.zombies:
            await self._woken(zombie)
        for _ in range(len(self.log) + 1):  # suspects go one at a time, each after a release
            await self._release()
        await self.partition.hand_over()


def test_over_any_schedule_the_commit_passes_nothing_unfinished_and_a_replay_skips_exactly_what_left(scale, measured):
    """Segments finish in any order while releases fail and owners die, are replaced or leave."""
    examples = scale.pick(short=60, full=1500)
    run_state_machine_as_test(Schedule, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None))
    measured("schedules", examples)
