"""The consumer: takes partitions as the group gives them, hands records to their partition, holds back when it is full.

What aiokafka does not do is done here (docs/decisions tell why): a new assignment is paused until its state is restored
and the position is sought; a listener's exception, which aiokafka would swallow, ends the worker; a partition whose
release had an unknown outcome is dropped and taken again, after the group has confirmed that it is still ours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker.errors import Moved, PartitionLost, Stopped
from worker.intake.setbacks import Setbacks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from worker.intake.member import Member
    from worker.intake.observer import IntakeObserver
    from worker.partition.life import Partition
    from worker.records import Received
    from worker.settings.tree import Intake as IntakeSettings

RETAKE_FIRST_S = 0.2
RETAKE_MOST_S = 10.0
POLL_S = 0.2
WATCH_S = 10.0
STUCK_LOOKS = 7
"""In so many looks in a row a partition stood at the same offset with more behind it: a minute."""
BATCH = 64
"""Records of one poll: more would overshoot the limits before anything is paused."""


class Intake:
    """Owns the partitions that the group gives to this process."""

    def __init__(
        self,
        *,
        member: Member,
        make_partition: Callable[[int], Partition],
        settings: IntakeSettings,
        observer: IntakeObserver,
        fail: Callable[[BaseException], None],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``fail`` is told of what must end the worker; ``wait`` waits so many seconds before a retry."""
        self._member = member
        self._make_partition = make_partition
        self._settings = settings
        self._observer = observer
        self._fail = fail
        self._wait = wait
        self._owners: dict[int, asyncio.Task[None]] = {}
        self._working: dict[int, Partition] = {}
        self._paused: set[int] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._parked: dict[int, str] = {}
        self._setbacks = Setbacks()
        self._looks: dict[int, tuple[int, int]] = {}
        self._stopping = False
        self.halted: str | None = None
        """Why nothing more is taken in; None while it is."""
        self.joined = False
        """Whether the group has told which partitions are ours, be it none."""
        self.polls = 0
        """Polls so far: progress."""

    # --- the loop ---

    async def run(self) -> None:
        """Consume until stopped."""
        while not self._stopping:
            batches = await self._member.poll(POLL_S, BATCH)
            self.polls += 1
            for number, records in batches.items():
                self._dispatch(number, records)
            self._hold_back()

    async def watch(self) -> None:
        """End the worker when its consumer is stuck; a fresh one is not.

        After a broker's restart aiokafka's can go on asking for nothing without a sign (aio-libs/aiokafka#1154, #703).
        """
        while True:
            await self._wait(WATCH_S)
            await self._look()

    async def _look(self) -> None:
        asked = frozenset(self._working) - self._paused if self.halted is None else frozenset()
        behind = await self._member.behind(asked)
        before = self._looks
        self._looks = {n: (at, before[n][1] + 1 if before.get(n, (None,))[0] == at else 1) for n, at in behind.items()}
        for number, (at, looks) in self._looks.items():
            if looks >= STUCK_LOOKS and number in self._working and number not in self._paused:
                raise Stopped(
                    f"partition {number}: the consumer stands at offset {at} for {(looks - 1) * WATCH_S:.0f} s, though "
                    "the broker answers and has more (aiokafka#1154): start afresh"
                )

    def halt(self, why: str) -> None:
        """Take nothing more in and begin nothing more; what is finished still leaves. Only a restart ends this."""
        if self.halted is not None:
            return
        self.halted = why
        self._member.pause(self._working)
        for partition in self._working.values():
            partition.halt()
        self._observer.halted(why)

    async def stop(self) -> None:
        """Hand every partition over; a hand-over that a rebalance has begun is waited for as well."""
        self._stopping = True
        begun = set(self._leaving)
        await self.on_revoked(list(self._owners))
        if begun:
            await asyncio.wait(begun)

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """The partitions that work."""
        return self._working

    @property
    def restoring(self) -> frozenset[int]:
        """Those that are ours and do not work yet."""
        return frozenset(self._owners) - frozenset(self._working) - frozenset(self._parked)

    @property
    def paused(self) -> frozenset[int]:
        """Those held back now because too much is in work."""
        return frozenset(self._paused)

    @property
    def parked(self) -> Mapping[int, str]:
        """Those that stand still until an operator says what holds, and why."""
        return self._parked

    @property
    def failing(self) -> Mapping[int, str]:
        """Those whose results do not leave, and why."""
        return self._setbacks.whys(self._working)

    def lag(self, partition: int) -> int | None:
        """Return how many records wait at the broker."""
        return self._member.lag(partition)

    def _dispatch(self, number: int, records: Sequence[Received]) -> None:
        # Records of a partition that is not restored yet are dropped: it will seek and get them again.
        if (partition := self._working.get(number)) is not None:
            for record in records:
                partition.accept(record)

    def _hold_back(self) -> None:
        """Pause what is full, each partition for itself, and resume it well below its limit (hysteresis)."""
        if self.halted is not None:
            return
        full = {n for n, p in self._working.items() if self._fullness(p) >= 1}
        low = {n for n in self._paused & set(self._working) if self._fullness(self._working[n]) <= self._resume_below}
        if begin := full - self._paused:
            self._member.pause(begin)
        if low:
            self._member.resume(low)
        if begin or low:
            self._paused = (self._paused | begin) - low
            self._observer.paused(self._paused)

    @property
    def _resume_below(self) -> float:
        return self._settings.resume_below

    def _fullness(self, partition: Partition) -> float:
        """Return the load over its limit; each partition has its equal share, so that a hot one starves no other."""
        settings, share = self._settings, max(1, len(self._working))
        return max(
            partition.load / max(1, settings.max_segments // share),
            partition.load_bytes / max(1, settings.max_bytes // share),
            partition.span / settings.window,
        )

    # --- what the group gives and takes ---

    async def on_assigned(self, partitions: Collection[int]) -> None:
        """Take partitions; each works once it is restored."""
        self._observer.assigned(partitions)
        self.joined = True
        if self._stopping:
            return  # we are about to leave: whoever gets these next has them to himself
        new = [number for number in partitions if number not in self._owners]
        self._member.pause(new)
        for number in new:
            task = asyncio.create_task(self._own(number), name=f"partition {number}")
            self._owners[number] = task
            task.add_done_callback(self._owner_ended)

    async def on_revoked(self, partitions: Collection[int]) -> None:
        """Hand partitions over; returns within the drain's bound, with every one given up. Raises the first failure."""
        self._observer.revoked(partitions)
        leaving = {asyncio.create_task(self._give_up(number), name=f"leaving {number}") for number in partitions}
        self._leaving |= leaving
        try:
            ends = await asyncio.gather(*leaving, return_exceptions=True)
        finally:
            self._leaving -= leaving
        for failure in ends:
            if failure is not None:
                raise failure

    def on_out_of_range(self, partitions: Collection[int]) -> None:
        """Take partitions again whose position the log does not have (retention was quicker)."""
        for number in partitions:
            if (partition := self._working.get(number)) is not None:
                partition.lose(PartitionLost("the position is out of the log's range"))

    async def _give_up(self, number: int) -> None:
        owner = self._owners.pop(number, None)
        partition = self._working.pop(number, None)
        self._no_longer_paused(number)
        self._setbacks.forget(number)
        if self._parked.pop(number, None) is not None:
            self._observer.parked(self._parked)
        try:
            if partition is not None:
                await partition.hand_over()
        except PartitionLost as lost:
            self._observer.lost(number, str(lost))
        finally:
            if owner is not None:
                owner.cancel()
                await asyncio.wait({owner})

    def _no_longer_paused(self, number: int) -> None:
        if number in self._paused:
            self._paused.discard(number)
            self._observer.paused(self._paused)

    async def _own(self, number: int) -> None:
        """Take a partition and run it; after an unknown outcome take it again, as long as the group says it is ours."""
        backoff_s = RETAKE_FIRST_S
        while True:
            partition = self._make_partition(number)
            try:
                await self._take(number, partition)
                await partition.run()
            except PartitionLost as lost:
                self._observer.lost(number, str(lost))
                if self._setbacks.note(number, partition, str(lost)):
                    self._observer.failing(number, str(lost))
                elif number in self._working:
                    backoff_s = RETAKE_FIRST_S
                await self._set_aside(number, partition)
            except Moved as moved:
                await self._set_aside(number, partition)
                self._park(number, moved)
                return
            except BaseException:
                await self._set_aside(number, partition)
                raise
            else:
                return
            await self._still_ours(number, backoff_s)
            backoff_s = min(RETAKE_MOST_S, backoff_s * 2)

    def _park(self, number: int, moved: Moved) -> None:
        """Let a partition stand still: the others' streams are watched, and it is not served by whoever asks again."""
        self._parked[number] = str(moved)
        self._observer.parked(self._parked)

    async def _take(self, number: int, partition: Partition) -> None:
        started = asyncio.get_running_loop().time()
        offset = await partition.take(lambda: self._member.log(number))
        self._member.seek(number, offset)
        self._working[number] = partition
        self._no_longer_paused(number)
        if self.halted is None:
            self._member.resume([number])
        else:
            partition.halt()
        self._observer.restored(number, asyncio.get_running_loop().time() - started)

    async def _set_aside(self, number: int, partition: Partition) -> None:
        self._working.pop(number, None)
        if number in self._member.owned():
            self._member.pause([number])
        await partition.drop()

    async def _still_ours(self, number: int, backoff_s: float) -> None:
        """Wait until the group confirms the partition.

        Fencing first would take the partition back from whoever has it now: a worker that was stopped for a while and
        goes on does not know yet that it has lost it.
        """
        while True:
            await self._wait(backoff_s)
            try:
                await self._member.confirm(number)
            except PartitionLost as lost:
                self._observer.lost(number, str(lost))
                backoff_s = min(RETAKE_MOST_S, backoff_s * 2)
            else:
                return

    def _owner_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            if (error := task.exception()) is not None:
                self._fail(error)
        elif task in self._owners.values():  # not given up: nobody would work the partition, and nobody would say so
            self._fail(Stopped(f"{task.get_name()}: its task was cancelled, not by us"))
