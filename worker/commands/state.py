"""``framewatch state move``: puts the streams' state where it belongs after the segments topic has grown."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from msgspec import Struct

from worker import moving
from worker.errors import PartitionLost, Stopped
from worker.kafka import admin
from worker.kafka.outlets import AcknowledgedOutlet, TransactionalOutlet
from worker.kafka.standing import Standing, standing
from worker.moving import Kept, Plan
from worker.partition.agreement import Agreement
from worker.partition.memory import MOVING
from worker.records import Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from worker.kafka.partitioners import Partitioner
    from worker.settings.tree import Settings

    Record = tuple[bytes, bytes | None]
    Release = Callable[[str, "Seat", Iterable[Record]], Awaitable[None]]


class Moved(Struct, frozen=True, kw_only=True):
    """What was done, or would be."""

    plan: Plan
    before: int
    """Partitions that the risk topic had."""
    after: int
    """Partitions of the segments topic."""
    resumed: bool
    """Whether a move had been begun before and not ended."""
    done: bool

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.plan.moves or self.plan.drops or self.resumed or self.before != self.after)


class Seat(Struct, kw_only=True):
    """One partition while it is moved: what it holds, where its next owner goes on, and its way out."""

    kept: Kept
    committed: int | None
    agreement: Agreement
    outlet: TransactionalOutlet | AcknowledgedOutlet


def move(settings: Settings, *, do: bool, partitioner: Partitioner | None = None) -> Moved:
    """Look at what has to be moved, and move it if ``do``. Cut off at any point, it goes on when it is run again.

    Raises:
        Stopped: The group has members, the offsets disagree with the state, the topics are not as they must be, the
            broker could not be asked, or a worker came in between.
    """
    return asyncio.run(moved(settings, do=do, partitioner=partitioner))


async def moved(
    settings: Settings, *, do: bool, partitioner: Partitioner | None = None, write: Release | None = None
) -> Moved:
    """Do what ``move`` does, in a loop that runs already. ``write`` is ``release``; tests have one that is cut off."""
    before, after = await _partitions(settings)
    await _nobody_works(settings)
    async with AsyncExitStack() as closing:
        place = await closing.enter_async_context(standing(settings.kafka, settings.topics.segments, after))
        seats = [await _seat(settings, number, before, place, closing, fence=do) for number in range(after)]
        waiting = {seat.kept.number: await _waiting(place, seat) for seat in seats[:before]}
        plan = moving.plan([seat.kept for seat in seats], after, waiting, partitioner)
        resumed = any(seat.kept.marked for seat in seats)
        found = Moved(plan=plan, before=before, after=after, resumed=resumed, done=do)
        if do and found.needed:
            if after > before:
                await admin.grow(settings.kafka, settings.topics.risk, after)
            await _write(settings.topics.risk, plan, seats, write or release)
    return found


def told(found: Moved) -> list[str]:
    """Return it in lines for a person."""
    plan = found.plan
    if not found.needed:
        return [f"all {plan.streams} streams are where they belong: there is nothing to move"]
    lines = ["a move that was cut off goes on"] if found.resumed else []
    if found.before != found.after:
        lines.append(f"the risk topic grows from {found.before} to {found.after} partitions, as many as segments has")
    lines.append(f"{len(plan.moves)} of {plan.streams} streams move, as the partitioner {plan.partitioner} has it")
    if plan.staying:
        lines.append(
            f"{plan.staying} of them have segments waiting where they were: a copy of their state stays there for those"
        )
    if plan.drops:
        lines.append(f"{len(plan.drops)} memories of streams that have a weightier one elsewhere are forgotten")
    lines.append("done: start the workers" if found.done else "nothing was changed; --yes does it")
    return lines


async def _partitions(settings: Settings) -> tuple[int, int]:
    names = (settings.topics.risk, settings.topics.segments)
    topics = await admin.describe(settings.kafka, names)
    if missing := [name for name in names if name not in topics]:
        raise Stopped(f"topic {missing[0]} does not exist: framewatch topics create makes it")
    before, after = (topics[name].partitions for name in names)
    if before > after:
        raise Stopped(
            f"topic {names[0]} has {before} partitions, {names[1]} only {after}: a topic can't shrink, make it anew"
        )
    return before, after


async def _nobody_works(settings: Settings) -> None:
    if members := await admin.members(settings.kafka):
        raise Stopped(
            f"group {settings.kafka.group_id} has {len(members)} members ({', '.join(members)}): stop every worker "
            f"first; one that was killed leaves after {settings.kafka.session_timeout_s:g} s"
        )


async def _seat(
    settings: Settings, number: int, before: int, place: Standing, closing: AsyncExitStack, *, fence: bool
) -> Seat:
    """Read a partition; with ``fence`` its former owner is shut out first, so that it can't change any more."""
    kind = TransactionalOutlet if settings.kafka.guarantee == "exactly_once" else AcknowledgedOutlet
    outlet = kind(settings.kafka, settings.topics, number, place.consumer)
    closing.push_async_callback(outlet.close)
    try:
        committed = await outlet.open() if fence else await place.committed(number)
        records = [record async for record in outlet.changelog()] if number < before else []
    except PartitionLost as lost:
        raise Stopped(f"partition {number}: {lost}") from lost
    kept = Kept.read(number, records)
    agreement = kept.agreed(committed, await place.log(number))
    return Seat(kept=kept, committed=committed, agreement=agreement, outlet=outlet)


async def _waiting(place: Standing, seat: Seat) -> frozenset[str]:
    number, begin = seat.kept.number, seat.agreement.offset
    found = await place.waiting(number, begin, (await place.log(number)).end)
    return frozenset(seat.kept.store.ids()) if found is None else found


# --- writing ---


async def _write(topic: str, plan: Plan, seats: Sequence[Seat], write: Release) -> None:
    """Mark all partitions, so that no worker starts in between; write what arrives, forget what has left, unmark."""
    kept = [seat.kept for seat in seats]
    for seat in seats:
        await write(topic, seat, [(MOVING, b"1")])
    for number, records in moving.arrivals(plan, kept):
        await write(topic, seats[number], records)
    for number, records in moving.departures(plan, kept):
        await write(topic, seats[number], records)
    for seat in seats:
        await write(topic, seat, [(MOVING, None)])


async def release(topic: str, seat: Seat, records: Iterable[Record]) -> None:
    """Write records with the checkpoint and the offset that they belong to, all or nothing."""
    number, at = seat.kept.number, seat.agreement.offset
    every = [*records, moving.checkpoint(seat.agreement, seat.committed)]
    messages = [Message(topic=topic, partition=number, key=key, value=value) for key, value in every]
    try:
        await seat.outlet.release(messages, at)
    except PartitionLost as lost:
        raise Stopped(f"partition {number}: {lost}: has a worker started? Stop it, and run this again") from lost
    seat.committed = at
